"""What proves that a process is up: pymanager's two classes and muster's own
kinds."""

import json
import os
import re
import socket
import threading
import time

import pytest

import harness
from harness import job, python, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
FAIL = {"messages": ["verifier.fail"]}
EXITED = "pymutils.exited_verifier.ExitedVerifier"
HTTP = "pymutils.http_verifier.HttpOkVerifier"


class Server:
    """Answers requests as the test says; notes when each came."""

    def __init__(self, answer, path=None):
        self.answer = answer    # (number, head) -> bytes, or None: none
        self.times = []
        self.heads = []
        self.socket = socket.socket(
            socket.AF_UNIX if path else socket.AF_INET)
        self.socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.socket.listen(50)
        self.port = None if path else self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/health"
        self.threads = []
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self.threads.append(thread)

    def _serve(self, client):
        with client:
            client.settimeout(10)
            head = b""
            try:
                while True:
                    while b"\r\n\r\n" not in head:
                        more = client.recv(65536)
                        if not more:
                            return
                        head += more
                    self.times.append(time.monotonic())
                    self.heads.append(head.decode())
                    answer = self.answer(len(self.times), head.decode())
                    head = b""
                    if answer is not None:
                        client.sendall(answer)
            except OSError:
                return

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in [self.thread, *self.threads]:
            thread.join()


@pytest.fixture
def serve():
    servers = []

    def start(answer, path=None):
        if isinstance(answer, int):
            status = answer
            answer = lambda number, head: reply(status)  # noqa: E731
        servers.append(Server(answer, path))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def reply(status, body="", **fields):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}"
              for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def http_ok(url, **arguments):
    return {"type": HTTP, "arguments": {"url": url, **arguments}}


def exited(**arguments):
    return {"type": EXITED, "arguments": arguments}


def fails(m):
    return [line for line in m.stdout_text().splitlines()
            if line.startswith("Verifier fail: ")]


# --- HttpOkVerifier ---


@pytest.mark.parametrize("name", [
    "http_verifier.HttpOkVerifier", "utils.http_verifier.HttpOkVerifier",
    "pymutils.http_verifier.HttpOkVerifier", "pymutils.HttpOkVerifier"])
@pytest.mark.parametrize("listed", [True, False])
def test_names_of_the_http_class(musterd, serve, name, listed):
    server = serve(200)
    modules = {name.rpartition(".")[0]: {"verifiers": ["HttpOkVerifier"]}}
    m = musterd({**KEEP, **({"modules": modules} if listed else {}),
                 "processes": {"a": job("sleep", "4000", verifier={
                     "type": name, "arguments": {"url": server.url}})}})
    m.wait_status()
    assert len(server.times) == 1
    assert server.heads[0].startswith("GET /health HTTP/1.1\r\n")
    assert m.all()["a"]["verifier"]["kind"] == name


@pytest.mark.parametrize("status", [200, 204, 299])
def test_any_2xx(musterd, serve, status):
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(serve(status).url))}})
    m.wait_status()


@pytest.mark.parametrize("status", [199, 304, 404, 500])
def test_others_are_tried_again(musterd, serve, status):
    server = serve(lambda number, head: reply(
        status if number < 4 else 200))
    m = musterd({**KEEP, **FAIL, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(server.url, interval=0.2))}})
    m.wait_status()
    assert fails(m) == [
        f"Verifier fail: Got status {status} from server."] * 3 or \
        status == 199
    assert len(server.times) == 4


def test_redirects_are_followed(musterd, serve):
    server = serve(lambda number, head: reply(
        200 if "GET /end " in head else 302, Location="/end"))
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(server.url))}})
    m.wait_status()
    assert [h.split()[1] for h in server.heads] == ["/health", "/end"]


def test_attempts_are_an_interval_apart(musterd, serve):
    """pymanager made thousands in a second.  The first come faster."""
    server = serve(lambda number, head: reply(
        503 if len(server.times) < 11 else 200))
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(server.url, interval=0.2))}})
    m.wait_status()
    gaps = [b - a for a, b in zip(server.times, server.times[1:])]
    for gap in gaps[-3:]:
        assert 0.15 < gap < 0.2 + 0.15 * harness.patience()
    assert gaps == sorted(gaps) or max(gaps) < 0.2 + 0.15 * harness.patience()


