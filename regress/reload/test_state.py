"""What is known of each job lives on over reloads and lost managers."""

import concurrent.futures
import contextlib
import os
import signal
import time

import harness
from harness import job, sh, wait_for
from steps import KEEP, manager, pids, reload, rewrite

SLEEP = job("sleep", "4000")
MANY = 60


def states(m):
    return {name: p["state"] for name, p in m.all().items()}


def kill_manager(m):
    before = manager(m)
    os.kill(before, signal.SIGKILL)
    wait_for("another manager", lambda: manager(m) not in (None, before))


def several(value):
    return {f"j{i}": sh("exec sleep 4000", environment={"V": value})
            for i in range(MANY)}


def values(m):
    """The V of each job that runs."""
    found = []
    for pid in pids(m).values():
        with contextlib.suppress(OSError), \
                open(f"/proc/{pid}/environ", "rb") as f:
            found += [e for e in f.read().split(b"\0") if e[:2] == b"V="]
    return found


def test_manager_killed_in_the_midst_of_a_reload(musterd):
    """All of them run, as the one configuration wants it or the other."""
    m = musterd({**KEEP, "processes": several("0")})
    m.wait_status()
    for n, delay in enumerate((0, 0.001, 0.002, 0.003, 0.004, 0.006), 1):
        wait_for("one manager",
                 lambda: len(m.component("muster-manager")) == 1)
        first = manager(m)
        rewrite(m, several(str(n)))
        reload(m)
        # The second one takes the place of the first.
        second = wait_for("it", lambda first=first: [
            p.pid for p in m.component("muster-manager") if p.pid != first])
        wait_for("its turn", lambda first=first: not harness.alive(first))
        time.sleep(delay)
        os.kill(second[0], signal.SIGKILL)
        wait_for("all", lambda: len(values(m)) == MANY and
                 set(states(m).values()) == {"running"} and
                 len(set(values(m))) == 1, 20)


def test_manager_killed_in_a_launch_that_fails(musterd):
    """What was never verified does not become so by a new manager."""
    for delay in (0, 0.02, 0.04, 0.06, 0.09):
        m = musterd({"graceful_time": 1, "processes": {
            **{f"j{i}": SLEEP for i in range(30)},
            "v": sh("exec sleep 4000",
                    verify={"file": "no", "timeout": "600ms"}),
            "after": sh("touch started; exec sleep 4000")}})
        wait_for("a job", m.jobs)
        time.sleep(delay)
        for p in m.component("muster-manager"):
            harness.kill(p)
        assert m.wait(20) == 5
        assert not (m.dir / "started").exists()


def test_the_command_is_nobody_elses(musterd):
    """It has no name in the file, and its number may be another's then."""
    for jobs, n in ({"a": SLEEP, "b": SLEEP, "c": SLEEP}, 3), ({"a": SLEEP}, 1):
        m = musterd({"graceful_time": 1,
                     "processes": {"a": SLEEP, "b": SLEEP}}, "-v", "-x", "--",
                    "sh", "-c", "touch runs; until test -f go; do sleep 0.02; "
                    "done; exit 7")
        wait_for("the command", (m.dir / "runs").exists)
        rewrite(m, jobs)
        reload(m)
        m.wait_text("reloaded: ")
        wait_for("its jobs", lambda m=m, n=n: len([
            p for p in m.jobs() if p.command == ["sleep", "4000"]]) == n)
        (m.dir / "go").touch()
        assert m.wait() == 7


def test_the_jobs_that_went_are_counted(musterd):
    m = musterd({**KEEP, "processes": {
        "x": SLEEP, "c": sh("exec sleep 4000", instances=2), "d": SLEEP}})
    m.wait_status()
    rewrite(m, {"x": SLEEP, "c": sh("exec sleep 4000", instances=3),
                "d": SLEEP})
    reload(m)
    m.wait_text(r"reloaded: 1 changed \(c\), 2 not touched")
    rewrite(m, {"x": SLEEP})
    reload(m)
    m.wait_text(r"reloaded: 2 removed \(c, d\), 1 not touched")


def test_bad_one_among_the_new(musterd):
    """It takes none of the others down, and one that is mended starts."""
    m = musterd({**KEEP, "processes": {"x": SLEEP}})
    m.wait_status()
    new = {"x": SLEEP, "bad": job("/nonexistent/program"), "good": SLEEP,
           "end": SLEEP}
    rewrite(m, new)
    reload(m)
    wait_for("the good ones", lambda: states(m) == {
        "x": "running", "bad": "failed", "good": "running", "end": "running"})
    before = pids(m)
    rewrite(m, {**new, "bad": SLEEP})
    reload(m)
    m.wait_state("bad", "running")
    assert {**pids(m), "bad": None} == {**before, "bad": None}


