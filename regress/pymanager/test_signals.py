"""Signals, DELETE, and the time that the end takes."""

import http.client
import json
import os
import pathlib
import re
import signal
import threading
import time

import pytest

import harness
from harness import job, python, sh

KEEP = {"keep_alive": True}
SLEEP = job("sleep", "4000")
STUBBORN = python("import signal, time; "
                  "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
                  "signal.signal(signal.SIGINT, signal.SIG_IGN); "
                  "open('up', 'a').write('x'); time.sleep(4000)")


def up(m, count):
    """So many of the stubborn ones have come to ignore signals."""
    def test():
        path = m.dir / "up"
        return path.exists() and path.stat().st_size == count
    m.wait_status()
    harness.wait_for("all processes", test)


class Watch:
    """Seconds since its start."""

    def __init__(self):
        self.start = time.monotonic()

    def __call__(self):
        return time.monotonic() - self.start


# --- the graceful end ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGQUIT])
def test_graceful_end(musterd, number):
    m = musterd({**KEEP, "graceful_time": 50, "messages": ["process.exit"],
                 "processes": {
        "a": SLEEP, "b": sh("trap 'echo bye; exit 3' TERM; echo up; "
                            "while :; do sleep 0.1; done")}})
    m.wait_text("^up$")
    m.signal(number)
    # Far less than the graceful time.
    assert m.wait(30) == 0
    said = m.stdout_text().splitlines()
    end = [n for n, line in enumerate(said) if line.startswith("Shutting")]
    assert len(end) == 1
    killed = said.index("Process sleep 4000 exited with code -15")
    told = [n for n, line in enumerate(said) if line.endswith(" code 3")]
    assert len(told) == 1 and end[0] < min(killed, told[0])
    # It comes another way than our own words, and may be there before them.
    assert said.index("up") < said.index("bye") < told[0]
    assert set(said[end[0] + 1:]) - {"bye", "Terminated"} == {
        said[killed], said[told[0]]}


@pytest.mark.parametrize("way", ["TERM", "DELETE"])
def test_graceful_times_do_not_add_up(musterd, way):
    m = musterd({**KEEP, "graceful_time": 0.8, "processes": {
        n: STUBBORN for n in "abcd"}})
    up(m, 4)
    watch = Watch()
    if way == "TERM":
        m.signal(signal.SIGTERM)
    else:
        assert m.delete("/").status == 200
    harness.wait_for("the word", lambda: m.status() == "shutdown")
    assert m.wait() == 0
    assert 0.75 < watch() < 1.8 * harness.patience()


def test_further_requests_change_nothing(musterd):
    m = musterd({**KEEP, "graceful_time": 0.8, "processes": {"a": STUBBORN}})
    up(m, 1)
    watch = Watch()
    m.signal(signal.SIGTERM)
    for _ in range(3):
        time.sleep(0.1)
        m.signal(signal.SIGTERM)
        m.signal(signal.SIGQUIT)
        m.signal(signal.SIGHUP)
        assert m.delete("/").status == 403
    assert m.wait() == 0
    assert 0.75 < watch() < 1.8 * harness.patience()
    assert m.stdout_text().count("Shutting down") == 1


@pytest.mark.parametrize("first", ["INT", "TERM", "DELETE"])
def test_interrupt_again(musterd, first):
    """All are killed at once, the code stays 0."""
    m = musterd({**KEEP, "graceful_time": 30, "messages": ["process.exit"],
                 "processes": {n: STUBBORN for n in "abc"}})
    up(m, 3)
    if first == "DELETE":
        m.delete("/")
    else:
        m.signal(getattr(signal, "SIG" + first))
    harness.wait_for("the shutdown", lambda: m.status() == "shutdown")
    time.sleep(0.1)
    watch = Watch()
    m.signal(signal.SIGINT)
    assert m.wait() == 0
    assert watch() < 1 * harness.patience()
    assert m.stdout_text().count("exited with code -9") == 3


