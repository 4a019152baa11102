"""musterctl restart and shutdown: what changes something."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from fakemusterd import exited, process, verifier
from harness import job


def failing(message, status=500):
    return lambda q: q.answer(status, {
        "success": False, "error": {"message": message}})


def test_restart(ctl, fake):
    fake.processes = [process(1, "web", verifier=verifier(elapsed_ms=1234)),
                      process(2, "db")]
    r = ctl("restart", "web", "db")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout == ("web: restarted (pid 801, verified in 1.2 s)\n"
                        "db: restarted (pid 802)\n")
    assert [q for q in fake.requests if q.startswith("POST")] == \
        ["POST /restart/1", "POST /restart/2"]


def test_one_after_another(ctl, fake):
    fake.processes = [process(i, "web", instance=i - 1) for i in (1, 2, 3)]
    busy = []

    def restart(q):
        busy.append(1)
        time.sleep(0.05)
        assert len(busy) == 1
        busy.pop()
        q.answer(200, {"success": True, "process": {}})

    for i in (1, 2, 3):
        fake.on["POST", f"/restart/{i}"] = restart
    assert ctl("restart", "--all").returncode == 0
    assert sum(q.startswith("POST") for q in fake.requests) == 3


def test_restart_of_what_ends(ctl, fake):
    fake.processes = [process(1, "migrate", "exited", exit=exited(0),
                              verified=True,
                              verifier=verifier("", "exited"))]
    assert ctl("restart", "migrate").stdout == \
        "migrate: restarted (exit 0, verified in 12 ms)\n"


def test_restart_needs_names(ctl, fake):
    for args in (["restart"], ["restart", "--all", "web"]):
        r = ctl(*args)
        assert r.returncode == 2
        assert r.stderr.startswith("musterctl: ")
    assert fake.requests == []


def test_nothing_is_done_when_a_name_is_unknown(ctl, fake):
    r = ctl("restart", "web", "nope")
    assert (r.returncode, r.stdout) == (5, "")
    assert r.stderr == "musterctl: nope: no such process\n"
    assert fake.requests == ["GET /v1/processes"]


def test_restart_fails(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "db")]
    fake.output = {(1, "stdout"): b"".join(
        b"line %d\n" % i for i in range(20)) + b"\x1b[2J"}
    fake.on["POST", "/restart/1"] = failing("bad\nnews \x1b[0m")
    r = ctl("restart", "web", "db")
    assert r.returncode == 1
    assert r.stdout == "db: restarted (pid 802)\n"
    assert r.stderr.splitlines() == [
        "musterctl: web: restart failed: bad", "musterctl: news \\e[0m", "",
        *[f"line {i}" for i in range(11, 20)], "\\e[2J",
        f"musterctl: more: musterctl -s {fake.path} logs web"]


@pytest.mark.parametrize("answer, code, text", [
    (failing("Process is in shutdown.", 403), 1,
     "web: restart failed: Process is in shutdown."),
    (failing("Process with id '1' not found.", 404), 1,
     "web: cannot be restarted while it waits for its first start"),
    (lambda q: q.problem(403, "you may not"), 4, "web: you may not"),
    (lambda q: q.answer(500, "<html>", "text/html"), 1,
     "web: restart failed: HTTP status 500"),
    (lambda q: q.answer(200, "{}"), 1,
     "web: restarted, but the answer is not what musterd says"),
])
def test_refusals(ctl, fake, answer, code, text):
    fake.on["POST", "/restart/1"] = answer
    r = ctl("restart", "web")
    assert (r.returncode, r.stdout) == (code, "")
    assert r.stderr.splitlines()[0] == f"musterctl: {text}"


def test_gone_in_between(ctl, fake):
    def restart(q):
        fake.processes = []
        failing("Process with id '1' not found.", 404)(q)
    fake.on["POST", "/restart/1"] = restart
    assert ctl("restart", "web").returncode == 5


def test_restart_timeout(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "db")]
    fake.on["POST", "/restart/1"] = lambda q: time.sleep(3)
    start = time.monotonic()
    r = ctl("restart", "--timeout", "300ms", "web", "db")
    assert r.returncode == 124
    assert r.stderr == \
        "musterctl: web: not verified in time; the restart goes on\n"
    assert 0.3 <= time.monotonic() - start < 2.5
    assert "POST /restart/2" not in fake.requests


@pytest.mark.parametrize("args, code", [
    (["--timeout=300ms"], 124), (["--no-wait", "--timeout=3"], 124)])
def test_restart_of_which_nothing_is_heard(ctl, fake, args, code):
    def restart(q):
        fake.on["GET", "/v1/processes/1"] = lambda q: time.sleep(60)
        time.sleep(60)
    fake.on["POST", "/restart/1"] = restart
    r = ctl("restart", *args, "web")
    assert (r.returncode, r.stdout) == (code, "")
    assert r.stderr == ("musterctl: web: musterd does not answer; the restart "
                        "may go on\n")


def test_restart_without_waiting(ctl, fake):
    def restart(q):
        time.sleep(0.2)
        fake.processes[0]["state"] = "stopping"
        time.sleep(5)
    fake.on["POST", "/restart/1"] = restart
    start = time.monotonic()
    r = ctl("restart", "--no-wait", "web")
    assert (r.returncode, r.stdout) == (0, "web: restart is under way\n")
    assert time.monotonic() - start < 3
    fake.on["POST", "/restart/1"] = failing("no")
    fake.processes[0]["state"] = "running"
    assert ctl("restart", "--no-wait", "web").returncode == 1


@pytest.mark.parametrize("now, code, text", [
    ({"generation": 2, "pid": 999}, 0, "web: restarted (pid 999)\n"),
    ({"generation": 2, "pid": None, "state": "failed", "verified": False,
      "exit": exited(1)}, 1, ""),
])
def test_the_answer_is_lost(ctl, fake, now, code, text):
    """muster-httpd was replaced: the list tells what came of it."""
    def restart(q):
        threading.Timer(0.3, fake.processes[0].update, [now]).start()
    fake.on["POST", "/restart/1"] = restart
    r = ctl("restart", "web")
    assert (r.returncode, r.stdout) == (code, text)


def test_the_question_is_lost(ctl, fake):
    """Nothing happens, and nobody waits long for it."""
    fake.on["POST", "/restart/1"] = lambda q: None
    start = time.monotonic()
    r = ctl("restart", "web")
    assert r.returncode == 69
    assert r.stderr == "musterctl: web: the answer of musterd was lost\n"
    assert time.monotonic() - start < 10 * harness.patience()


def test_restart_json(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "db")]
    fake.on["POST", "/restart/2"] = failing("no")
    r = ctl("restart", "--all", "--json")
    assert r.returncode == 1
    a, b = json.loads(r.stdout)["results"]
    assert (a["name"], a["id"], a["ok"], a["pid"]) == \
        ("default.web", 1, True, 801)
    assert (b["name"], b["ok"], b["error"]) == \
        ("default.db", False, "restart failed: no")


def test_quiet(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "db")]
    fake.on["POST", "/restart/2"] = failing("no")
    r = ctl("-q", "restart", "web")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    r = ctl("-q", "restart", "db")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == "musterctl: db: restart failed: no\n"


def slow_restart(fake):
    def restart(q):
        fake.processes[0].update(state="starting", verified=False,
                                 generation=2,
                                 verifier=verifier("http 503"))
        time.sleep(1)
        fake.processes[0].update(state="running", verified=True)
        q.answer(200, {"success": True, "process": {}})
    fake.on["POST", "/restart/1"] = restart


def test_progress_on_a_terminal(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "db")]
    slow_restart(fake)
    code, shown = ctl.terminal("restart", "web", "db", columns=70)
    assert code == 0
    assert "[+] 0/2 done  00:00." in shown
    assert re.search(r" [⠋⠙⠹⠸⠼⠴⠦⠧] web  starting +waiting: http 503, try 1",
                     shown)
    assert " · db " in shown
    assert "\033[3A" in shown       # drawn in place
    # Nothing of it is left but the results.
    last = shown.rpartition("\033[J")[2]
    assert "db: restarted (pid 802)" in last and "[+]" not in last


def test_progress_elsewhere(ctl, fake):
    slow_restart(fake)
    r = ctl("restart", "--progress=plain", "web")
    assert r.stderr.splitlines() == ["web: starting: waiting: http 503, try 1",
                                     "web: verified: ok http 503"]
    fake.processes = [process(1, "web")]
    r = ctl("restart", "--progress=json", "web")
    events = [json.loads(line) for line in r.stderr.splitlines()]
    assert [(e["name"], e["state"]) for e in events] == [
        ("web", "starting"), ("web", "verified")]


# --- shutdown ---


def test_shutdown(ctl, fake):
    r = ctl("shutdown")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout.startswith("musterd: ended (")
    assert fake.requests == ["GET /v1", "DELETE /"]


def test_shutdown_waits(ctl, fake):
    def delete(q):
        q.answer(200, {"success": True})
        threading.Timer(0.7 * harness.patience(), fake.close).start()
    fake.on["DELETE", "/"] = delete
    start = time.monotonic()
    assert ctl("shutdown").returncode == 0
    assert time.monotonic() - start >= 0.7 * harness.patience()


def test_shutdown_waits_for_the_process(ctl, fake):
    """The socket goes first; a new musterd can start only after the pid."""
    p = subprocess.Popen(["sleep", "100"])
    try:
        fake.pid = p.pid
        c = ctl.start("shutdown")
        harness.wait_for("DELETE", lambda: "DELETE /" in fake.requests)
        time.sleep(0.5)
        assert c.poll() is None
        p.kill()
        assert c.wait(5 * harness.patience()) == 0
    finally:
        p.kill()
        p.wait()


def test_shutdown_timeout(ctl, fake):
    fake.on["DELETE", "/"] = lambda q: q.answer(200, {"success": True})
    start = time.monotonic()
    r = ctl("shutdown", "--timeout=0.4")
    assert (r.returncode, r.stdout) == (124, "")
    assert 0.4 <= time.monotonic() - start < 3 * harness.patience()


def test_shutdown_that_is_not_answered(ctl, fake):
    """It may have been heard, or not: nothing is claimed."""
    fake.on["DELETE", "/"] = lambda q: time.sleep(60)
    for args in ([], ["--no-wait"]):
        r = ctl("shutdown", "--timeout=0.4", *args)
        assert (r.returncode, r.stdout) == (124, "")
        assert r.stderr.startswith("musterctl: musterd does not answer at ")


def test_shutdown_without_waiting(ctl, fake):
    fake.on["DELETE", "/"] = lambda q: q.answer(200, {"success": True})
    r = ctl("shutdown", "--no-wait")
    assert (r.returncode, r.stdout) == (0, "musterd: shutting down\n")


def test_shutdown_twice(ctl, fake):
    def delete(q):
        failing("Process is in shutdown.", 403)(q)
        fake.close()
    fake.on["DELETE", "/"] = delete
    r = ctl("shutdown")
    assert r.returncode == 0
    assert r.stderr == "musterctl: it is shutting down already\n"


def test_shutdown_refused(ctl, fake):
    fake.on["DELETE", "/"] = lambda q: q.problem(403, "you may not")
    r = ctl("shutdown")
    assert r.returncode == 4
    assert "you may not" in r.stderr


def test_shutdown_json(ctl, fake):
    r = ctl("shutdown", "--json")
    assert json.loads(r.stdout) == {"pid": 4711, "gone": True}


def test_instances_are_told_apart(musterd):
    m = musterd({"keep_alive": True, "processes": {
        "web": job("sleep", "4000", instances=2), "db": job("sleep", "4001")}})
    m.wait_status()
    r = m.ctl("restart", "web", "db")
    assert re.sub(r"\(pid \d+\)", "(pid)", r.stdout) == (
        "web id:1: restarted (pid)\nweb id:2: restarted (pid)\n"
        "db: restarted (pid)\n")
    # The others count, too, when one alone is restarted.
    assert m.ctl("restart", "id:2").stdout.startswith("web id:2: restarted ")