def test_what_was_done_is_not_done_again(musterd):
    """It has ended well; one that has not is tried as it is now."""
    def task(text, code):
        return sh(f"echo {text} >> {text[0]}; exit {code}")
    m = musterd({**KEEP, "processes": {
        "x": SLEEP, "g": task("g1", 0), "b": task("b1", 1)}})
    m.wait_state("b", "exited")
    m.wait_status()
    rewrite(m, {"x": SLEEP, "g": task("g2", 0), "b": task("b2", 0)})
    reload(m)
    wait_for("the second", lambda: (m.dir / "b").read_text() == "b1\nb2\n")
    m.wait_state("b", "exited")
    assert (m.dir / "g").read_text() == "g1\n"


def test_not_wanted_then_wanted(musterd):
    m = musterd({**KEEP, "processes": {
        "x": SLEEP, "a": sh("exec sleep 4000", autostart=False)}})
    m.wait_status()
    a = sh("exec sleep 4000", autostart=False)
    rewrite(m, {"x": SLEEP, "a": a, "b": sh("exec sleep 4000", after=["a"])})
    reload(m)
    wait_for("both", lambda: states(m) == {
        "x": "running", "a": "running", "b": "running"})
    # Away, and back: it has no past.
    rewrite(m, {"x": SLEEP, "o": sh("exec sleep 4000", autostart=False)})
    reload(m)
    wait_for("one", lambda: states(m) == {"x": "running", "o": "stopped"})
    rewrite(m, {"x": SLEEP})
    reload(m)
    wait_for("x", lambda: states(m) == {"x": "running"})
    rewrite(m, {"x": SLEEP, "o": sh("exec sleep 4000")})
    reload(m)
    wait_for("o", lambda: states(m) == {"x": "running", "o": "running"})


def test_failed_start_stays_failed(musterd):
    m = musterd({**KEEP, "processes": {"x": SLEEP}})
    m.wait_status()
    rewrite(m, {"x": SLEEP, "n": job("/nonexistent/program", after=[]),
                "w": sh("touch started", after={"n": "exited"})})
    reload(m)
    wait_for("its failure", lambda: states(m).get("n") == "failed")
    for _ in range(2):
        kill_manager(m)
        wait_for("the same", lambda: m.all()["n"]["exit"]["code"] == 127)
        assert states(m) == {"x": "running", "n": "failed", "w": "waiting"}
    assert not (m.dir / "started").exists()


def test_manager_killed_in_a_shutdown(musterd):
    """What has ended in it does not come back."""
    m = musterd({"graceful_time": 2, "processes": {
        "a": sh("echo x >> a; exec sleep 4000", restart="always",
                backoff={"initial": 0}),
        "b": sh("trap '' TERM; touch b; while :; do sleep 0.1; done")}})
    m.wait_status()
    wait_for("both", lambda: (m.dir / "a").exists() and (m.dir / "b").exists())
    a = pids(m)["a"]
    m.signal(signal.SIGTERM)
    wait_for("the end of a", lambda: not harness.alive(a))
    time.sleep(0.2)
    kill_manager(m)
    assert m.wait() == 0
    assert (m.dir / "a").read_text() == "x\n"


def test_exit_is_told_once(musterd):
    """Though some that it left are there when the next manager comes."""
    m = musterd({**KEEP, "messages": ["process.exit"], "processes": {
        "x": SLEEP, "a": sh("(trap '' TERM; touch up; sleep 4000) & "
                            "until test -f up; do sleep 0.01; done; exit 3",
                            graceful_time=1.5)}})
    m.wait_text("exited with code 3")
    for _ in range(2):
        kill_manager(m)
        m.wait_status()
    m.wait_state("a", "exited")
    assert m.all()["a"]["exit"]["code"] == 3
    assert m.stdout_text().count("exited with code 3") == 1


def test_list_of_verifiers_begins_anew(musterd):
    """What the one before has passed says nothing of the next one."""
    m = musterd({**KEEP, "processes": {"v": sh(
        "if mkdir first; then touch a; until test -f go; do sleep 0.01; done; "
        "exit 1; fi; touch b second; exec sleep 4000",
        restart="always", backoff={"initial": 0},
        verify=[{"file": "a"}, {"file": "b"}])}})
    m.wait_state("v", "starting")

    def waits_for(name):
        return (m.all()["v"]["verifier"] or {}).get("last", "").startswith(
            str(m.dir / name))
    wait_for("the second of them", lambda: waits_for("b"))
    (m.dir / "a").unlink()
    (m.dir / "go").touch()
    wait_for("the next", (m.dir / "second").exists)
    wait_for("the first of them", lambda: waits_for("a"))
    assert m.state("v") == "starting"
    (m.dir / "a").touch()
    m.wait_state("v", "running")


def hurried(name):
    """One that ends at once, and what it left writes lines to its end."""
    left = ("import os,signal,time\n"
            "def term(*_):\n"
            " end = time.monotonic() + 0.06\n"
            " n = 0\n"
            " while time.monotonic() < end:\n"
            "  n += 1\n"
            "  os.write(1, b'line %d\\n' % n)\n"
            " os.write(1, b'last %d\\n' % n)\n"
            " os._exit(0)\n"
            "signal.signal(signal.SIGTERM, term)\n"
            "os.write(1, b'up\\n')\n"
            "while True: time.sleep(1)\n")
    return sh(f'{harness.PYTHON} -Sc "$0" & wait', left,
              redirect_output=name, capture="16M")


