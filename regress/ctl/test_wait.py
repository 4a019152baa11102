"""musterctl wait."""

import json
import socket
import threading
import time

import pytest

import harness
from fakemusterd import exited, process, verifier


def asked(fake, seconds, change):
    """Something happens so long after somebody has asked how it is."""
    before = len(fake.requests)

    def run():
        harness.wait_for("a question", lambda: len(fake.requests) > before)
        time.sleep(seconds)
        change()
    threading.Thread(target=run).start()


def test_ready(ctl, fake):
    r = ctl("wait")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    assert fake.requests == ["GET /v1/ready?wait=0"]


def test_not_ready_yet(ctl, fake):
    fake.ready = "default.web: starting: http 503"
    start = time.monotonic()
    threading.Timer(0.5, setattr, [fake, "ready", True]).start()
    assert ctl("wait").returncode == 0
    assert time.monotonic() - start >= 0.5


def test_ready_timeout(ctl, fake):
    fake.ready = "default.web: starting: http 503\ndefault.x: waiting\x1b"
    start = time.monotonic()
    r = ctl("wait", "--timeout=0.5")
    assert (r.returncode, r.stdout) == (124, "")
    assert r.stderr.splitlines() == [
        "musterctl: not ready in time:",
        "musterctl: default.web: starting: http 503",
        "musterctl: default.x: waiting\\e"]
    assert 0.5 <= time.monotonic() - start < 3 * harness.patience()
    r = ctl("wait", "--timeout=0", "--json")
    assert r.returncode == 124
    assert json.loads(r.stdout) == {
        "met": False, "missing": fake.ready.splitlines()}
    fake.ready = True
    assert json.loads(ctl("wait", "--json").stdout) == {
        "met": True, "missing": []}


def test_the_server_waits(ctl, fake):
    def ready(q):
        time.sleep(int(q.query["wait"]))
        q.problem(503, "nothing")
    fake.on["GET", "/v1/ready"] = ready
    r = ctl("wait", "--timeout=2.5s")
    assert r.returncode == 124
    # Not many questions, and then an exact end.
    assert [q for q in fake.requests if "ready" in q and
            not q.endswith("wait=0")] == ["GET /v1/ready?wait=1"] * 2


def test_never_ready(ctl, fake):
    fake.ready = "shutting down"
    fake.status = "shutdown"
    r = ctl("wait")
    assert r.returncode == 1
    assert r.stderr == "musterctl: musterd is shutting down\n"


@pytest.mark.parametrize("state, more", [
    ("exited", ": exit code 1"), ("failed", ": http 503"), ("exited", "")])
def test_never_ready_without_one_that_has_ended(ctl, fake, state, more):
    """Nobody would end the wait."""
    fake.ready = f"default.x: starting\ndefault.web: {state}{more}"
    fake.processes = [process(1, "x", "starting"),
                      process(2, "web", state, exit=exited(1))]
    r = ctl("wait")
    assert r.returncode == 1
    assert r.stderr.splitlines() == [
        "musterctl: not ready, and will not be, as default.web has ended:",
        "musterctl: default.x: starting",
        f"musterctl: default.web: {state}{more}"]
    assert json.loads(ctl("wait", "--json").stdout) == {
        "met": False, "missing": fake.ready.splitlines()}


def test_ready_in_spite_of_one_that_has_ended(ctl, fake):
    """Its code is one of success-codes: it is not among the missing."""
    fake.ready = "default.x: starting\ndefault.web2: exited"
    fake.processes = [process(1, "web", "exited", exit=exited(3))]
    asked(fake, 0.3, lambda: setattr(fake, "ready", True))
    assert ctl("wait").returncode == 0


def test_verified_once_and_dead_now(ctl, fake):
    fake.processes = [process(1, "web", "exited", verified=True,
                              exit=exited(1))]
    r = ctl("wait", "web")
    assert (r.returncode, r.stderr) == (1, "musterctl: web: exited: exit 1\n")
    assert ", verified" not in ctl("status", "web").stdout
    fake.processes[0]["exit"] = exited(0)
    assert ctl("wait", "web").returncode == 0


def test_musterd_ends(ctl, fake):
    fake.ready = "nothing"
    asked(fake, 0.3, fake.close)
    r = ctl("wait")
    assert (r.returncode, r.stderr) == (1, "musterctl: musterd has ended\n")


