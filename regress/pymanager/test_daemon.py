"""-d: what is known when it returns, and what goes on in the background."""

import os
import signal
import socket
import subprocess
import time

import pytest

import harness
from harness import job, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")


def daemon(config, *args, **more):
    return harness.Musterd(config, "-d", *args, daemon=True, **more)


@pytest.mark.parametrize("option", ["-d", "--daemon"])
def test_daemon(option):
    m = harness.Musterd({**KEEP, "processes": {"a": SLEEP}}, option,
                        daemon=True)
    with m:
        # The listeners are open when it returns.
        assert m.popen.returncode == 0
        with socket.create_connection(("127.0.0.1", m.port)):
            pass
        m.wait_status()
        p = harness.process(m.pid)
        # A session that it does not lead: no terminal can come to it.
        assert p.sid not in (p.pid, os.getsid(0))
        assert m.get("/v1").json()["pid"] == m.pid
        assert m.stop() == 0


def test_returns_before_all_is_up():
    m = daemon({**KEEP, "processes": {
        "a": sh("exec sleep 4000", verify={"file": "go"})}})
    with m:
        m.wait_status("launching processes")
        (m.dir / "go").touch()
        m.wait_status()


@pytest.mark.parametrize("text, code", [
    ("{", 3), ("{}", 4), ('{"processes": {"a": {}}}', 5),
    ('{"processes": {"a": {"executable": "x", "arguments": [], '
     '"user": "no-such"}}}', 5)])
@pytest.mark.parametrize("args", [[], ["--wait"]])
def test_bad_file(text, code, args):
    with daemon(text, *args) as m:
        assert m.wait() == code
        assert m.popen.returncode == code
        assert m.stdout_text()


def test_no_file():
    m = harness.Musterd({}, "-d", "-f", "nowhere")
    with m:
        assert m.wait() == 1


@pytest.mark.parametrize("args", [[], ["--wait"]])
def test_busy_port(args):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with daemon({"http": {"port": s.getsockname()[1]},
                     "processes": {"a": sh("touch started")}}, *args) as m:
            assert m.wait() == 1
            assert not (m.dir / "started").exists()


def test_second_instance():
    with daemon({**KEEP, "processes": {"a": SLEEP}}) as m:
        m.wait_status()
        second = harness.Musterd({}, "-d", "-f", str(m.file), env={
            "XDG_RUNTIME_DIR": m.env["XDG_RUNTIME_DIR"]})
        with second:
            assert second.wait() == 1
            assert f"in the hands of process {m.pid}\n" in \
                second.stderr_text()


def test_wait():
    """It returns when all is verified."""
    m = daemon({**KEEP, "processes": {
        "a": sh("sleep 0.4; touch up; exec sleep 4000",
                verify={"file": "up"}), "b": sh("touch last")}}, "--wait")
    start = time.monotonic()
    with m:
        assert m.popen.returncode == 0
        assert time.monotonic() - start > 0.35
        assert (m.dir / "up").exists()
        assert m.status() == "running"


def test_wait_for_a_launch_that_fails():
    m = daemon({"processes": {
        "a": SLEEP, "b": sh("sleep 0.2; exit 3", verify="exited")}}, "--wait")
    with m:
        assert m.popen.returncode == 5
        assert "[ERROR] could not set up processes" in m.stdout_text()
        assert m.jobs() == [] == m.leftovers()


def test_wait_and_a_signal():
    """Whoever waits is let go when it is ended meanwhile, and must not take
    it for all being up."""
    m = harness.Musterd({"processes": {
        "a": sh("exec sleep 4000", verify={"file": "go"})}}, "-d", "--wait",
        "-p", "pid")
    with m:
        harness.wait_for("the pid file", lambda: (m.dir / "pid").exists()
                         and (m.dir / "pid").read_text().endswith("\n"))
        pid = int((m.dir / "pid").read_text())
        m.wait_status("launching processes")
        os.kill(pid, signal.SIGTERM)
        assert m.popen.wait(10) == 5
        harness.wait_for("its end", lambda: not harness.alive(pid))


@pytest.mark.parametrize("option", ["-p", "--pidfile"])
def test_pidfile(option):
    m = daemon({**KEEP, "processes": {"a": SLEEP}}, option, "run/pid")
    (m.dir / "run").mkdir()
    with m:
        assert (m.dir / "run/pid").read_text() == f"{m.pid}\n"
        m.wait_status()
        assert m.stop() == 0
        assert not (m.dir / "run/pid").exists()


def test_pidfile_in_the_foreground(musterd):
    m = musterd({**KEEP, "processes": {"a": SLEEP}}, "-p", "pid")
    m.wait_status()
    assert (m.dir / "pid").read_text() == f"{m.pid}\n"
    assert m.stop() == 0
    assert not (m.dir / "pid").exists()


def test_pidfile_that_cannot_be_written():
    with daemon({"processes": {"a": sh("touch started")}}, "-p",
                "nowhere/pid") as m:
        assert m.wait() != 0
        assert "nowhere/pid" in m.stderr_text()
        assert not (m.dir / "started").exists()


def test_nothing_is_lost():
    """Its streams stay, relative paths keep working, all is flushed."""
    m = daemon({"messages": ["process.exit"], "processes": {
        "a": sh("seq 20000; echo err >&2; pwd; umask", verify="exited",
                options={"environment_file": "env"}),
        "b": sh("echo b", options={"redirect_output": "b.log"})}}, "-l",
        "own.log", "-w")
    (m.dir / "env").touch()
    with m:
        harness.wait_for("its end", lambda: not m.running())
        said = m.stdout_text().splitlines()
        assert said[1:20001] == [str(n) for n in range(1, 20001)]
        assert said[20001:20004] == [
            "err", str(m.dir), subprocess.check_output(
                ["sh", "-c", "umask"], encoding="utf-8").strip()]
        assert said[-1].startswith("Process sh -c echo b exited with code 0") \
            or said[-2].startswith("Process sh -c echo b exited with code 0")
        assert (m.dir / "b.log").read_text() == "b\n"
        assert "[DEBUG] " in (m.dir / "own.log").read_text()
        assert "[" not in m.stdout_text()


