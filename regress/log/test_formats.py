"""musterd's own log lines: their formats, and where they go."""

import json
import os
import re
import signal
import socket

import pytest

import harness
from harness import job, sh, wait_for

LINE = re.compile(r'ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(\w+) '
                  r'program=(\w+) msg=(".*"|[^ "]+)')
CONFIG = {"nonsense": 1, "messages": ["process.exit"], "processes": {
    "a": sh("echo 'mine'; exit 3")}}
MESSAGES = [("warning", "muster.json:2:2: nonsense: unknown key"),
            ("info", "a: starting sh -c echo 'mine'; exit 3"),
            ("info", "Process sh -c echo 'mine'; exit 3 exited with code 3")]


@pytest.fixture(name="syslog")
def fixture_syslog(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "log"))
        s.settimeout(20)
        yield s


def received(s):
    """All that it has been sent by a musterd that has ended."""
    got = []
    s.settimeout(0)
    while True:
        try:
            got.append(s.recv(8192).decode())
        except BlockingIOError:
            return got


def events(lines):
    return [(e["level"], e["msg"]) for e in map(json.loads, lines)]


def shortened(pairs):
    return [(level, re.sub(r"^/\S*/", "", text)) for level, text in pairs]


def test_text_is_the_default(musterd):
    m = musterd(CONFIG)
    m.wait()
    lines = m.stdout_text().splitlines()
    assert lines[0].startswith("[WARNING] ")
    assert lines[1].startswith("$ sh -c")


@pytest.mark.parametrize("how", ["key", "option"])
def test_json(musterd, how):
    config = {**CONFIG, "log-format": "json" if how == "key" else "text"}
    m = musterd(config, *(["--log-format", "json"] if how == "option" else []))
    assert m.wait() == 0
    lines = m.stdout_text().splitlines()
    lines.remove("mine")    # what jobs write is left as it is
    assert list(json.loads(lines[0])) == ["ts", "level", "program", "msg"]
    assert shortened(events(lines)) == MESSAGES


def test_logfmt(musterd):
    m = musterd(CONFIG, "--log-format=logfmt", "-w")
    assert m.wait() == 0
    lines = m.stdout_text().splitlines()
    lines.remove("mine")
    found = [LINE.fullmatch(line) for line in lines]
    assert None not in found
    assert {match[2] for match in found} >= {"musterd", "manager"}
    assert {match[1] for match in found} >= {"warning", "info", "debug"}


def test_another_format_is_refused(musterd):
    m = musterd(CONFIG, "--log-format", "xml")
    assert m.wait() == 2
    m = musterd({**CONFIG, "log-format": "xml"})
    assert m.wait() == 5
    assert "log-format" in m.stdout_text()


def test_a_name_cannot_forge_a_line(musterd):
    m = musterd({"processes": {"a\u2028b\" x=\"": sh("true", verify={
        "file": "never\nlevel=error", "timeout": 0.1})}},
        "--log-format=json", "-w")
    assert m.wait() == 5
    for line in m.stdout_text().rstrip("\n").split("\n"):
        assert set(json.loads(line)) == {"ts", "level", "program", "msg"}


def test_a_failed_launch_is_an_event(musterd):
    m = musterd({"processes": {"a": job("/nonexistent")}},
                "--log-format=json")
    assert m.wait() == 5
    found = events(m.stdout_text().splitlines())
    assert [level for level, _ in found[-2:]] == ["error"] * 2
    assert found[-2][1].startswith("could not set up processes: ")
    assert found[-1][1] == "a: was not started"


def test_a_file(musterd):
    m = musterd(CONFIG, "-l", "own.log", "--log-format=json")
    assert m.wait() == 0
    assert shortened(events((m.dir / "own.log").read_text().splitlines())) == [
        MESSAGES[0], MESSAGES[2]]
    assert m.stdout_text() == "$ sh -c echo 'mine'; exit 3\nmine\n"


def test_a_refused_reload_is_one_line(musterd):
    m = musterd({"keep_alive": True, **CONFIG}, "--log-format=json")
    m.wait_status()
    m.file.write_text("{\n")
    m.signal(signal.SIGHUP)
    text = m.wait_text(".*reload refused.*")[0]
    assert json.loads(text)["level"] == "error"
    assert "[ERROR]" not in text