def test_timeout_of_the_http_class(musterd, serve):
    """The argument that pymanager could not take."""
    server = serve(503)
    m = musterd({**FAIL, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(
            server.url, timeout=1.5, interval=0.1))}})
    m.wait_text("^Verifier fail")
    start = time.monotonic()
    assert m.wait() == 5
    assert 0.4 < time.monotonic() - start < 2.2 * harness.patience()
    assert "VerificationFailedException: Process verification failed." in \
        m.stdout_text()


def test_a_slow_answer_is_a_failed_attempt(musterd, serve):
    server = serve(lambda number, head: None if number < 3 else reply(200))
    m = musterd({**KEEP, **FAIL, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(server.url, interval=0.3))}})
    m.wait_status()
    assert len(fails(m)) == 2
    assert all(re.match("Verifier fail: Connection error: .*timed? ?out",
                        line, re.I) for line in fails(m))
    assert len(server.times) == 3


def test_refused_at_first(musterd):
    port = harness.free_port()
    m = musterd({**KEEP, **FAIL, "processes": {"a": sh(
        f"sleep 0.3; exec python3 -m http.server -b 127.0.0.1 {port}",
        verifier=http_ok(f"http://localhost:{port}/", interval=0.1))}},
        env={"PATH": "/usr/bin:/bin"})
    m.wait_status()
    assert fails(m)


def test_headers(musterd, serve):
    server = serve(200)
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", verifier=http_ok(server.url, headers={
            "X-Token": "secret", "Host": "example.com"}))}})
    m.wait_status()
    assert "\r\nX-Token: secret\r\n" in server.heads[0]
    assert "\r\nHost: example.com\r\n" in server.heads[0]


def test_process_that_dies_before_it_is_verified(musterd, serve):
    """At once: pymanager waited to the end of its time."""
    server = serve(503)
    m = musterd({"processes": {"a": sh(
        "sleep 0.2; exit 4", verifier=http_ok(server.url))}})
    start = time.monotonic()
    assert m.wait() == 5
    assert time.monotonic() - start < 2 * harness.patience()
    assert "exited with code 4 before it was verified" in m.stdout_text()


@pytest.mark.parametrize("arguments, text", [
    ({}, "url"), ({"url": "ftp://x/"}, "http"), ({"url": 3}, "url"),
    ({"url": "http://x/", "timeout": "long"}, "timeout")])
def test_bad_arguments(musterd, arguments, text):
    m = musterd({"processes": {"a": sh("touch started", verifier={
        "type": HTTP, "arguments": arguments})}})
    assert m.wait() == 5
    assert text in m.stdout_text()
    assert not (m.dir / "started").exists()


# --- ExitedVerifier ---


@pytest.mark.parametrize("name", [
    "exited_verifier.ExitedVerifier", "utils.exited_verifier.ExitedVerifier",
    "pymutils.exited_verifier.ExitedVerifier", "pymutils.ExitedVerifier"])
def test_names_of_the_exited_class(musterd, name):
    m = musterd({"processes": {"a": job("true", verifier={"type": name})}})
    assert m.wait() == 0


@pytest.mark.parametrize("script, arguments, passes", [
    ("exit 0", {}, True), ("exit 1", {}, False),
    ("exit 3", {"expect_code": 3}, True),
    ("exit 0", {"expect_code": 3}, False),
    ("kill -9 $$", {"expect_code": -9}, True),
    ("exit 9", {"expect_code": -9}, False),
    ("exec sleep 4000", {"timeout": 0.2}, False),
    ("exit 0", {"other": 1, "timeout": 1.5}, True)])
def test_exited_class(musterd, script, arguments, passes):
    m = musterd({"processes": {"a": sh(script, verifier=exited(**arguments)),
                               "b": sh("touch started")}})
    assert m.wait() == (0 if passes else 5)
    assert (m.dir / "started").exists() == passes


