"""What musterd prints, in what order, and that nothing of it is lost."""

import os
import re
import socket
import signal
import threading
import time

import pytest

import harness
from harness import job, python, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
EXIT = {"messages": ["process.exit"]}
EXITED = "pymutils.exited_verifier.ExitedVerifier"
HTTP = "pymutils.http_verifier.HttpOkVerifier"
GRACEFULLY = "Shutting down gracefully (SIGINT again to terminate " \
    "immediately)..."


def lines(m):
    return m.stdout_text().splitlines()


# --- process.exit ---


def test_exit_is_told_once_and_at_once(musterd):
    m = musterd({**KEEP, **EXIT, "processes": {
        "a": sh("exit 3"), "b": sh("kill -KILL $$"), "c": job("true")}})
    m.wait_status()
    for name in "abc":
        m.wait_state(name, "exited", 1)
    m.stop()
    assert sorted(line for line in lines(m) if line[0] == "P") == [
        "Process sh -c exit 3 exited with code 3",
        "Process sh -c kill -KILL $$ exited with code -9",
        "Process true exited with code 0"]


def test_exit_is_told_of_every_end(musterd):
    """Restarts by policy, by request, and the shutdown."""
    m = musterd({**KEEP, **EXIT, "processes": {
        "a": job("sleep", "4000"),
        "b": sh("echo x >> runs; test $(wc -l < runs) = 3 && "
                "exec sleep 4000; exit 1", restart="on-failure",
                backoff={"initial": 0})}})
    harness.wait_for("run 3", lambda: m.status() == "running" and
                     m.all()["b"]["generation"] == 3)
    assert m.post("/restart/1").status == 200
    m.stop()
    told = [line.rsplit(" ", 1)[1] for line in lines(m)
            if line.startswith("Process ")]
    assert sorted(told) == ["-15", "-15", "-15", "1", "1"]
    assert lines(m).count("$ sleep 4000") == 2


def test_no_messages(musterd):
    m = musterd({"processes": {"a": sh("echo a; exit 1")}})
    assert m.wait() == 0
    assert lines(m) == ["$ sh -c echo a; exit 1", "a"]


@pytest.mark.parametrize("value, told", [
    ("process.exit", True), (["other", "process.exit"], True), ([], False),
    ("all process.exit messages", True), (["process.exits"], False)])
def test_values_of_messages(musterd, value, told):
    m = musterd({"messages": value, "processes": {"a": job("true")}})
    assert m.wait() == 0
    assert ("Process true exited with code 0" in lines(m)) == told


# --- the verifiers' ---


def test_verifier_fail(musterd):
    m = musterd({"messages": ["verifier.fail"], "processes": {"a": job(
        "sleep", "4000", verifier={"type": EXITED,
                                   "arguments": {"timeout": 0.2}})}})
    assert m.wait() == 5
    assert "Verifier fail: Process did not exit in given timeframe 0.2s" in \
        lines(m)


def test_expected_and_actual_code(musterd):
    """The other way round with pymanager."""
    m = musterd({"messages": ["verifier.fail"], "processes": {"a": sh(
        "exit 4", verifier={"type": EXITED,
                            "arguments": {"expect_code": 5}})}})
    assert m.wait() == 5
    assert "Verifier fail: Expected exit code 5, got 4" in lines(m)