def test_httpd_is_replaced(ctl, fake):
    calls = []

    def ready(q):
        calls.append(1)
        if len(calls) > 3:
            q.answer(200, {"ready": True})
        elif len(calls) == 1:
            q.problem(503, "nothing")
    fake.on["GET", "/v1/ready"] = ready
    assert ctl("wait").returncode == 0


def after(seconds, fake, index=0, **changes):
    asked(fake, seconds, lambda: fake.processes[index].update(changes))


@pytest.mark.parametrize("args, before, then", [
    (["web"], {"state": "starting", "verified": False},
     {"state": "running", "verified": True}),
    (["--for=verified", "web"], {"state": "backoff", "verified": False,
                                 "pid": None},
     {"state": "exited", "verified": True, "exit": exited(0)}),
    (["--for=running"], {"state": "waiting", "verified": False},
     {"state": "running"}),
    (["--for", "stopped", "id:1"], {}, {"state": "exited", "pid": None}),
    (["--for", "stopped"], {}, {"state": "failed", "pid": None}),
    (["w*", "--for=exit"], {}, {"state": "exited", "pid": None,
                                "exit": exited(0)}),
])
def test_states(ctl, fake, args, before, then):
    fake.processes[0].update(before)
    after(0.4, fake, **then)
    start = time.monotonic()
    r = ctl("wait", *args)
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    assert time.monotonic() - start >= 0.4


def test_all_of_them(ctl, fake):
    fake.processes = [process(1, "a"), process(2, "b", "starting")]
    after(0.3, fake, 1, state="running", verified=True)
    after(0.2, fake, 0, state="failed", verified=False)
    # a was verified when it was looked at: that counts.
    assert ctl("wait", "a", "b").returncode == 0


def test_timeout(ctl, fake):
    fake.processes = [process(1, "web", "starting", verifier=verifier(
        "http 503", attempts=4)), process(2, "db")]
    r = ctl("wait", "--timeout=300ms", "--for=verified")
    assert r.returncode == 124
    assert r.stderr == ("musterctl: web: starting: waiting: http 503, try 4 "
                        "(not in time)\n")
    r = ctl("wait", "--timeout=0", "web", "--json")
    assert json.loads(r.stdout) == {
        "met": False, "missing": ["web: starting: waiting: http 503, try 4"]}
    assert ctl("wait", "--timeout=0", "db").returncode == 0


@pytest.mark.parametrize("state", ["failed", "exited"])
def test_it_will_never_be(ctl, fake, state):
    fake.processes = [process(1, "web", state, exit=exited(3))]
    r = ctl("wait", "web")
    assert r.returncode == 1
    assert r.stderr == f"musterctl: web: {state}: exit 3\n"


@pytest.mark.parametrize("end, code", [
    ({"exit": exited(0)}, 0),
    ({"exit": exited(7)}, 7),
    ({"exit": {"signal": "SIGTERM", "time": None}}, 143),
    ({"exit": {"signal": "SIGKILL"}}, 137),
    ({"exit": {"signal": "SIGRTMIN+6"}}, 168),
    ({"exit": {"signal": "SIGWHAT"}}, 255),
    ({"exit": exited("x")}, 255),
])
def test_exit_codes(ctl, fake, end, code):
    after(0.2, fake, state="exited", pid=None, **end)
    assert ctl("wait", "--for=exit", "web").returncode == code


def test_exit_of_what_has_ended(ctl, fake):
    fake.processes = [process(1, "a", "exited", exit=exited(0)),
                      process(2, "b", "backoff", exit=exited(4)),
                      process(3, "c", "exited", exit=exited(5))]
    assert ctl("wait", "--for=exit").returncode == 4


def test_exit_that_nobody_saw(ctl, fake):
    after(0.2, fake, generation=2)
    r = ctl("wait", "--for=exit", "web")
    assert r.returncode == 1
    assert "its exit code is not known" in r.stderr
    # It has ended and is up again, but the code is still told.
    fake.processes = [process()]
    after(0.2, fake, generation=2, pid=None, exit=exited(9))
    assert ctl("wait", "--for=exit", "web").returncode == 9