def test_exited_class_at_a_restart(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "test -f bad && exit 1; exit 0", verifier=exited())}})
    m.wait_status()
    assert m.post("/restart/1").status == 200
    (m.dir / "bad").touch()
    got = m.post("/restart/1")
    assert got.status == 500
    assert "Expected exit code 0, got 1" in got.json()["error"]["message"]
    assert m.status() == "running"
    assert m.processes()[0]["code"] == 1


# --- muster's own ---


def check(musterd, verify, process=None, **more):
    """Whether the launch passes, and musterd."""
    process = process or SLEEP
    m = musterd({**KEEP, "processes": {
        "a": {**process, "verify": verify}}, **more})
    harness.wait_for("an end of the launch", lambda: not m.running() or
                     m.status() == "running")
    return m.running(), m


@pytest.mark.parametrize("verify", ["URL", {"http": "URL"}])
def test_http(musterd, serve, verify):
    server = serve(200)
    if isinstance(verify, dict):
        verify = {"http": server.url}
    else:
        verify = server.url
    passes, m = check(musterd, verify)
    assert passes and m.all()["a"]["verifier"]["kind"] == "http"


@pytest.mark.parametrize("more, answer, passes", [
    ({"status": 404}, reply(404), True), ({"status": 404}, reply(200), False),
    ({"status": "200-399"}, reply(304), True),
    ({"status": [200, "500-502"]}, reply(501), True),
    ({"status": [200, "500-502"]}, reply(503), False),
    ({"body": "ready"}, reply(200, "all ready"), True),
    ({"body": "ready"}, reply(200, "not yet"), False),
    ({"header": {"X-State": "up"}}, reply(200, X_State="up"), True),
    ({"header": {"X-State": "up"}}, reply(200, X_State="down"), False),
    ({"header": "x-state"}, reply(200, X_State="any"), True),
    ({"header": "x-state"}, reply(200), False),
    ({"redirects": 0}, reply(302, Location="/"), False)])
def test_expectations(musterd, serve, more, answer, passes):
    server = serve(lambda number, head: answer)
    assert check(musterd, {
        "http": server.url, "timeout": "10s" if passes else "400ms", **more
    })[0] == passes


def test_method_and_headers(musterd, serve):
    server = serve(200)
    assert check(musterd, {"http": server.url, "method": "HEAD",
                           "headers": {"X-A": "b"}})[0]
    assert server.heads[0].startswith("HEAD /health ")
    assert "\r\nX-A: b\r\n" in server.heads[0]


def test_first_attempts_are_fast(musterd, serve):
    """5 ms, doubling: a dependant starts the moment that it can."""
    server = serve(lambda number, head: reply(
        503 if number < 5 else 200))
    assert check(musterd, {"http": server.url})[0]
    assert server.times[-1] - server.times[0] < 0.3 * harness.patience()


@pytest.mark.parametrize("form", ["127.0.0.1:{}", ":{}", "localhost:{}",
                                  None])
def test_tcp(musterd, serve, form):
    server = serve(200)
    assert check(musterd, {"tcp": form.format(server.port) if form else
                           server.port})[0]


def test_tcp_that_is_refused(musterd):
    passes, m = check(musterd, {"tcp": "127.0.0.1:1", "timeout": "300ms"})
    assert not passes
    assert re.search("^a: tcp verifier: .*refused", m.stdout_text(), re.M)


def test_unix(musterd):
    script = "import socket, time; s = socket.socket(socket.AF_UNIX); " \
        "time.sleep(0.2); s.bind('a.sock'); s.listen(); time.sleep(4000)"
    assert check(musterd, {"unix": "a.sock"}, python(script))[0]
    assert not check(musterd, {"unix": "b.sock", "timeout": "200ms"},
                     python(script))[0]


@pytest.mark.parametrize("form", ["long", "short", "url"])
def test_http_over_unix(musterd, serve, form, tmp_path):
    path = f"/tmp/{os.path.basename(tmp_path)}-{os.getpid()}.sock"
    server = serve(200, path)
    try:
        verify = {"long": {"http+unix": path, "path": "/health"},
                  "short": {"http": "http://localhost/health", "unix": path},
                  "url": "http+unix://" + path.replace("/", "%2F") +
                  "/health"}[form]
        assert check(musterd, verify)[0]
        assert server.heads[0].startswith("GET /health HTTP/1.1\r\n")
    finally:
        os.unlink(path)


