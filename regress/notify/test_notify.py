"""sd_notify: what a service manager above is told."""

import json
import os
import re
import signal
import socket
import time

import pytest

import harness
from harness import job, sh, wait_for


def listener(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    s.settimeout(20)
    return s


def told(s, until):
    """All datagrams up to the one that holds `until`."""
    got = []
    while not got or until not in got[-1]:
        got.append(s.recv(4096).decode())
    return got


def drain(s, seconds=0.0):
    """What comes in that time."""
    got = []
    end = time.monotonic() + seconds
    s.settimeout(0.02)
    while True:
        try:
            got.append(s.recv(4096).decode())
        except TimeoutError:
            if time.monotonic() >= end:
                s.settimeout(20)
                return got


@pytest.fixture(name="ready")
def fixture_ready(musterd, tmp_path):
    """A socket, and a musterd that has told it of being ready."""
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {
            "a": job("sleep", "1000")}},
                    env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        told(s, "READY=1")
        yield m, s


def change(m, processes):
    config = json.loads(m.file.read_text())
    config["processes"] = processes
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)


def test_ready_after_all_is_verified(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {
            "slow": sh("sleep 0.5; touch up; sleep 1000",
                       verify={"file": "up"}),
            "b": job("sleep", "1000")}},
            env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        got = told(s, "READY=1")
        assert m.status() == "running"
        assert any("STATUS=0/2 ready, waiting for slow" in g for g in got)
        m.stop()
        assert "STOPPING=1" in told(s, "STOPPING=1")[-1]


def test_jobs_do_not_inherit_it(musterd):
    m = musterd({"processes": {
        "a": sh("env | grep -E 'NOTIFY|WATCHDOG' || echo none of it")}},
        env={"NOTIFY_SOCKET": "@muster-nobody-here",
             "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"})
    assert m.wait() == 0
    assert "none of it" in m.stdout_text()


def test_jobs_with_an_environment_file_do_not_either(musterd, tmp_path):
    (tmp_path / "extra").write_text("export A=1\n")
    m = musterd({"processes": {
        "a": sh("env | grep -E 'NOTIFY|WATCHDOG' || echo none of it $A",
                environment_file=str(tmp_path / "extra"))}},
        env={"NOTIFY_SOCKET": "@muster-nobody-here",
             "WATCHDOG_USEC": "60000000"})
    assert m.wait() == 0
    assert "none of it 1" in m.stdout_text()


def test_an_abstract_socket(musterd):
    name = f"muster-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name)
        s.settimeout(20)
        musterd({"processes": {"a": job("sleep", "1000")}},
                env={"NOTIFY_SOCKET": "@" + name})
        told(s, "READY=1")


def test_a_busy_listener_is_told_of_ready(musterd, tmp_path):
    """Its queue is full of what others sent, for a while."""
    with listener(tmp_path / "n") as s, socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"STATUS=other", str(tmp_path / "n"))
        m = musterd({"processes": {"a": job("sleep", "1000")}},
                    env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        m.wait_status()
        told(s, "READY=1")


# --- reload ---


def test_reload(ready):
    m, s = ready
    drain(s)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    change(m, {"a": job("sleep", "1000"), "b": job("sleep", "1001")})
    got = told(s, "READY=1")
    first = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)\nSTATUS=.*",
                         got[0])
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(first[1]) <= after
    assert got[-1] == "READY=1\nSTATUS=2 processes"
    assert not [g for g in got if "EXTEND" in g]


def test_reload_that_is_refused(ready):
    m, s = ready
    drain(s)
    change(m, "nonsense")
    got = told(s, "READY=1")
    assert got[0].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert got[-1] == "READY=1\nSTATUS=1 processes"


def test_reload_of_which_the_manager_dies(ready):
    m, s = ready
    m.file.write_text(m.file.read_text() + " " * 1000000)
    drain(s)
    old = m.component("muster-manager")[0]
    m.signal(signal.SIGHUP)
    told(s, "RELOADING=1")
    harness.kill(old)
    told(s, "READY=1")


SLOW = sh("sleep 1000", verify={"file": "never", "timeout": "1h"})


def test_reload_in_the_middle_of_the_launch(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {"slow": SLOW}},
                    env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        told(s, "waiting for slow")
        change(m, {"b": job("sleep", "1000")})
        assert told(s, "READY=1")[-1].startswith("READY=1\n")


def test_and_who_waits_for_the_launch_is_told(musterd):
    m = musterd({"keep_alive": True, "processes": {"slow": SLOW}},
                "-d", "--wait")
    lock = m.default_socket("lock")
    pid = int(wait_for("its process id", lambda: lock.exists()
                       and lock.read_text()))
    wait_for("an answer", m.status)
    m.pid, waiting = pid, m.pid
    assert m.popen.poll() is None and waiting != pid
    change(m, {"b": job("sleep", "1000")})
    assert m.popen.wait(20) == 0
    m.daemon = True     # from here on it is the daemon that is watched
    m.returncode = None
    assert m.stop() == 0