# --- the system's log ---


@pytest.mark.parametrize("how", ["key", "option", "format"])
def test_syslog(musterd, syslog, how):
    config = {**CONFIG, "logfile": "syslog:" if how == "key" else "other"}
    m = musterd(config, *{"option": ["-l", "syslog:"], "key": [],
                          "format": ["--log-format", "syslog"]}[how],
                env={"MUSTER_SYSLOG": syslog.getsockname()})
    assert m.wait() == 0
    head = f"musterd[{m.pid}]: "
    got = received(syslog)
    assert [g.split(head)[0] for g in got] == ["<28>", "<30>"]
    assert got[0].endswith("nonsense: unknown key")
    assert got[1] == (f"<30>{head}[INFO] Process sh -c echo 'mine'; exit 3 "
                      "exited with code 3")
    assert m.stdout_text() == "$ sh -c echo 'mine'; exit 3\nmine\n"
    assert not (m.dir / "other").exists() and not (m.dir / "syslog:").exists()


def test_syslog_as_json(musterd, syslog):
    m = musterd(CONFIG, "-l", "syslog:", "--log-format=json",
                env={"MUSTER_SYSLOG": syslog.getsockname()})
    assert m.wait() == 0
    found = [g.split("]: ", 1)[1] for g in received(syslog)]
    assert shortened(events(found)) == [MESSAGES[0], MESSAGES[2]]


def test_syslog_that_is_started_again(musterd, tmp_path):
    path = str(tmp_path / "log")
    m = musterd({"keep_alive": True, "messages": ["process.exit"],
                 "processes": {"a": job("sleep", "1000", restart="always")}},
                "-l", "syslog:", env={"MUSTER_SYSLOG": path})
    m.wait_status()
    pid = 0
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(path)
            s.settimeout(20)
            pid = wait_for("another process", lambda: [
                p["pid"] for p in m.all().values()
                if p["pid"] not in (None, 0, pid)])[0]
            os.kill(pid, signal.SIGKILL)
            assert "exited with code -9" in s.recv(8192).decode()
        os.unlink(path)


def test_without_a_syslog_it_runs(musterd, tmp_path):
    m = musterd(CONFIG, "-l", "syslog:",
                env={"MUSTER_SYSLOG": str(tmp_path / "nothing")})
    assert m.wait() == 0


# --- systemd's journal ---


def stream_of(file):
    st = os.fstat(file.fileno())
    return f"{st.st_dev}:{st.st_ino}"


@pytest.mark.parametrize("own", [True, False])
def test_journal(musterd, tmp_path, own):
    with open(tmp_path / "out", "ab") as out:
        m = musterd(CONFIG, "-v", stdout=out, env={
            "JOURNAL_STREAM": stream_of(out) if own else "1:2"})
        assert m.wait() == 0
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines[0].startswith("<4>[WARNING] " if own else "[WARNING] ")
    assert "$ sh -c echo 'mine'; exit 3" in lines and "mine" in lines


def test_journal_and_json(musterd, tmp_path):
    with open(tmp_path / "out", "ab") as out:
        m = musterd(CONFIG, "--log-format=json", stdout=out,
                    env={"JOURNAL_STREAM": stream_of(out)})
        assert m.wait() == 0
    lines = (tmp_path / "out").read_text().splitlines()
    lines.remove("mine")
    assert [line[:3] for line in lines] == ["<4>", "<6>", "<6>"]
    assert shortened(events(line[3:] for line in lines)) == MESSAGES


def test_journal_gets_the_levels_of_guard_and_parent(musterd, tmp_path):
    with open(tmp_path / "err", "ab") as err:
        m = musterd({"processes": {"a": job("sleep", "1000")}}, stderr=err,
                    env={"JOURNAL_STREAM": stream_of(err)})
        m.wait_status()
        harness.kill(m.parent())
        m.wait()
    assert (tmp_path / "err").read_text().startswith(
        "<3>musterd: the parent was ended by signal 9")