def is_whole(file):
    lines = file.read_text().splitlines()
    return lines[0] == "up" and lines[-1] == f"last {len(lines) - 2}" and \
        lines[1:-1] == [f"line {n + 1}" for n in range(len(lines) - 2)]


def test_last_output_of_what_it_left(musterd):
    """It is whole after a shutdown, and after it was taken away."""
    for n in range(3):
        m = musterd({"graceful_time": 2, "processes": {
            "x": SLEEP, "a": hurried("log")}})
        file = m.dir / "log"
        wait_for("it", lambda file=file: file.exists() and file.read_text())
        if n == 0:
            rewrite(m, {"x": SLEEP})
            reload(m)
            wait_for("x alone", lambda m=m: set(states(m)) == {"x"})
            wait_for("the end", lambda file=file: "last" in file.read_text())
        else:
            m.signal(signal.SIGTERM)
            assert m.wait() == 0
        assert is_whole(file)


def open_logs(m):
    """Names of the log files that the relay has open."""
    found = set()
    for p in m.component("muster-relay"):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{p.pid}/fd"):
                with contextlib.suppress(OSError):
                    found.add(os.path.basename(
                        os.readlink(f"/proc/{p.pid}/fd/{fd}")))
    return {name for name in found if name.startswith("log")}


def test_files_that_nobody_writes_to_are_closed(musterd):
    def jobs(n):
        return {"x": SLEEP, "same": sh("echo up; exec sleep 4000",
                                       redirect_output="log.same"),
                "a": sh("echo up; exec sleep 4000",
                        redirect_output=f"log.{n}")}
    m = musterd({**KEEP, "processes": jobs(0)})
    m.wait_status()
    for n in range(1, 5):
        rewrite(m, jobs(n))
        reload(m)
        wait_for("the next", lambda n=n: open_logs(m) == {
            "log.same", f"log.{n}"})
    rewrite(m, {"x": SLEEP})
    reload(m)
    wait_for("none", lambda: not open_logs(m))


def test_relay_killed_while_a_changed_job_ends(musterd):
    """What it writes until then goes where it went before."""
    def jobs(value):
        return {"x": SLEEP, "a": sh(
            "trap 'i=0; while test $i -lt 40; do i=$((i+1)); echo line $i; "
            "sleep 0.02; done; echo end; exit' TERM; echo up; "
            "while :; do sleep 0.01; done",
            redirect_output="log", append=True,
            environment={"V": value})}
    m = musterd({"keep_alive": True, "graceful_time": 10,
                 "processes": jobs("1")})
    log = m.dir / "log"
    wait_for("it", lambda: log.exists() and log.read_text() == "up\n")
    rewrite(m, jobs("2"))
    reload(m)
    wait_for("its end to begin", lambda: "line 3\n" in log.read_text())
    before = m.component("muster-relay")[0].pid
    os.kill(before, signal.SIGKILL)
    whole = ["up", *(f"line {n}" for n in range(1, 41)), "end", "up"]
    # The shell tells of the sleep that was asked to end, too.
    wait_for("all", lambda: [
        line for line in log.read_text().splitlines()
        if line != "Terminated"] == whole)


def slow(**more):
    """Three, of which the second is verified when there is a file `go`."""
    return {"a": SLEEP, "b": sh("exec sleep 4000",
                                verify={"file": "go", **more}), "c": SLEEP}


def test_in_the_midst_of_the_launch(musterd):
    """It goes on: the command of -x runs when all is up."""
    m = musterd({"graceful_time": 1, "processes": slow()}, "-v", "-x", "--",
                "sh", "-c", "touch runs; exit 7")
    wait_for("two", lambda: len(m.jobs()) == 2)
    rewrite(m, {**slow(), "d": SLEEP})
    reload(m)
    m.wait_text("reloaded: ")
    time.sleep(0.2)
    assert m.running() and not (m.dir / "runs").exists()
    assert len(m.jobs()) == 2
    (m.dir / "go").touch()
    assert m.wait() == 7


def test_a_launch_fails_though_reloaded(musterd):
    m = musterd({**KEEP, "processes": slow(timeout="1s")})
    m.wait_state("b", "starting")
    reload(m)
    m.wait_text("reloaded: |not touched")
    assert m.status() == "launching processes"
    assert m.get("/v1/ready").status == 503
    assert m.wait(20) == 5


def test_a_restart_that_meets_a_reload(musterd):
    """It is done once, and answered when it is."""
    m = musterd({**KEEP, "processes": {"x": SLEEP, "a": sh(
        "echo up >> log; sleep 0.6; touch up; exec sleep 4000",
        verify={"file": "up"})}})
    m.wait_status()
    (m.dir / "up").unlink()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(m.post, f"/restart/{m.all()['a']['id']}",
                             timeout=30)
        m.wait_state("a", "starting")
        reload(m)
        m.wait_text("reloaded: 2 not touched")
        assert answer.result().status == 200
    assert m.all()["a"]["generation"] == 2
    assert (m.dir / "log").read_text() == "up\nup\n"