# --- long starts and ends ---


def test_a_start_asks_for_time(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {"slow": SLOW}},
                    env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        told(s, "EXTEND_TIMEOUT_USEC=30000000")
        told(s, "waiting for slow")
        m.signal(signal.SIGTERM)
        told(s, "STOPPING=1")
        told(s, "EXTEND_TIMEOUT_USEC=30000000")


def test_status_is_told_when_it_changes(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {
            f"p{i}": sh(f"sleep 0.1; touch up{i}; sleep 1000",
                        verify={"file": f"up{i}"}, after=[])
            for i in range(4)}}, env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        got = [g for g in told(s, "READY=1") if g.startswith("STATUS=")]
        assert len(got) == len(set(got))
        assert got[0] == "STATUS=0/4 ready, waiting for p0"
        m.stop()


# --- watchdog ---


def watched(musterd, tmp_path, **variables):
    return musterd({"keep_alive": True, "processes": {
        "a": job("sleep", "1000")}},
        env={"NOTIFY_SOCKET": str(tmp_path / "n"), **variables})


def test_watchdog_while_the_manager_lives(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = watched(musterd, tmp_path, WATCHDOG_USEC="400000")
        told(s, "READY=1")
        begin = time.monotonic()
        for _ in range(5):
            told(s, "WATCHDOG=1")
        assert 0.75 < time.monotonic() - begin
        harness.kill(m.component("muster-manager")[0])
        told(s, "WATCHDOG=1")
        drain(s)
        assert drain(s, 0.5)


def test_no_watchdog_without_a_manager(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = watched(musterd, tmp_path, WATCHDOG_USEC="400000")
        told(s, "READY=1")
        os.kill(m.parent().pid, signal.SIGSTOP)
        harness.kill(m.component("muster-manager")[0])
        drain(s)
        silence = drain(s, 0.7)
        os.kill(m.parent().pid, signal.SIGCONT)
        assert silence == []
        told(s, "WATCHDOG=1")


@pytest.mark.parametrize("variables", [
    {}, {"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"},
    {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}])
def test_watchdog_of_somebody_else(musterd, tmp_path, variables):
    with listener(tmp_path / "n") as s:
        m = watched(musterd, tmp_path, **variables)
        got = told(s, "READY=1") + drain(s, 0.4)
        assert not [g for g in got if "WATCHDOG" in g]
        assert m.status() == "running"


def test_watchdog_of_the_guard(tmp_path, musterd):
    """WATCHDOG_PID is the process that the service manager has started."""
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {
            "a": job("sleep", "1000")}},
            prefix=["sh", "-c", "sh -c 'WATCHDOG_PID=$$ exec \"$@\"' sh "
                    "\"$@\"; exit", "sh"],
            env={"NOTIFY_SOCKET": str(tmp_path / "n"),
                 "WATCHDOG_USEC": "200000"})
        told(s, "READY=1")
        told(s, "WATCHDOG=1")
        assert m.stop() == 0


# --- the process id in a file ---


def test_a_stale_pidfile_is_replaced(musterd, tmp_path):
    file = tmp_path / "pid"
    file.write_text("99999999\nand what an earlier one has left\n")
    m = musterd({"processes": {"a": job("sleep", "1000")}}, "-p", str(file))
    m.wait_status()
    assert file.read_text() == f"{m.pid}\n"
    assert m.stop() == 0
    assert not file.exists()


def test_a_second_one_leaves_the_pidfile_alone(musterd, tmp_path):
    file = tmp_path / "pid"
    m = musterd({"processes": {"a": job("sleep", "1000")}}, "-p", str(file))
    m.wait_status()
    again = harness.subprocess.run(
        [harness.MUSTERD, "-f", str(m.file), "-p", str(file)], env=m.env,
        cwd=m.dir, capture_output=True, check=False)
    assert again.returncode == 1
    assert file.read_text() == f"{m.pid}\n"


def test_the_pidfile_after_a_crash(musterd, tmp_path):
    file = tmp_path / "pid"
    m = musterd({"processes": {"a": job("sleep", "1000")}}, "-p", str(file),
                strict=False)
    m.wait_status()
    old = m.pid
    parent = m.parent()
    os.kill(old, signal.SIGSTOP)
    harness.kill(parent)
    os.kill(old, signal.SIGKILL)
    m.wait()
    assert file.read_text() == f"{old}\n"      # nobody was left to do it
    for p in m.leftovers():
        harness.kill(p)
    wait_for("their end", lambda: not m.leftovers())
    m.start()
    m.wait_status()
    assert file.read_text() == f"{m.pid}\n"