SERVER = """
import http.server, sys, time
time.sleep(0.5)
class H(http.server.BaseHTTPRequestHandler):
    count = 0
    def do_GET(self):
        H.count += 1
        self.send_response(503 if H.count < 3 else 204)
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


@pytest.mark.parametrize("kind", ["fail", "verbose"])
def test_verifier_messages(musterd, kind):
    port = harness.free_port()
    url = f"http://127.0.0.1:{port}/x"
    m = musterd({**KEEP, "messages": [f"verifier.{kind}"], "processes": {
        "a": python(SERVER, port, verifier={"type": HTTP, "arguments": {
            "url": url, "interval": 0.3}})}})
    m.wait_status()
    said = lines(m)
    assert said.count("Verifier fail: Got status 503 from server.") == 2
    assert any(re.match("Verifier fail: Connection error: .*refused", line)
               for line in said)
    tries = said.count(f"Verifier: Attempting connection to {url} with a "
                       "timeout of 0.3s")
    failed = len([line for line in said if line.startswith("Verifier fail")])
    assert tries == (failed + 1 if kind == "verbose" else 0)


def test_passwords_are_never_shown(musterd):
    port = harness.free_port()
    m = musterd({**KEEP, "messages": ["verifier.verbose"], "processes": {
        "a": python(SERVER, port, verifier={"type": HTTP, "arguments": {
            "url": f"http://u:s3cret@127.0.0.1:{port}/x", "interval": 0.3}})}},
        "-w")
    m.wait_status()
    assert (f"Verifier: Attempting connection to http://u:***@127.0.0.1:{port}"
            "/x with a timeout of 0.3s") in lines(m)
    assert "s3cret" not in m.stdout_text()
    assert "s3cret" not in m.get("/v1/processes").text


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGQUIT])
def test_text_of_a_shutdown(musterd, number):
    m = musterd({**KEEP, "processes": {"a": job("sleep", "4000")}})
    m.wait_status()
    m.signal(number)
    assert m.wait() == 0
    assert lines(m) == ["$ sleep 4000", GRACEFULLY]


# --- log lines ---


@pytest.mark.parametrize("options, levels", [
    ([], set()), (["-v"], {"INFO"}), (["--verbose"], {"INFO"}),
    (["-w"], {"INFO", "DEBUG"}), (["--debug"], {"INFO", "DEBUG"})])
def test_verbosity(musterd, options, levels):
    m = musterd({**KEEP, "processes": {"a": job("true")}}, *options)
    m.wait_status()
    m.post("/restart/1")
    m.stop()
    assert {match[1] for match in map(re.compile(
        r"\[(\w+)\] .+").fullmatch, lines(m)) if match} == levels


def test_verbose_in_the_file_has_no_effect(musterd):
    m = musterd({**KEEP, "verbose": True, "processes": {"a": job("true")}})
    m.wait_status()
    m.post("/restart/1")
    m.stop()
    assert "[" not in m.stdout_text()


@pytest.mark.parametrize("way", ["-l", "--logfile", "key", "both"])
def test_logfile(way):
    """Truncated; of muster's own lines only."""
    more = {"logfile": "own.log" if way == "key" else "other.log"} \
        if way in ("key", "both") else {}
    args = [] if way == "key" else ["-l" if way == "both" else way, "own.log"]
    m = harness.Musterd({**KEEP, **more, "unknown": 1, "processes": {
        "a": sh("echo a")}}, "-v", *args)
    (m.dir / "own.log").write_text("old\n")
    with m:
        m.wait_status()
        m.post("/restart/1")
        harness.wait_for("its output", lambda: "a" in lines(m))
        assert m.stop() == 0
    said = (m.dir / "own.log").read_text()
    assert "old" not in said
    assert "[INFO] " in said
    assert "[" not in m.stdout_text()
    assert "$ sh -c echo a" in lines(m) and "a" in lines(m)
    if way == "both":
        assert not (m.dir / "other.log").exists()


@pytest.mark.parametrize("way", ["-l", "key"])
@pytest.mark.parametrize("path, why", [
    ("nowhere/own.log", "No such file or directory"), ("/", "Is a directory"),
    ("link", "Too many levels of symbolic links")])
def test_logfile_that_cannot_be_opened(way, path, why):
    """Told before anything is started."""
    m = harness.Musterd({**({"logfile": path} if way == "key" else {}),
                         "processes": {"a": sh("touch started")}},
                        *(["-l", path] if way == "-l" else []))
    (m.dir / "link").symlink_to("file")
    with m:
        assert m.wait() == 1
        assert re.fullmatch(r"\[ERROR\] logfile: cannot open "
                            rf".*{path}: {why}\n", m.stdout_text())
        assert not (m.dir / "started").exists()


def test_a_log_stays_when_the_start_fails(musterd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        m = harness.Musterd({"processes": {}, "http": {
            "port": taken.getsockname()[1]}}, "-l", "own.log")
        (m.dir / "own.log").write_text("old\n")
        with m:
            assert m.wait() == 1
            assert (m.dir / "own.log").read_text() == "old\n"


# --- completeness ---


def test_output_is_complete_before_the_end_is_told(musterd):
    """100 000 lines of each of four, side by side."""
    scripts = [f"seq -f 'x{n}%06.0f' 100000" for n in range(4)]
    m = musterd({**EXIT, "processes": {s: sh(s) for s in scripts}})
    assert m.wait() == 0
    said = m.stdout.read_bytes()
    for n, script in enumerate(scripts):
        end = said.index(f"Process sh -c {script} exited with code 0".encode())
        # A line may be cut in two by another process's.
        assert said[:end].count(b"x%d" % n) >= 99900
        assert b"x%d100000\n" % n in said[:end]
    texts = sum(len(f"$ sh -c {s}\nProcess sh -c {s} exited with code 0\n")
                for s in scripts)
    assert len(said) == 4 * 100000 * 9 + texts


def test_order_of_100000_lines(musterd):
    m = musterd({**EXIT, "processes": {"a": job("seq", "100000")}})
    assert m.wait() == 0
    assert lines(m) == [
        "$ seq 100000", *map(str, range(1, 100001)),
        "Process seq 100000 exited with code 0"]


def test_last_line_without_an_end(musterd):
    m = musterd({**EXIT, "processes": {"a": job("printf", "no end")}})
    assert m.wait() == 0
    assert m.stdout_text() == (
        "$ printf no end\nno end"
        "Process printf no end exited with code 0\n")


def test_redirected_output_is_complete(musterd):
    m = musterd({**EXIT, "processes": {"a": sh(
        "seq 200000; kill -9 $$", options={"redirect_output": "log"})}})
    assert m.wait() == 0
    assert (m.dir / "log").read_text() == "".join(
        f"{n}\n" for n in range(1, 200001))


class Pipe:
    """Our end of musterd's standard output; read from when we like."""

    def __init__(self):
        self.end, self.write_end = os.pipe()
        self.got = b""
        self.thread = None

    def start(self, pause=0.0):
        def read():
            while more := os.read(self.end, 65536):
                self.got += more
                time.sleep(pause)
        self.thread = threading.Thread(target=read)
        self.thread.start()

    def finish(self):
        if self.write_end is not None:
            os.close(self.write_end)
        self.write_end = None
        if self.thread:
            self.thread.join()
        os.close(self.end)


def test_output_comes_at_once_through_a_pipe():
    pipe = Pipe()
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "echo hello; exec sleep 4000")}}, stdout=pipe.write_end)
    with m:
        pipe.start()
        harness.wait_for("both lines", lambda: pipe.got ==
                         b"$ sh -c echo hello; exec sleep 4000\nhello\n")
    pipe.finish()