@pytest.mark.parametrize("verify, script, passes", [
    ("exited", "exit 0", True), ("exited", "exit 1", False),
    ({"exited": 3}, "exit 3", True), ({"exited": True}, "exit 0", True),
    ({"exited": -15}, "kill $$", True)])
def test_exited(musterd, verify, script, passes):
    assert check(musterd, verify, sh(script))[0] == passes


def test_command(musterd):
    passes, m = check(musterd, {"command": "test -f 'go'"}, sh(
        "sleep 0.2; touch go; exec sleep 4000"))
    assert passes
    # Words, and the job's directory and environment.
    m = harness.Musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", working_directory="sub", environment={"X": "x y"},
        verify={"command": ["sh", "-c", "test \"$X\" = 'x y' && pwd > out"]})
    }})
    (m.dir / "sub").mkdir()
    with m:
        m.wait_status()
        assert (m.dir / "sub/out").read_text() == f"{m.dir}/sub\n"


def test_command_that_fails(musterd):
    passes, m = check(musterd, {"command": "sh -c 'exit 3'",
                                "timeout": "300ms"})
    assert not passes
    assert "a: command verifier: command exited with code 3, gave up after " \
        "0.3 s" in m.stdout_text()


@pytest.mark.parametrize("script, words", [
    ("echo no; echo 'not yet: 5' >&2; exit 3", ": not yet: 5"),
    ("printf 'one\n two \n\n'; exit 3", ":  two"), ("exit 3", ""),
    ("printf 'a\033[1mb'; exit 3", r": a\033[1mb"),
    ("(sleep 5; echo later) & echo now; exit 3", ": now"),
    ("i=0; while test $i -lt 9999; do i=$((i + 1)); echo line $i; done; exit 3",
     ": line 9999")])
def test_last_words_of_a_command(musterd, script, words):
    """The reason of its failure, as far as it is told by it."""
    passes, m = check(musterd, {"command": ["sh", "-c", script],
                                "timeout": "1s"})
    assert not passes
    assert f"a: command verifier: command exited with code 3{words}, gave up " \
        "after 1 s" in m.stdout_text()


def test_command_and_environment_file(musterd):
    m = harness.Musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", environment_file="e", working_directory="sub",
        verify={"command": ["sh", "-c", "test \"$X\" = 'x y' && pwd > out"]})
    }})
    (m.dir / "sub").mkdir()
    (m.dir / "e").write_text("X='x y'; export X\n")
    with m:
        m.wait_status()
        assert (m.dir / "sub/out").read_text() == f"{m.dir}/sub\n"


def test_command_and_environment_file_that_ends(musterd):
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "touch up; exec sleep 4000", environment_file="e",
        verify=[{"file": "up"}, {"command": "true", "timeout": "500ms"}])}})
    (m.dir / "e").write_text("! test -f up || exit 4\n")
    with m:
        assert m.wait() == 5
        assert "command cannot start: environment file: it has ended its " \
            "shell" in m.stdout_text()