def test_words_of_a_forced_end(musterd):
    """It is short: to be seen by who asks without a pause."""
    m = musterd({**KEEP, "graceful_time": 30, "processes": {"a": sh(
        "trap '' TERM; echo x >> up; while :; do sleep 4000; done",
        instances=60)}})
    harness.wait_for("all processes", lambda: (m.dir / "up").exists() and
                     (m.dir / "up").stat().st_size == 120)
    m.wait_status()
    words = []

    def ask():
        c = m.connect()
        try:
            while True:
                c.request("GET", "/status")
                word = json.loads(c.getresponse().read())["status"]
                if word not in words[-1:]:
                    words.append(word)
        except (OSError, http.client.HTTPException):
            pass

    thread = threading.Thread(target=ask)
    thread.start()
    harness.wait_for("the first word", lambda: words)
    m.signal(signal.SIGINT)
    harness.wait_for("the shutdown", lambda: "shutdown" in words)
    m.signal(signal.SIGINT)
    thread.join()
    assert words == ["running", "shutdown", "force shutdown"]
    assert m.wait() == 0


def test_output_while_it_ends(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "trap 'seq 20000; exit' TERM; echo up; "
        "while :; do sleep 0.1; done")}})
    m.wait_text("^up$")
    assert m.stop() == 0
    assert m.stdout_text().endswith("".join(
        f"{n}\n" for n in range(1, 20001)))


# --- while it launches ---


CLASSES = {
    "http": {"verifier": {
        "type": "pymutils.http_verifier.HttpOkVerifier",
        "arguments": {"url": "http://127.0.0.1:1/"}}},
    "exited": {"verifier": {
        "type": "pymutils.exited_verifier.ExitedVerifier"}},
    "command": {"verify": {"command": "sleep 4000", "attempt-timeout": 60}},
    "tcp": {"verify": {"tcp": "127.0.0.1:1"}},
}


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("way", ["TERM", "INT", "DELETE"])
def test_end_during_the_launch(musterd, kind, way):
    """At once, and nothing later is started."""
    m = musterd({"processes": {
        "a": SLEEP, "b": job("sleep", "4000", **CLASSES[kind]),
        "c": sh("touch started")}})
    m.wait_state("b", "starting")
    watch = Watch()
    if way == "DELETE":
        assert m.delete("/").body == b'{"success": true}'
    else:
        m.signal(getattr(signal, "SIG" + way))
    assert m.wait() == 0
    assert watch() < 1 * harness.patience()
    assert not (m.dir / "started").exists()
    assert "[ERROR]" not in m.stdout_text()


def test_end_during_a_restart(musterd):
    m = musterd({**KEEP, "graceful_time": 1, "processes": {
        "a": sh("test -f go && exec sleep 4000; touch go",
                verify={"command": "test -f go"}, restart="always"),
        "b": sh("test -e again && rm up; touch again; "
                "exec sleep 4000", verify={"file": "again"})}})
    m.wait_status()
    answers = []
    (m.dir / "again").unlink()
    (m.dir / "again").mkdir()
    thread = threading.Thread(
        target=lambda: answers.append(m.post("/restart/2")))
    thread.start()
    harness.wait_for("generation 2", lambda: m.all()["b"]["generation"] == 2)
    m.signal(signal.SIGTERM)
    assert m.wait() == 0
    thread.join()
    assert answers[0].status == 403
    assert answers[0].json()["error"]["message"] == "Process is in shutdown."


def test_end_in_backoff(musterd):
    m = musterd({**KEEP, "processes": {"a": job(
        "false", restart="always", backoff={"initial": 60})}})
    m.wait_state("a", "backoff")
    watch = Watch()
    assert m.stop() == 0
    assert watch() < 1 * harness.patience()