def test_exit_of_what_never_started(ctl, fake):
    after(0.2, fake, state="failed", pid=None)
    assert ctl("wait", "--for=exit", "web").returncode == 1


@pytest.mark.parametrize("wanted, code", [
    ("stopped", 0), ("running", 1), ("verified", 1), ("exit", 69)])
def test_musterd_ends_meanwhile(ctl, fake, wanted, code):
    fake.processes[0].update(state="stopping", verified=False)
    asked(fake, 0.2, fake.close)
    r = ctl("wait", "web", f"--for={wanted}")
    assert r.returncode == code
    assert ("musterd has ended" in r.stderr) == (code != 0)


def test_a_process_that_vanishes(ctl, fake):
    fake.processes = [process(1, "web", "stopping")]
    asked(fake, 0.2, lambda: setattr(fake, "processes", []))
    assert ctl("wait", "web", "--for=stopped").returncode == 0
    fake.processes = [process(1, "web", "starting")]
    asked(fake, 0.2, lambda: setattr(fake, "processes", []))
    r = ctl("wait", "web")
    assert (r.returncode, r.stderr) == (1, "musterctl: web: is gone\n")


def test_unknown(ctl):
    assert ctl("wait", "nope").returncode == 5
    assert ctl("wait", "id:x").returncode == 2


@pytest.mark.parametrize("value", ["", "x", "-1", "1x", "1.2.3", ".", "inf",
                                   "nan", "0x1", "1 s", "99999999999", "1d"])
def test_malformed_times(ctl, fake, value):
    r = ctl("wait", f"--timeout={value}")
    assert r.returncode == 2
    assert r.stderr.startswith(f"musterctl: option --timeout: {value}: want ")
    assert fake.requests == []


@pytest.mark.parametrize("value", ["1", "0.5", "500ms", "2s", "1.5m", "1h"])
def test_times(ctl, value):
    assert ctl("wait", "--timeout", value).returncode == 0


def test_malformed_states(ctl):
    r = ctl("wait", "--for=up")
    assert r.returncode == 2
    assert r.stderr == ("musterctl: option --for: up: want verified running "
                        "stopped exit\n")


@pytest.fixture
def frozen(ctl, place):
    """A socket that is listened to, and nobody answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(place / "frozen.sock"))
        s.listen(16)
        yield lambda *args: ctl.bare("-s", place / "frozen.sock", *args)


@pytest.mark.parametrize("args", [
    ["wait"], ["wait", "--for=running"], ["wait", "web"],
    ["restart", "web"], ["restart", "--no-wait", "--all"], ["shutdown"],
    ["shutdown", "--no-wait"]], ids=" ".join)
def test_nobody_answers(frozen, place, args):
    """The time that is given is that of the whole verb."""
    start = time.monotonic()
    r = frozen(*args, "--timeout=300ms")
    assert (r.returncode, r.stdout) == (124, "")
    assert r.stderr == ("musterctl: musterd does not answer at "
                        f"{place}/frozen.sock (not in time)\n")
    assert 0.3 <= time.monotonic() - start < 5 * harness.patience()


def test_nobody_answers_json(frozen):
    r = frozen("wait", "--timeout=0", "--json")
    assert r.returncode == 124
    assert json.loads(r.stdout) == {"met": False,
                                    "missing": ["musterd does not answer"]}


def test_answers_no_more(ctl, fake):
    fake.processes = [process(1, "web", "starting")]
    asked(fake, 0.3, lambda: fake.on.update({
        ("GET", "/v1/processes"): lambda q: time.sleep(60)}))
    start = time.monotonic()
    r = ctl("wait", "web", "--timeout=1")
    assert r.returncode == 124
    assert r.stderr.splitlines() == [
        f"musterctl: musterd does not answer at {fake.path} (not in time)",
        "musterctl: web: starting (not in time)"]
    assert time.monotonic() - start < 6 * harness.patience()


def test_a_late_answer_counts(ctl, fake):
    """What is wrong is known when the time is up."""
    def ready(q):
        time.sleep(float(q.query["wait"]) + 0.3)
        q.problem(503, "default.web: starting")
    fake.on["GET", "/v1/ready"] = ready
    r = ctl("wait", "--timeout=1")
    assert r.returncode == 124
    assert "default.web: starting" in r.stderr