def test_commands_that_fail_leave_nothing(musterd):
    """And a relay that is killed meanwhile holds up nothing."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", verify={
            "command": ["sh", "-c", "echo x >> tries; echo words; test -f go"],
            "interval": "20ms", "timeout": "60s"})}})
    m.wait_status("launching processes")

    def tries():
        file = m.dir / "tries"
        return file.read_text().count("x") if file.exists() else 0

    def descriptors():
        return sum(len(os.listdir(f"/proc/{p.pid}/fd")) for p in [
            m.parent(), *m.component("muster-relay")])

    harness.wait_for("tries", lambda: tries() > 10)
    before = descriptors()
    count = tries()
    harness.wait_for("more", lambda: tries() > count + 50)
    assert descriptors() < before + 15
    harness.kill(m.component("muster-relay")[0])
    count = tries()
    harness.wait_for("more", lambda: tries() > count + 20)
    (m.dir / "go").touch()
    m.wait_status()
    assert m.all()["a"]["verifier"]["last"] == "command exited with code 0"


def test_interval_of_a_command(musterd):
    """5 ms, doubling up to it."""
    passes, m = check(musterd, {"command": [
        "sh", "-c", "echo x >> tries; exit 1"], "interval": "200ms",
        "timeout": "1s"})
    assert not passes
    tries = (m.dir / "tries").read_text().count("x")
    assert 12 // (harness.SLOW * 3) < tries < 12


def test_command_that_is_none(musterd):
    passes, m = check(musterd, {"command": "/no/such", "timeout": "200ms"})
    assert not passes
    assert "cannot start: No such file or directory" in m.stdout_text()


def test_command_that_hangs(musterd):
    """It is killed with all that it has started, and tried again."""
    passes, m = check(musterd, {"command": [
        "sh", "-c", "test -f again && exit; touch again; setsid sleep 4321 & "
        "sleep 4322"], "attempt-timeout": "300ms"})
    assert passes
    harness.wait_for("their end", lambda: not [
        p for p in m.jobs() if "4321" in p.command or "4322" in p.command], 2)


@pytest.mark.needs_root
def test_command_of_another_user(musterd):
    passes, m = check(musterd, {"command": ["sh", "-c", "test $(id -u) = "
                                            "65534"], "timeout": "500ms"},
                      job("sleep", "4000", user="nobody",
                          working_directory="/"))
    assert passes, m.tail()


def test_file(musterd):
    passes, m = check(musterd, {"file": "up"}, sh(
        "sleep 0.2; touch up; exec sleep 4000"))
    assert passes
    passes, m = check(musterd, {"file": "down", "timeout": "200ms"})
    assert not passes
    assert f"a: file verifier: {m.dir}/down: No such file or directory, gave "\
        "up after 0.2 s" in m.stdout_text()


def test_all_must_pass(musterd, serve):
    server = serve(200)
    verify = [{"file": "up"}, {"http": server.url}, {"command": "true"}]
    passes, m = check(musterd, verify, sh(
        "sleep 0.2; touch up; exec sleep 4000"))
    assert passes and len(server.times) == 1
    verify = [{"http": server.url}, {"file": "up", "timeout": "200ms"}]
    passes, m = check(musterd, verify)
    assert not passes
    assert "a: file verifier" in m.stdout_text()


@pytest.mark.parametrize("verify", [
    {}, {"http": "x"}, {"tcp": "nowhere"}, {"http": "http://a/", "tcp": 1},
    "sometimes", {"exited": False}, {"command": ""},
    {"file": "x", "timeout": "soon"}, {"htp": "http://a/"}])
def test_bad_verifiers(musterd, verify):
    m = musterd({"processes": {"a": {**sh("touch started"),
                                     "verify": verify}}})
    assert m.wait() == 5
    assert "processes.a.verify" in m.stdout_text()
    assert not (m.dir / "started").exists()


def test_instances_are_verified_each(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "sleep 0.$0; touch up$0; exec sleep 4000", "$(instance)",
        instances=3, verify={"command": "test -f up$(instance)"})}})
    m.wait_state("a", "starting")
    m.wait_status()
    assert all((m.dir / f"up{n}").exists() for n in range(3))


def test_start_of_many(musterd, serve):
    """One small program checks them all."""
    server = serve(200)
    m = musterd({**KEEP, "start-parallel": 50, "processes": {
        f"j{n}": job("sleep", "4000", after=[], verify=server.url)
        for n in range(50)}})
    m.wait_status()
    assert len(server.times) == 50
    assert len(m.component("muster-verifier")) == 1


def test_nothing_that_is_not_needed_is_started(musterd):
    m = musterd({**KEEP, "processes": {"a": job("sleep", "4000",
                                                verify={"file": "/"})}})
    del m
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    assert m.component("muster-verifier") == []
    assert m.component("muster-resolver") == []
    assert json.loads(m.get("/v1/processes/1").body)["verifier"] is None