def test_signal_right_after_the_start(musterd):
    """Before anything is there to take it."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    harness.wait_for("its own name", lambda: harness.process(m.pid).name ==
                     "musterd" and m.descendants())
    m.signal(signal.SIGTERM)
    assert m.wait() == 0


# --- other signals ---


def test_hangup_reloads(musterd):
    """It has no terminal that could hang up."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}}, "-v")
    m.wait_status()
    pid = m.processes()[0]["pid"]
    m.signal(signal.SIGHUP)
    time.sleep(0.5)
    m.wait_status()
    assert m.processes() == [{"id": 1, "command": "sleep 4000",
                              "status": "running", "pid": pid}]


def test_hangup_of_its_terminal():
    m = harness.Musterd({**KEEP, "processes": {"a": SLEEP}}, terminal=True)
    with m:
        m.wait_status()
        m.wait_text(r"^\$ sleep 4000\r$")
        watch = Watch()
        m.hang_up()
        assert m.wait() == 0
        assert watch() < 1.5 * harness.patience()


def test_interrupt_from_the_terminal():
    """^C goes to the foreground: musterd alone, not to its processes."""
    m = harness.Musterd({**KEEP, "messages": ["process.exit"], "processes": {
        "a": sh("trap 'echo INT' INT; echo up; "
                "while :; do sleep 0.1; done")}}, terminal=True)
    with m:
        m.wait_text("^up")
        os.write(m.master, b"\3")
        assert m.wait() == 0
        said = m.terminal_text()
    assert "Shutting down gracefully" in said
    assert "INT\r\n" not in said
    assert said.rstrip().endswith("exited with code -15")


def test_nohup(musterd):
    """A hangup is ignored, but its processes have it at its default."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        m = musterd({**KEEP, "processes": {"a": SLEEP}})
    finally:
        signal.signal(signal.SIGHUP, before)
    m.wait_status()
    pid = m.processes()[0]["pid"]
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    assert int(re.search(r"SigIgn:\s*(\w+)", text)[1], 16) == 0
    m.signal(signal.SIGHUP)
    time.sleep(0.2)
    assert m.status() == "running"


def test_reopen(musterd):
    """USR1 after the log files were moved away."""
    m = musterd({**KEEP, "logfile": "own.log", "processes": {"a": sh(
        "while :; do echo tick; sleep 0.02; done",
        options={"redirect_output": "log"})}}, "-v")
    m.wait_status()
    harness.wait_for("output", lambda: (m.dir / "log").stat().st_size > 20)
    (m.dir / "log").rename(m.dir / "log.1")
    (m.dir / "own.log").rename(m.dir / "own.log.1")
    m.signal(signal.SIGUSR1)
    harness.wait_for("a new file", lambda: (m.dir / "log").exists() and
                     (m.dir / "log").stat().st_size > 20)
    old = (m.dir / "log.1").stat().st_size
    m.post("/restart/99")
    m.post("/restart/1")
    assert (m.dir / "log.1").stat().st_size == old
    assert old % 5 == 0
    harness.wait_for("its own", lambda: (m.dir / "own.log").exists() and
                     (m.dir / "own.log").stat().st_size > 0)
    assert m.all()["a"]["generation"] == 2


def test_reopen_that_fails():
    """Which one of many is told, whatever its name is made of."""
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "sleep 4000", options={"redirect_output": "logs\n/a.log"})}})
    folder = m.dir / "logs\n"
    folder.mkdir()
    with m:
        m.wait_status()
        folder.rename(m.dir / "gone")
        m.signal(signal.SIGUSR1)
        text = m.wait_text("log file .* opened again.*").group()
        assert text == rf"log file {m.dir}/logs\n/a.log cannot be opened " \
            "again: No such file or directory"


def test_signal_of_an_upgrade_ends_nothing(musterd):
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    pid = m.processes()[0]["pid"]
    m.signal(signal.SIGUSR2)
    time.sleep(0.3)
    m.wait_status()
    assert m.processes()[0]["pid"] == pid


def test_signals_that_are_not_handled(musterd):
    """WINCH, CONT, PIPE: nothing happens."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGURG):
        m.signal(number)
    assert m.status() == "running"
