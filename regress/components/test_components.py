"""kill -9 of any of muster's own programs: it is back within a second, and no
process has noticed."""

import datetime
import fcntl
import http.client
import http.server
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

import harness
from harness import job, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
NAMES = ["manager", "relay", "httpd", "verifier", "resolver"]
# It counts, one line at a time, until it is told to end.
COUNTER = "n=0; while ! [ -f {0}.end ]; do n=$((n + 1)); echo {0} $n; " \
    "[ $((n % 20)) = 0 ] && sleep 0.01; done; echo $n > {0}.count"


class Ok(http.server.BaseHTTPRequestHandler):
    """A server of which all is well."""

    asked = 0

    def do_GET(self):
        Ok.asked += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def modes():
    if os.geteuid() != 0:
        return [pytest.param(None, id="user")]
    return [pytest.param(None, id="root"),
            pytest.param(harness.NOBODY, id="user")]


@pytest.fixture(params=modes())
def start(request):
    mine = []

    def start_(config, *args, **more):
        m = harness.Musterd(config, *args, user=request.param, **more)
        mine.append(m)
        return m.start()

    yield start_
    for m in mine:
        m.close()


def own(m, name):
    """The pids of that program."""
    return {p.pid for p in m.component("muster-" + name)}


def kill(m, name, number=signal.SIGKILL):
    """Kill all of that name; the seconds until they are back and answer."""
    before = harness.wait_for(f"a {name}", lambda: own(m, name), 5)
    start = time.monotonic()
    for pid in before:
        os.kill(pid, number)
    harness.wait_for(f"another {name}", lambda: len(
        own(m, name) - before) == len(before), 5)
    harness.wait_for("an answer", m.status, 5)
    return time.monotonic() - start


def own_name():
    """A name of ours that must be asked for, and its address."""
    name = socket.gethostname()
    try:
        return name, socket.gethostbyname(name)
    except OSError:
        pytest.skip(f"nobody knows the address of {name}")


def config(name, port):
    """One that needs all the programs."""
    return {**KEEP, "processes": {
        "shown": sh(COUNTER.format("shown")),
        "file": sh(COUNTER.format("file"), redirect_output="log"),
        "kept": sh(COUNTER.format("kept"), suppress_output=True,
                   capture="4m"),
        "checked": job("sleep", "4000",
                       verify={"tcp": f"{name}:{port}"})}}


@pytest.fixture
def counters(start):
    """musterd with three processes that talk all the time."""
    name, address = own_name()
    with socket.socket() as s:
        s.bind((address, 0))
        s.listen()
        m = start(config(name, s.getsockname()[1]))
        m.wait_status()
        yield m


def finish(m):
    """End the counters; what each has written is complete."""
    for name in ("shown", "file", "kept"):
        (m.dir / f"{name}.end").touch()
        if m.user is not None:
            os.chown(m.dir / f"{name}.end", m.user, m.user)
    for name in ("shown", "file", "kept"):
        m.wait_state(name, "exited")
    counts = {name: int((m.dir / f"{name}.count").read_text())
              for name in ("shown", "file", "kept")}
    expected = {name: [f"{name} {n}" for n in range(1, count + 1)]
                for name, count in counts.items()}
    assert (m.dir / "log").read_text().splitlines() == expected["file"]
    assert m.get("/v1/processes/3/streams/stdout").text.splitlines() == \
        expected["kept"]
    assert m.stop() == 0
    assert [line for line in m.stdout_text().splitlines()
            if line.startswith("shown ")] == expected["shown"]


@pytest.mark.parametrize("name", NAMES)
def test_killed(counters, name):
    m = counters
    before = m.processes()
    # Twice: the second time there is a pause. The machine may have another
    # one, now and then.
    times = []
    for _ in range(2):
        times.append(kill(m, name))
        time.sleep(0.1)
        assert m.processes() == before
    assert min(times) < 1 * harness.patience()
    rows = m.all()
    assert {p["generation"] for p in rows.values()} == {1}
    assert {p["state"] for p in rows.values()} == {"running"}
    assert m.post("/restart/4", timeout=40).status == 200
    finish(m)


