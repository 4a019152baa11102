"""A reload, a crash or an end that meets something which is on its way."""

import os
import signal
import time

import pytest

from harness import PYTHON, job, sh, wait_for
from steps import KEEP, manager, pids, reload, rewrite

SLEEP = job("sleep", "4000")


def count(m, name="runs"):
    file = m.dir / name
    return len(file.read_text().splitlines()) if file.exists() else 0


def crash(m):
    before = manager(m)
    os.kill(before, signal.SIGKILL)
    wait_for("another manager", lambda: manager(m) not in (None, before))
    m.wait_status()


def runs(m, name):
    """It does, once the reload that brings it is through."""
    wait_for(name, lambda: name in m.all() and m.state(name) == "running")


@pytest.mark.parametrize("backoff", [{}, {"backoff": {"initial": 5}}])
@pytest.mark.parametrize("args", [(), ("-x", "--", "touch", "ran")])
def test_a_failed_launch_starts_nothing_again(musterd, args, backoff):
    """Though its policy says so: the end has begun in the midst of its own."""
    m = musterd({"processes": {
        "a": SLEEP, "b": sh("echo >> runs; sleep 0.1; exit 3",
                            verify="exited", restart="on-failure",
                            **backoff)}}, *args)
    assert m.wait() == 5
    assert count(m) == 1 and not (m.dir / "ran").exists()


def test_the_command_of_a_reloaded_launch(musterd):
    """The manager that was about to start it has gone."""
    r, w = os.pipe()
    os.set_blocking(w, False)
    try:
        while True:
            os.write(w, bytes(4096))
    except BlockingIOError:
        os.set_blocking(w, True)
    # The display cannot be written, and the command waits for it a while.
    m = musterd({"processes": {"a": sh(
        "echo said; exec sleep 4000", verify={"command": "sleep 0.2"})}},
        "-x", "--", "sh", "-c", "echo >> ran; exit 7", stdout=w, stderr=w)
    os.close(w)
    m.wait_status()
    before = manager(m)
    reload(m)
    wait_for("the next manager", lambda: manager(m) not in (None, before))
    wait_for("the command", lambda: count(m, "ran") == 1)
    with os.fdopen(r, "rb") as f:
        f.read(1 << 16)
        assert m.wait() == 7
    assert count(m, "ran") == 1


@pytest.mark.parametrize("disturb", [reload, crash])
def test_a_pause_goes_on(musterd, disturb):
    """Neither a reload nor a crash gives it what it has used up."""
    m = musterd({**KEEP, "processes": {
        "limited": sh("echo >> runs; exit 3", restart="on-failure",
                      backoff={"initial": 0.01},
                      **{"start-limit": {"count": 3, "within": 20,
                                         "retry-after": 60}}),
        "soon": sh("echo >> soon; exit 3", restart="always",
                   backoff={"initial": 1.5, "max": 1.5}),
        "late": sh("echo >> late; sleep 0.05; exit 3", restart="on-failure",
                   backoff={"initial": 0.7, "max": 0.7},
                   **{"start-limit": {"count": 3, "within": 20}})}})
    wait_for("the limit", lambda: count(m) == 3)
    wait_for("a pause", lambda: m.state("soon") == "backoff")
    began = time.monotonic()
    for _ in range(2):
        disturb(m)
        time.sleep(0.3)
    assert (count(m), m.state("limited")) == (3, "backoff")
    if time.monotonic() - began < 1:
        assert count(m, "soon") == 2
    wait_for("its time", lambda: count(m, "soon") == 3)
    wait_for("the limit of the other",
             lambda: m.state("late") == "failed")
    assert count(m, "late") == 3


def test_what_it_was_starts_nobody(musterd):
    """It was verified once, and is to be so again before others start."""
    m = musterd({**KEEP, "processes": {
        "a": SLEEP, "db": sh("sleep 0.2; exit 1", after=["a"],
                             verify={"command": "true"})}})
    m.wait_state("db", "exited")
    rewrite(m, {
        "a": SLEEP,
        "web": sh("test -e up && echo up >> good; exec sleep 4000", after="db"),
        "begun": sh("test -e begun || exit 1; exec sleep 4000",
                    after={"db": "started"}),
        "db": sh("touch begun; sleep 0.3; touch up; exec sleep 4000",
                 after=["a"], verify={"file": "up"})})
    reload(m)
    runs(m, "web")
    wait_for("what it says", lambda: count(m, "good") == 1)


def test_changed_while_it_is_cleaned_up(musterd):
    """It has failed, and what it left has not gone yet."""
    m = musterd({**KEEP, "processes": {
        "a": sh("(trap '' TERM; touch up; exec sleep 4000) & "
                "until test -e up; do sleep 0.01; done; exit 1")}})
    m.wait_state("a", "stopping")
    rewrite(m, {"a": sh("echo >> mended; exec sleep 4000")})
    reload(m)
    wait_for("the new one", lambda: count(m, "mended") == 1)


@pytest.mark.parametrize("bad", [
    sh("exec sleep 4000", verify={"command": "false", "timeout": 0.3}),
    sh("exit 1", verify={"tcp": 9}),
    sh("exit 1", verify={"tcp": 9}, restart="always",
       backoff={"initial": 30}),
    job("./nothing", verify={"tcp": 9})],
    ids=["unverified", "ended", "in backoff", "not started"])
def test_those_behind_a_new_one_that_fails(musterd, bad):
    """In the order of the file each waits for the one before, for a while."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    rewrite(m, {"a": SLEEP, "bad": bad, "b": SLEEP})
    reload(m)
    runs(m, "b")
    rewrite(m, {"a": SLEEP, "bad": bad, "b": SLEEP, "c": SLEEP})
    reload(m)
    runs(m, "c")


TELLS = [PYTHON, "-Sc", """
import os, signal, sys
def end(number, _):
    with open("signals", "a") as f:
        print(number, file=f)
    if number == int(sys.argv[1]):
        os._exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
open("ready", "a").write("\\n")
while True:
    signal.pause()
"""]


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_removed_is_stopped_as_it_was_to_be(musterd, times):
    """Though the new configuration does not know it, nor that after it."""
    m = musterd({**KEEP, "graceful_time": 0.1, "processes": {
        "a": SLEEP, "db": job(*TELLS, "15", instances=2,
                              stop=[{"signal": "INT", "wait": 0.4},
                                    {"signal": "TERM", "wait": 20}])}})
    wait_for("both", lambda: count(m, "ready") == 2)
    rewrite(m, {"a": SLEEP})
    for _ in range(times):
        before = manager(m)
        reload(m)
        wait_for("it", lambda before=before: manager(m) not in (None, before))
    wait_for("the end", lambda: set(pids(m)) == {"a"})
    said = (m.dir / "signals").read_text().split()
    assert sorted(set(said)) == ["15", "2"] and said.count("15") == 2
    assert said[:2] == ["2", "2"]


def test_a_job_whose_name_is_a_star(musterd):
    """It is one as any other."""
    m = musterd({**KEEP, "processes": {"a": SLEEP, "*": SLEEP}})
    m.wait_status()
    before = pids(m)
    reload(m)
    m.wait_text("reloaded: 2 not touched")
    assert pids(m) == before
