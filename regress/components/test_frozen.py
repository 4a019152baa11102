"""Components that are late with an answer, and storms of kills."""

import ctypes
import os
import random
import signal
import socket
import statistics
import threading
import time

import pytest

import harness
from harness import SLOW, job

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long] * 4


class Frozen:
    """A process that does nothing more, without anybody being told: SIGSTOP
    would tell its parent at once. Only root may."""

    def __init__(self, pid):
        self.pid = pid
        if LIBC.ptrace(PTRACE_SEIZE, pid, 0, 0) == -1:
            pytest.skip(f"no ptrace: {os.strerror(ctypes.get_errno())}")
        assert LIBC.ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0
        os.waitpid(pid, 0x40000000)     # __WALL

    def ended(self):
        """Who traces must wait for its end before its parent can."""
        got, status = os.waitpid(self.pid, os.WNOHANG | 0x40000000)
        return got == self.pid and os.WIFSIGNALED(status)


def own(m, name):
    return [p.pid for p in m.component("muster-" + name)]


def freeze(m, name):
    pids = own(m, name)
    assert pids, f"no {name} runs"
    return [Frozen(pid) for pid in pids]


def wait_replaced(m, frozen, name, seconds):
    for f in frozen:
        harness.wait_for(f"the end of {name}", f.ended, seconds)
    old = {f.pid for f in frozen}
    harness.wait_for(f"another {name}", lambda: len(
        set(own(m, name)) - old) == len(old), 5)


def pids(m):
    return {name: p["pid"] for name, p in m.all().items()}


@pytest.mark.needs_root
def test_a_manager_that_does_not_answer(musterd):
    m = musterd({**KEEP, "processes": {"a": SLEEP, "b": SLEEP}})
    m.wait_status()
    before = pids(m)
    frozen = freeze(m, "manager")
    # What is only read does not need it.
    assert pids(m) == before
    got = []
    asker = threading.Thread(target=lambda: got.append(
        m.post("/restart/1", timeout=30)))
    asker.start()
    wait_replaced(m, frozen, "manager", 10)
    asker.join()
    # Nobody knows what it had done.
    assert got[0].status == 503
    assert m.wait_text("muster-manager 0: it does not answer")
    assert pids(m) == before
    assert m.post("/restart/1", timeout=30).status == 200
    assert m.stop() == 0


@pytest.mark.needs_root
def test_a_manager_that_does_not_hear_the_end(musterd):
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    frozen = freeze(m, "manager")
    m.signal(signal.SIGTERM)
    for f in frozen:
        harness.wait_for("its end", f.ended, 10)
    assert m.wait(10) == 0


@pytest.mark.needs_root
def test_a_manager_that_does_not_see_an_exit(musterd):
    m = musterd({**KEEP, "processes": {
        "a": {**SLEEP, "restart": "always"}, "b": SLEEP}})
    m.wait_status()
    before = pids(m)
    frozen = freeze(m, "manager")
    os.kill(before["a"], signal.SIGKILL)
    wait_replaced(m, frozen, "manager", 20)
    harness.wait_for("its successor", lambda: pids(m)["a"] not in (
        None, before["a"]))
    assert pids(m)["b"] == before["b"]


@pytest.mark.needs_root
def test_a_relay_that_does_not_answer(musterd):
    m = musterd({**KEEP, "processes": {"a": harness.sh(
        "echo some; exec sleep 4000")}})
    m.wait_status()
    before = pids(m)
    harness.wait_for("its output", lambda: m.get(
        "/v1/processes/1/streams/stdout").text == "some\n")
    frozen = freeze(m, "relay")
    got = []
    reader = threading.Thread(target=lambda: got.append(m.get(
        "/v1/processes/1/streams/stdout", timeout=30).text))
    reader.start()
    wait_replaced(m, frozen, "relay", 10)
    reader.join()
    assert got == ["some\n"]
    assert pids(m) == before


@pytest.mark.needs_root
def test_a_verifier_that_does_not_answer(musterd):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        m = musterd({**KEEP, "processes": {"a": job(
            "sleep", "4000", verify={"tcp": f"127.0.0.1:{port}",
                                     "interval": 0.1, "timeout": 60})}})
        m.wait_state("a", "starting")
        harness.wait_for("the verifier", lambda: own(m, "verifier"))
        frozen = freeze(m, "verifier")
        s.listen()
        wait_replaced(m, frozen, "verifier", 15)
        m.wait_state("a", "running")


def test_a_patient_restart(musterd):
    """To wait long is no fault of the manager."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done",
        **{"stop": [{"signal": "TERM", "wait": 5}]})}})
    m.wait_status()
    before = own(m, "manager")
    assert m.post("/restart/1", timeout=30).status == 200
    assert own(m, "manager") == before


def answered(m, deadline):
    """Milliseconds until the API answers; connections must not be refused."""
    begin = time.monotonic()
    while time.monotonic() < deadline:
        try:
            if m.get("/status", timeout=5).status == 200:
                return (time.monotonic() - begin) * 1000
        except ConnectionRefusedError:
            pytest.fail("the listener has refused a connection")
        except OSError:
            pass
        except Exception:   # pylint: disable=broad-except
            pass            # it was killed in the middle of its answer
    pytest.fail("no answer any more")
    return None


STORM = int(os.environ.get("MUSTER_STORM", "100"))


@pytest.mark.timeout(60 + STORM)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_storm(musterd, number):
    """MUSTER_STORM=1000 for as many as one likes."""
    count = STORM
    choose = random.Random(count)
    m = musterd({**KEEP, "processes": {
        f"p{i}": harness.sh("while :; do echo x; sleep 0.5; done")
        for i in range(20)}})
    m.wait_status()
    before = pids(m)
    done = threading.Event()

    def load():
        while not done.is_set():
            try:
                m.get("/v1/processes")
            except Exception:   # pylint: disable=broad-except
                pass

    loaders = [threading.Thread(target=load) for _ in range(2)]
    for t in loaders:
        t.start()
    times = []
    for _ in range(count):
        victims = [pid for name in ("manager", "relay", "httpd")
                   for pid in own(m, name)]
        if victims:
            try:
                os.kill(choose.choice(victims), number)
            except ProcessLookupError:
                pass
        times.append(answered(m, time.monotonic() + 20))
    done.set()
    for t in loaders:
        t.join()
    print(f"{count} x {number.name}: median {statistics.median(times):.1f} "
          f"ms, worst {max(times):.0f} ms")
    slow = harness.patience()
    assert statistics.median(times) < 50 * slow
    assert max(times) < 1000 * slow
    harness.wait_for("the same processes", lambda: pids(m) == before)
    rows = m.all()
    assert {p["generation"] for p in rows.values()} == {1}
