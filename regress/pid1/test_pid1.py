"""musterd as process 1 of a pid namespace, as in a container.

Its kernel sends process 1 only signals that it blocks or handles, makes it
the parent of all orphans, and ends the namespace with it.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

import harness
from harness import Failure, job, sh, wait_for

ORPHANS = int(os.environ.get("MUSTER_ORPHANS", "3000"))
LATE = 0.1      # s: no zombie is older
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
if os.geteuid() != 0:
    NAMESPACE[1:1] = ["--user", "--map-current-user"]


@pytest.fixture(name="init")
def fixture_init(musterd):
    """musterd as process 1; its pid is the one that we see."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare(1)")
    probe = subprocess.run([*NAMESPACE, "true"], capture_output=True,
                           encoding="utf-8", check=False)
    if probe.returncode != 0:
        pytest.skip("no pid namespace: " + probe.stderr.strip())

    def start(processes, *args, **more):
        return musterd({"processes": processes}, *args, prefix=NAMESPACE,
                       **more)

    return start


def inner_pids(pid):
    """The numbers of a process in our namespace and those below."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = [x for x in status.splitlines() if x.startswith("NSpid:")][0]
    return [int(x) for x in line.split()[1:]]


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def zombies(*parents):
    found = [harness.process(p) for parent in parents
             for p in children(parent)]
    return {(p.pid, p.start) for p in found if p and p.state == "Z"}


# --- who is process 1, and its end ---


def test_the_guard_is_process_1(init):
    m = init({"a": job("sleep", "1000")}).wait_status()
    assert inner_pids(m.pid)[-1] == 1
    assert inner_pids(m.parent().pid)[-1] == 2
    assert m.state("a") == "running"
    assert m.ctl("status").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGQUIT])
def test_a_signal_from_outside_ends_it(init, number):
    m = init({"a": sh("trap 'echo told; exit' TERM; echo up; "
                      "while :; do sleep 0.1; done")})
    m.wait_text("^up$")
    m.signal(number)
    assert m.wait() == 0
    assert "told" in m.stdout_text()


def test_a_signal_from_inside_ends_it(init):
    m = init({"a": job("sleep", "1000"), "b": sh("kill -TERM 1; sleep 1000")})
    assert m.wait() == 0


def test_a_signal_at_its_very_start_is_not_lost(init, tmp_path):
    # It comes no further than to its pid file before somebody reads that.
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    m = init({"a": job("sleep", "1000")}, "-p", str(fifo))
    wait_for("musterd to wait for that", lambda: (
        lambda p: p.name == "musterd" and p.state == "S")(
            harness.process(m.pid)))
    m.signal(signal.SIGTERM)
    with open(fifo, "rb"):
        assert m.wait() == 0
    assert "$ sleep" not in m.stdout_text()


def test_others_cannot_kill_it(init):
    m = init({"a": sh("kill -KILL 1; kill -STOP 1; kill -ALRM 1; echo $?; "
                      "sleep 1000")}).wait_status()
    m.wait_text("^0$")
    assert m.status() == "running"


def test_reload_and_reopen(init):
    a = sh("echo up; sleep 1000", redirect_output="out")
    m = init({"a": a}).wait_status()
    log = m.dir / "out"
    wait_for("output", lambda: log.exists() and log.read_text())
    log.rename(m.dir / "old")
    m.signal(signal.SIGUSR1)
    wait_for("a new file", log.exists)
    config = json.loads(m.file.read_text())
    config["processes"]["b"] = job("sleep", "1000")
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)
    wait_for("b", lambda: "b" in m.all())
    m.wait_state("b", "running")


def test_no_daemon(init):
    """-d would end all with the process that returns."""
    m = init({"a": job("sleep", "1000")}, "-d", "--wait").wait_status()
    assert inner_pids(m.pid)[-1] == 1
    assert m.stop() == 0


# --- the exit status ---


@pytest.mark.parametrize("script, code", [
    ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM 1; sleep 1000", 143),
    ("test $$ -gt 1", 0)])
def test_code_of_the_command(init, script, code):
    m = init({"a": job("sleep", "1000")}, "-x", "--", "sh", "-c", script)
    assert m.wait() == code


def test_code_of_a_job(init):
    m = init({"a": job("sleep", "1000"), "b": sh("exit 9", on_exit="shutdown")})
    assert m.wait() == 9


def test_code_of_a_failed_launch(init):
    m = init({"a": job("sleep", "1000"), "b": job("/nonexistent")})
    assert m.wait() == 5


def test_code_of_a_configuration_with_errors(init):
    m = init({"a": {"executable": ["no"]}})
    assert m.wait() == 5


# --- guard, parent and components are what they are elsewhere ---


def test_the_parent_is_killed(init):
    m = init({"a": job("sleep", "1000")}).wait_status()
    os.kill(m.parent().pid, signal.SIGKILL)
    assert m.wait() == 128 + signal.SIGKILL


def test_a_component_is_replaced(init):
    m = init({"a": job("sleep", "1000")}).wait_status()
    pid = m.processes()[0]["pid"]
    old = m.component("muster-manager")[0]
    harness.kill(old)
    wait_for("another manager", lambda: [
        p for p in m.component("muster-manager") if p.pid != old.pid])
    m.wait_status()
    assert m.processes()[0]["pid"] == pid


# --- orphans ---


def oldest_zombie(m, until):
    """Watches guard and parent; the age of the oldest zombie, in seconds."""
    parents = (m.pid, m.parent().pid)
    seen = {}
    oldest = 0
    end = time.monotonic() + 50 + ORPHANS / 500
    last = False
    while not last:
        last = until()
        now = time.monotonic()
        if now > end:
            raise Failure("no end of the orphans")
        current = zombies(*parents)
        seen = {key: seen.get(key, now) for key in current}
        oldest = max([oldest] + [now - t for t in seen.values()])
        time.sleep(0.005)
    wait_for("the last zombie to go", lambda: not zombies(*parents))
    return oldest


@pytest.mark.timeout(60 + ORPHANS / 100)
def test_orphans_are_reaped_at_once(init):
    # On a busy machine neither we nor they always get the processor in time.
    for _ in range(3):
        m = init({"a": job(str(harness.OBJ / "regress/pid1/prog_orphans"),
                           str(ORPHANS))})
        m.wait_text("^\\$ ")
        oldest = oldest_zombie(
            m, lambda: "done" in m.stdout_text())
        assert [p.name for p in m.jobs()] == ["prog_orphans"]
        assert m.stop() == 0
        if oldest <= LATE:
            return
    pytest.fail(f"there was a zombie for {oldest:.3f} s")


def test_orphans_that_end_together(init):
    m = init({"a": sh("for i in $(seq 200); do (sleep 0.3 &); done; echo done;"
                      "sleep 1000")})
    m.wait_text("^done$")
    wait_for("the end of the orphans",
             lambda: [p.name for p in m.jobs()] == ["sh", "sleep"]
             and not zombies(m.pid, m.parent().pid))


@pytest.mark.needs_root
@pytest.mark.needs_program("nsenter")
def test_orphans_of_processes_that_came_from_outside(init):
    m = init({"a": job("sleep", "1000")}).wait_status()
    subprocess.run(["nsenter", "-t", str(m.pid), "-p", "-m", "sh", "-c",
                    "(sleep 0.2 &) ; (setsid sleep 1000 &)"], check=True)
    wait_for("process 1 to have them", lambda: len(children(m.pid)) == 3)
    wait_for("one to have been reaped", lambda: len(children(m.pid)) == 2
             and not zombies(m.pid))
    assert m.stop() == 0