def test_all_killed_at_once(counters):
    m = counters
    before = m.processes()
    victims = [pid for name in NAMES for pid in own(m, name)]
    assert len(victims) == 6
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    harness.wait_for("all of them", lambda: [
        len(own(m, name)) for name in NAMES] == [1, 1, 2, 1, 1], 2)
    harness.wait_for("an answer", m.status, 1)
    assert m.processes() == before
    finish(m)


@pytest.mark.parametrize("name", NAMES)
def test_stopped(counters, name):
    """A frozen one is replaced, too."""
    m = counters
    before = m.processes()
    kill(m, name, signal.SIGSTOP)
    assert m.processes() == before
    finish(m)


# --- the manager ---


def exits(m):
    return [line for line in m.stdout_text().splitlines()
            if re.fullmatch(r"Process .* exited with code -?\d+", line)]


def without_manager(m, what):
    """Do something while there is no manager."""
    parent = m.parent().pid
    os.kill(parent, signal.SIGSTOP)
    try:
        for pid in own(m, "manager"):
            os.kill(pid, signal.SIGKILL)
        what()
        time.sleep(0.05)
    finally:
        os.kill(parent, signal.SIGCONT)


def test_age_of_a_process_after_the_manager(start):
    """The next one knows when it was started."""
    m = start({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    before = m.all()["a"]
    kill(m, "manager")
    after = m.wait_state("a", "running")
    assert after["pid"] == before["pid"]
    began, said = (datetime.datetime.fromisoformat(p["started"][:-1])
                   for p in (before, after))
    assert abs((said - began).total_seconds()) < 1
    assert after["uptime"] >= before["uptime"]


def test_end_of_a_process_without_a_manager(start):
    """It is told once, and the policy is applied."""
    m = start({**KEEP, "messages": ["process.exit"], "processes": {
        "a": SLEEP, "b": job("sleep", "4001", restart="always"), "c": SLEEP}})
    m.wait_status()
    rows = m.all()
    without_manager(m, lambda: [
        os.kill(rows[name]["pid"], signal.SIGKILL) for name in "ab"])
    harness.wait_for("generation 2", lambda: m.all()["b"]["generation"] == 2
                     and m.all()["b"]["pid"], 2)
    p = m.wait_state("a", "exited", 2)
    assert p["exit"]["signal"] == "SIGKILL"
    assert m.all()["c"]["pid"] == rows["c"]["pid"]
    assert m.state("b") == "running"
    time.sleep(0.1)
    assert sorted(exits(m)) == ["Process sleep 4000 exited with code -9",
                                "Process sleep 4001 exited with code -9"]
    assert m.stdout_text().count("$ sleep 4001") == 2


def test_manager_killed_while_processes_die(start):
    """Whenever it is killed: nothing is told twice or not at all."""
    m = start({**KEEP, "messages": ["process.exit"], "processes": {
        "a": sh("echo x >> runs; sleep 0.01", restart="always",
                backoff={"initial": 0})}})
    m.wait_status()
    for n in range(3):
        time.sleep(0.11 + n * 0.013)
        kill(m, "manager")
    runs = (m.dir / "runs").stat().st_size // 2
    harness.wait_for("more", lambda: (
        m.dir / "runs").stat().st_size // 2 > runs + 3)
    m.stop()
    runs = (m.dir / "runs").stat().st_size // 2
    starts = m.stdout_text().count("$ sh -c")
    assert runs in (starts, starts - 1)
    assert len(exits(m)) == starts


@pytest.mark.parametrize("times", [1, 3])
def test_texts_that_a_relay_could_not_write_are_written_by_the_next(
        start, times):
    """Each once, and in order: nobody reads standard output meanwhile."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4095 + b"\n")
    with open(reader, "rb") as out:
        with open(writer, "wb") as to:
            m = start({**KEEP, "processes": {
                f"p{i}": job("sleep", f"{4000 + i}") for i in range(50)}},
                      stdout=to)
        m.wait_status()
        for _ in range(times):
            kill(m, "relay")
        m.popen.send_signal(signal.SIGTERM)
        lines = out.read().decode().splitlines()
    assert [line for line in lines if line.startswith("$ ")] == [
        f"$ sleep {4000 + i}" for i in range(50)]
    assert m.wait() == 0


def test_the_next_manager_knows_since_when_a_process_runs(start):
    m = start({**KEEP, "processes": {"a": SLEEP, "b": SLEEP}}).wait_status()
    before = m.all()["a"]
    kill(m, "manager")
    assert m.ctl("restart", "b").returncode == 0    # by the next one
    after = m.all()["a"]
    assert after["pid"] == before["pid"]
    assert before["uptime"] <= after["uptime"] < before["uptime"] + 60
    began = [datetime.datetime.fromisoformat(p["started"].rstrip("Z"))
             for p in (before, after)]
    assert abs(began[1] - began[0]) < datetime.timedelta(seconds=1)


def verified(m):
    return {name: (p["verified"], p["verifier"])
            for name, p in m.all().items()}


def test_the_next_manager_knows_what_the_verifiers_said(start):
    """Of what is up, has ended well, and of what has no verifier."""
    m = start({**KEEP, "processes": {
        "task": sh("exit 3", verify={"exited": 3}),
        "file": sh("sleep 0.1; touch up; exec sleep 4000",
                   verify=[{"file": "up"}, {"command": "true"}]),
        "none": SLEEP}}).wait_status()
    before = verified(m)
    assert before["task"][1]["last"] == "exit code 3"
    assert before["file"][1]["kind"] == "command"
    assert before["file"][1]["attempts"] == 1
    table = m.ctl("status").stdout
    for _ in range(2):
        kill(m, "manager")
        assert verified(m) == before
    remarks = [[line.split(maxsplit=5)[5] for line in text.splitlines()]
               for text in (table, m.ctl("status").stdout)]
    assert remarks[0] == remarks[1]
    assert "ok command exited with code 0" in remarks[0]
    # After a reload, too, but for what nobody verifies any more.
    config = json.loads(m.file.read_text())
    del config["processes"]["task"]["verify"]
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)
    harness.wait_for("the reload", lambda: verified(m)["task"][1] is None)
    assert verified(m)["file"] == before["file"]


def test_manager_killed_during_the_launch(start):
    """It goes on: nothing is started twice, nothing is left out."""
    m = start({**KEEP, "processes": {
        "a": sh("echo a >> runs; exec sleep 4000"),
        "b": sh("echo b >> runs; until [ -f go ]; do sleep 0.02; done; "
                "touch up; exec sleep 4000", verify={"file": "up"}),
        "c": sh("echo c >> runs; exec sleep 4000")}})
    m.wait_state("b", "starting")
    harness.wait_for("their pids", lambda: m.all()["a"]["pid"] and
                     m.all()["b"]["pid"])
    pids = {n: m.all()[n]["pid"] for n in "ab"}
    kill(m, "manager")
    assert m.status() == "launching processes"
    assert m.state("b") == "starting" and m.state("c") == "waiting"
    (m.dir / "go").touch()
    m.wait_status()
    m.wait_state("c", "running")
    assert {n: m.all()[n]["pid"] for n in "ab"} == pids
    harness.wait_for("all three", lambda: sorted(
        (m.dir / "runs").read_text().split()) == ["a", "b", "c"])


def test_manager_killed_before_it_hears_of_a_start(start):
    """The next one counts those, too: the launch comes to its end."""
    names = [f"j{n}" for n in range(100)]
    m = start({**KEEP, "processes": {n: job("sleep", "4000") for n in names}})
    harness.wait_for("the first", m.jobs, interval=0)
    kill(m, "manager")
    m.wait_status()
    assert len(m.processes()) == len(names)
    assert m.post("/restart/1").json()["success"] is True


def test_manager_killed_before_it_hears_of_a_failure(start):
    """What it had asked for could not be started: the launch has failed."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Ok)
    m = start({**KEEP, "processes": {
        "a": job("sleep", "4000", verify={
            "http": "http://127.0.0.1:%d/" % server.server_port}),
        "b": job("/no/such"), "c": sh("touch started")}})
    m.wait_state("a", "starting")
    harness.wait_for("its pid", lambda: m.all()["a"]["pid"])
    parent = m.parent().pid
    os.kill(parent, signal.SIGSTOP)
    Ok.asked = 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        harness.wait_for("the check", lambda: Ok.asked)
        time.sleep(0.3)     # b is asked for
        for pid in own(m, "manager"):
            os.kill(pid, signal.SIGKILL)
        os.kill(parent, signal.SIGCONT)
        assert m.wait(5) == 5
    finally:
        for p in m.descendants():
            harness.kill(p, signal.SIGCONT)
        server.shutdown()
        thread.join()
        server.server_close()
    assert "No such file or directory: '/no/such'" in m.stdout_text()
    assert not (m.dir / "started").exists()


def test_manager_killed_in_a_failed_launch(start):
    m = start({"graceful_time": 1, "processes": {
        "a": sh("trap '' TERM; touch up; while :; do sleep 0.1; done"),
        "b": sh("until [ -f up ]; do sleep 0.02; done; exit 1",
                verify="exited")}})
    harness.wait_for("the shutdown", lambda: m.status() == "shutdown")
    kill(m, "manager")
    assert m.wait(4) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_manager_killed_in_a_shutdown(start, number):
    m = start({**KEEP, "graceful_time": 1, "messages": ["process.exit"],
               "processes": {"a": sh("trap '' TERM; touch up; "
                                     "while :; do sleep 0.1; done")}})
    harness.wait_for("its trap", (m.dir / "up").exists)
    m.wait_status()
    m.signal(number)
    harness.wait_for("the shutdown", lambda: m.status() == "shutdown")
    kill(m, "manager")
    assert m.status() == "shutdown"
    assert m.get("/").status == 403
    start_ = time.monotonic()
    assert m.wait(4) == 0
    assert time.monotonic() - start_ < 2 * harness.patience()
    assert len(exits(m)) == 1


def test_signal_without_a_manager(start):
    """It is not lost."""
    m = start({**KEEP, "messages": ["process.exit"],
               "processes": {"a": SLEEP}})
    m.wait_status()
    without_manager(m, lambda: m.signal(signal.SIGTERM))
    assert m.wait(4) == 0


def test_manager_killed_in_backoff(start):
    m = start({**KEEP, "processes": {
        "a": sh("echo x >> runs; test $(wc -l < runs) -gt 2 && "
                "exec sleep 4000", restart="always",
                backoff={"initial": 0.6}),
        "f": job("false", restart="always", backoff={"initial": 0},
                 start_limit={"count": 2})}})
    m.wait_state("a", "backoff")
    m.wait_state("f", "failed")
    kill(m, "manager")
    assert m.state("f") == "failed"
    m.wait_state("a", "running", 3)
    assert m.all()["a"]["generation"] == 3
    harness.wait_for("three runs", lambda: (
        m.dir / "runs").read_text() == "x\nx\nx\n")
    assert m.state("f") == "failed"


def test_restart_while_the_manager_is_lost(start):
    """Whoever asked is told to try again, and can."""
    m = start({**KEEP, "processes": {"a": sh(
        "test -f slow && sleep 0.5; touch up; exec sleep 4000",
        verify={"file": "up"})}})
    m.wait_status()
    (m.dir / "slow").touch()
    (m.dir / "up").unlink()
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(m.post("/restart/1")))
    thread.start()
    harness.wait_for("generation 2", lambda: m.all()["a"]["generation"] == 2)
    kill(m, "manager")
    thread.join()
    assert answers[0].status == 503
    assert answers[0].json()["success"] is False
    m.wait_state("a", "running")
    assert m.all()["a"]["generation"] == 2
    # What was asked for is told, though nobody knows what became of it.
    m.wait_text(r"\[AUDIT\] restart 1 .* by uid .*: 503 manager-lost")
    assert m.post("/restart/1").status == 200


def test_check_that_ends_without_a_manager(start):
    """Of a command that leaves something behind, no manager knows then."""
    m = start({**KEEP, "processes": {"a": job("sleep", "4000", verify={
        "command": ["sh", "-c", "sleep 4321 & test -f done || { "
                    "touch done; kill -9 `cat manager`; exit 1; }"],
        "interval": "100ms"})}})
    harness.wait_for("a manager", lambda: own(m, "manager"))
    (m.dir / "manager").write_text(f"{min(own(m, 'manager'))}\n")
    m.wait_status()
    after = own(m, "manager")
    harness.time.sleep(1)
    assert own(m, "manager") == after
    assert m.stderr_text().count("muster-manager") <= 1
    assert not [p for p in m.jobs() if "4321" in p.command]


def test_reads_go_on_without_a_manager(start):
    m = start({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    before = m.processes()
    c = m.connect()
    parent = m.parent().pid
    os.kill(parent, signal.SIGSTOP)
    try:
        for pid in own(m, "manager"):
            os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            c.request("GET", "/")
            assert json.loads(c.getresponse().read())["processes"] == before
    finally:
        os.kill(parent, signal.SIGCONT)
        c.close()


# --- the relay ---


def test_followers_of_a_lost_relay(start):
    """They miss nothing."""
    m = start({**KEEP, "processes": {"a": sh(
        COUNTER.format("a"), suppress_output=True, capture="4m")}})
    m.wait_status()
    c = m.connect()
    c.request("GET", "/v1/processes/1/streams/stdout?follow=1&since=0",
              headers={"Accept": "application/octet-stream"})
    response = c.getresponse()
    got = []

    def read():
        while line := response.readline():
            got.append(line.decode())

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(2):
        time.sleep(0.1)
        kill(m, "relay")
    time.sleep(0.1)
    (m.dir / "a.end").touch()
    m.wait_state("a", "exited")
    count = int((m.dir / "a.count").read_text())
    harness.wait_for("the last line", lambda: got[-1:] == [f"a {count}\n"])
    assert got == [f"a {n}\n" for n in range(1, count + 1)]
    c.sock.shutdown(2)
    thread.join()
    c.close()


def test_relay_killed_at_the_end_of_a_process(start):
    """Its last lines are there before its end is told. What musterd itself
    had told the relay that was killed, is not told again."""
    m = start({**KEEP, "messages": ["process.exit"], "processes": {
        "a": sh("until [ -f go ]; do sleep 0.02; done; seq 50000; exit 3")}})
    m.wait_status()
    m.wait_text(r"^\$ sh")
    (m.dir / "go").touch()
    time.sleep(0.03)
    kill(m, "relay")
    m.wait_state("a", "exited")
    m.stop()
    # The relay's own end is told, too, somewhere in between.
    said = re.sub(r"\[WARNING\] .*\n", "", m.stdout_text()).splitlines()
    told = exits(m)
    assert said[1:50001 + len(told)] == [*map(str, range(1, 50001)), *told]
    assert len(told) < 2


def test_texts_without_a_relay(start):
    """What musterd itself has to say waits for the next one."""
    m = start({**KEEP, "messages": ["process.exit"],
               "processes": {"a": SLEEP}})
    m.wait_text(r"^\$ sleep")
    m.wait_status()
    kill(m, "relay")
    # The second replacement comes after a pause.
    for pid in own(m, "relay"):
        os.kill(pid, signal.SIGKILL)
        harness.wait_for("its end", lambda: not harness.process(pid),
                         interval=0.001)
    assert m.post("/restart/1").status == 200
    m.stop()
    said = m.stdout_text().splitlines()
    assert said.count("$ sleep 4000") == 2
    assert said.count("Process sleep 4000 exited with code -15") == 2


def test_log_file_of_a_lost_relay(start):
    """Reopened, appended to, complete."""
    m = start({**KEEP, "processes": {"a": sh(
        COUNTER.format("a"), redirect_output="log", append=True)}})
    m.wait_status()
    time.sleep(0.1)
    (m.dir / "log").rename(m.dir / "log.1")
    m.signal(signal.SIGUSR1)
    harness.wait_for("another file", (m.dir / "log").exists)
    time.sleep(0.1)
    kill(m, "relay")
    (m.dir / "a.end").touch()
    m.wait_state("a", "exited")
    count = int((m.dir / "a.count").read_text())
    text = (m.dir / "log.1").read_text() + (m.dir / "log").read_text()
    assert text == "".join(f"a {n}\n" for n in range(1, count + 1))


# --- the verifier and the resolver ---


@pytest.mark.parametrize("name", ["verifier", "resolver"])
def test_killed_while_it_verifies(start, name):
    """The check goes on where it was."""
    host, address = own_name()
    port = harness.free_port()
    m = start({**KEEP, "processes": {"a": job(
        "sleep", "4000", verify={"http": f"http://{host}:{port}/",
                                 "interval": "100ms"})}})
    m.wait_state("a", "starting")
    harness.wait_for("attempts", lambda: (m.all()["a"]["verifier"] or {}).get(
        "attempts", 0) > 1)
    kill(m, name)
    assert m.state("a") == "starting"
    server = http.server.HTTPServer((address, port), Ok)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        m.wait_status()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert m.all()["a"]["generation"] == 1


# --- the HTTP workers ---


def test_connections_of_others_stay(start):
    """One worker is lost; the clients of the other do not notice."""
    m = start({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    request = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def answered(clients):
        count = 0
        for c in clients:
            try:
                c.sendall(request)
                count += c.recv(4096).endswith(b"}")
            except OSError:
                pass
        return count

    # Whom the kernel wakes is the kernel's: mostly the same one, as long as
    # that has nothing else to do.
    kept = set()
    for n in range(20):
        clients = [socket.create_connection(("127.0.0.1", m.port), timeout=20)
                   for _ in range(100)]
        assert answered(clients) == 100
        os.kill((min, max)[n % 2](own(m, "httpd")), signal.SIGKILL)
        kept.add(answered(clients))
        for c in clients:
            c.close()
        harness.wait_for("two workers", lambda: len(own(m, "httpd")) == 2, 5)
        assert m.status() == "running"
        if max(kept) > 0 and min(kept) < 100:
            return
    raise harness.Failure(f"of 100 were kept: {kept}")


def test_requests_while_workers_die(start):
    """At most those that were under way are lost; none answers nonsense."""
    m = start({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    expected = m.get("/").body
    stop = threading.Event()
    wrong = []
    right = []

    def ask():
        while not stop.is_set():
            try:
                body = m.get("/").body
                (right if body == expected else wrong).append(body)
            except (OSError, http.client.HTTPException):
                pass

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(2):
        time.sleep(0.1)
        kill(m, "httpd")
    stop.set()
    for t in threads:
        t.join()
    assert not wrong and len(right) > 20


def test_who_is_told(start):
    """A line of each loss."""
    m = start({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    kill(m, "relay")
    m.wait_text(r"^\[WARNING\] .*muster-relay 0 was ended by signal 9$")


def test_who_is_told_by_the_next_manager(start):
    """A line that was on its way to a manager which was killed is not lost."""
    m = start({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()

    def told():
        return len(re.findall(r"muster-relay 0 was ended by signal 9$",
                              m.stdout_text() + m.stderr_text(), re.M))
    for n in range(1, 6):
        # The parent hears of the relay first, and tells this manager.
        pids = [min(harness.wait_for(name, lambda name=name: own(m, name)))
                for name in ("relay", "manager")]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        harness.wait_for("the line", lambda n=n: told() == n)
        m.wait_status()
    assert m.stop() == 0
    assert told() == 5