def test_slow_reader():
    """A pipe that is emptied slowly: all that is kept comes, in order."""
    pipe = Pipe()
    m = harness.Musterd({**EXIT, "processes": {
        "a": sh("seq 30000", capture="1m")}}, stdout=pipe.write_end)
    with m:
        pipe.start(0.02)
        assert m.wait() == 0
    pipe.finish()
    assert pipe.got.decode() == "$ sh -c seq 30000\n" + "".join(
        f"{n}\n" for n in range(1, 30001)) + \
        "Process sh -c seq 30000 exited with code 0\n"


def test_reader_that_stands_still():
    """Nobody waits for it; what it has missed is told."""
    pipe = Pipe()
    m = harness.Musterd({**KEEP, "processes": {
        "a": python("import os\n"
                    "for n in range(200): os.write(1, b'Q' * 65535 + b'\\n')\n"
                    "open('done', 'w').close()"),
        "b": sh("echo end")}}, stdout=pipe.write_end)
    with m:
        harness.wait_for("the writer's end", (m.dir / "done").exists)
        m.wait_status()
        m.wait_state("a", "exited")
        pipe.start()
        harness.wait_for("the rest", lambda: re.search(
            rb"musterd: \d+ bytes not shown\n", pipe.got))
        m.wait_state("b", "exited")
    pipe.finish()
    assert b"\nend\n" in pipe.got
    missed = sum(map(int, re.findall(
        rb"musterd: (\d+) bytes not shown\n", pipe.got)))
    # One Q stands in the command.
    shown = pipe.got.count(b"Q") - 1 + pipe.got.count(b"Q\n") + \
        pipe.got.count(b"shown\n\n")
    # Behind an unfinished line there is an end of line that is not its own.
    added = pipe.got.count(b"Q\nmusterd: ")
    assert 0 <= missed + shown - 200 * 65536 <= added


def test_reader_that_goes_away():
    """musterd and its processes go on."""
    pipe = Pipe()
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "while :; do echo tick; echo x >> ticks; sleep 0.02; done")}},
        stdout=pipe.write_end)
    with m:
        m.wait_status()
        harness.wait_for("ticks", (m.dir / "ticks").exists)
        os.close(pipe.write_end)
        pipe.write_end = None
        pipe.finish()
        before = (m.dir / "ticks").stat().st_size
        harness.wait_for("more", lambda: (
            m.dir / "ticks").stat().st_size > before + 20)
        assert m.status() == "running"
        assert m.all()["a"]["generation"] == 1


def test_no_space_for_output(musterd):
    """/dev/full: nobody waits, nothing ends."""
    with open("/dev/full", "wb") as full:
        m = musterd({**KEEP, "processes": {"a": sh(
            "seq 100000; touch done; exec sleep 4000")}}, stdout=full)
        harness.wait_for("the writer's end", (m.dir / "done").exists)
        m.wait_status()


def test_order_of_the_streams_of_one_process(musterd):
    m = musterd({"processes": {"a": sh(
        "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; "
        "done")}})
    assert m.wait() == 0
    assert lines(m)[1:] == [f"{s} {i}" for i in range(1, 10)
                            for s in ("out", "err")]


def test_bytes_are_not_touched(musterd):
    m = musterd({"processes": {"a": python(
        "import os; os.write(1, bytes(range(256)) * 3 + b'\\xff\\n')")}})
    assert m.wait() == 0
    assert bytes(range(256)) * 3 + b"\xff\n" in m.stdout.read_bytes()
