"""musterctl logs."""

import json
import os
import select
import socket
import subprocess
import threading
import time

import pytest

import harness
from fakemusterd import process

BOTH = [{"name": "stdout", "offset": 100}, {"name": "stderr", "offset": 9}]


def lines(n, what="line"):
    return b"".join(b"%s %d\n" % (what.encode(), i) for i in range(n))


def reader(p):
    """What a musterctl that runs has written so far, by and by."""
    shown = b""

    def until(text, timeout=10):
        nonlocal shown
        end = time.monotonic() + timeout * harness.patience()
        while text.encode() not in shown:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} is not in {shown!r}"
            if select.select([p.stdout], [], [], left)[0]:
                data = os.read(p.stdout.fileno(), 65536)
                assert data, f"ended: {shown!r}, {p.stderr.read()!r}"
                shown += data
        return shown.decode()
    return until


def test_all(ctl, fake):
    fake.output = {(1, "stdout"): lines(50) + b"\x00\xff\x1b[31m no end"}
    r = ctl("logs", "web", text=False)
    assert (r.returncode, r.stderr) == (0, b"")
    # Raw: these bytes are data.
    assert r.stdout == fake.output[1, "stdout"]
    assert fake.requests[-1].endswith("/streams/stdout?since=0")
    assert fake.seen[-1].fields["accept"] == "application/x-ndjson"


@pytest.mark.parametrize("arguments, count", [
    (["-n", "3"], 3), (["-n3"], 3), (["--lines=0"], 0), (["-n", "all"], 9),
    (["-qn1"], 1),
])
def test_lines(ctl, fake, arguments, count):
    fake.output = {(1, "stdout"): lines(9)}
    r = ctl("logs", *arguments, "web")
    assert r.returncode == 0
    assert r.stdout.splitlines() == [f"line {i}" for i in range(9)][9 - count:]


def test_both_streams(ctl, fake):
    fake.processes = [process(streams=BOTH)]
    fake.output = {(1, "stdout"): b"out\n", (1, "stderr"): b"err\n"}
    assert ctl("logs", "web").stdout == "out\nerr\n"
    assert ctl("logs", "--stderr", "web").stdout == "err\n"


def test_no_streams(ctl, fake):
    fake.processes = [process(streams=[])]
    r = ctl("logs", "web")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == "musterctl: web: its output is not kept\n"
    fake.processes = [process()]
    r = ctl("logs", "--stderr", "web")
    assert r.returncode == 1
    assert "joined" in r.stderr


def test_several(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "worker", instance=0),
                      process(3, "worker", instance=1), process(4, "ü")]
    fake.output = {(1, "stdout"): b"a\nb", (2, "stdout"): b"c\n",
                   (3, "stdout"): b"\nd\r\n", (4, "stdout"): b"\x1b\xff\n"}
    r = ctl("logs", "*", text=False)
    assert r.stdout == ("web         │ a\n"
                        "web         │ b\n"
                        "worker id:2 │ c\n"
                        "worker id:3 │ \n"
                        "worker id:3 │ d\r\n"
                        "ü           │ ").encode() + b"\x1b\xff\n"
    r = ctl("logs", "web", "id:2", env={"LC_ALL": "C"})
    assert r.stdout == ("web         | a\nweb         | b\n"
                        "worker id:2 | c\n")


def test_escaped_on_a_terminal(ctl, fake):
    fake.output = {(1, "stdout"):
                   "tab\there \x1b]0;x\x07 ü\u202e\r\nnext\rx\n".encode()
                   + b"\xff\xc3"}
    code, shown = ctl.terminal("logs", "web")
    assert code == 0
    assert shown == ("tab\there \\e]0;x\\a ü\\u202e\nnext\\rx\n\\xff\\xc3")
    fake.processes.append(process(2, "b"))
    fake.output[2, "stdout"] = b"\x07\n"
    _, shown = ctl.terminal("logs", "*", env={"NO_COLOR": "1"})
    assert shown.endswith("\nb   │ \\a\n")
    _, shown = ctl.terminal("logs", "*")
    assert "\033[32mb   │ \033[0m\\a\n" in shown


def test_characters_in_pieces(ctl, fake):
    """A character may come in two events."""
    def stream(q):
        q.stream()
        q.io(0, "ü".encode()[:1], binary=True)
        q.io(1, "ü".encode()[1:] + b"\r", binary=True)
        q.io(3, "\nx")
        q.end()
    fake.on["GET", "/v1/processes/1/streams/stdout"] = stream
    assert ctl.terminal("logs", "web")[1] == "ü\nx"


def test_json(ctl, fake):
    fake.output = {(1, "stdout"): b"one\ntwo \x1b\n\xff"}
    r = ctl("logs", "--json", "web")
    events = [json.loads(line) for line in r.stdout.splitlines()]
    assert [e["event"] for e in events] == ["generation", "io", "eof"]
    assert events[1]["name"] == "default.web"
    assert events[1]["data_b64"] == "b25lCnR3byAbCv8="


def test_zero_bytes_as_text(ctl, fake):
    def stream(q):
        q.stream()
        q.io(0, "a\0b\n")
        q.end()
    fake.on["GET", "/v1/processes/1/streams/stdout"] = stream
    assert ctl("logs", "web").stdout == "a\0b\n"


def test_gaps(ctl, fake):
    def stream(q):
        q.stream()
        q.event("gap", lost=5)
        q.io(3, "a\n")
        q.io(5, "a\n")
        q.event("gap", lost=7)
        q.io(14, "b\n")
        q.end()
    fake.on["GET", "/v1/processes/1/streams/stdout"] = stream
    r = ctl("logs", "web")
    assert r.stdout == "a\nb\n"
    # What is not kept any more is not worth a word.
    assert r.stderr == "musterctl: web: 7 bytes of stdout are lost\n"
    assert ctl("-q", "logs", "web").stderr == ""


@pytest.mark.parametrize("pieces, shown", [
    (["78\n79\n", "80\n"], "79\n80\n"), (["78\n", "79\n"], "79\n"),
    (["no line", " at all\n79\n"], "no line at all\n79\n"),
    (["no end"], "no end")])
def test_begin_of_what_is_kept(ctl, fake, pieces, shown):
    """Half of a line is none; but better than nothing at all."""
    def stream(q):
        q.stream()
        q.event("generation", generation=1)
        q.event("gap", lost=5)
        at = 5
        for piece in pieces:
            q.io(at, piece)
            at += len(piece)
        q.end()
    fake.on["GET", "/v1/processes/1/streams/stdout"] = stream
    r = ctl("logs", "web")
    assert (r.stdout, r.stderr) == (shown, "")
    said = [json.loads(line) for line in ctl(
        "--json", "logs", "web").stdout.splitlines()]
    assert [e["data"] for e in said if e["event"] == "io"] == pieces


def test_unknown_name(ctl):
    r = ctl("logs", "nope")
    assert (r.returncode, r.stdout) == (5, "")


def test_broken_pipe(ctl, fake):
    fake.output = {(1, "stdout"): lines(100000)}
    p = ctl.start("logs", "web")
    assert p.stdout.readline() == b"line 0\n"
    p.stdout.close()
    assert p.wait(10 * harness.patience()) == -13
    assert p.stderr.read() == b""


def test_full_disk(ctl, fake):
    fake.output = {(1, "stdout"): b"x"}
    with open("/dev/full", "wb") as full:
        p = ctl.start("logs", "web", stdout=full)
        assert p.wait(10 * harness.patience()) == 1
    assert p.stderr.read() == \
        b"musterctl: standard output: No space left on device\n"


@pytest.mark.parametrize("words", [
    ["status"], ["ps", "--json"], ["info"], ["wait", "--json"],
    ["restart", "web"], ["restart", "--json", "web"], ["token"], ["help"],
    ["--version"], ["completion", "bash"]])
def test_full_disk_of_others(ctl, words):
    with open("/dev/full", "wb") as full:
        p = ctl.start(*words, stdout=full)
        assert p.wait(10 * harness.patience()) == 1
    assert p.stderr.read() == \
        b"musterctl: standard output: No space left on device\n"


# --- -f ---


class Live:
    """The output of a process that grows, for -f."""

    def __init__(self, fake, path):
        self.targets = []
        self.conns = []
        self.data = b""
        self.changed = threading.Condition()
        self.cut = False
        fake.on["GET", path] = self.serve

    def write(self, data):
        with self.changed:
            self.data += data
            self.changed.notify_all()

    def drop(self):
        """As when muster-httpd dies."""
        with self.changed:
            self.cut = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.cut, 10)

    def serve(self, q):
        self.targets.append(q.target)
        assert q.query["follow"] == "1"
        at = int(q.query.get("since", 0))
        q.stream()
        while True:
            with self.changed:
                if self.cut:
                    self.cut = False
                    self.changed.notify_all()
                    return
                if at < len(self.data):
                    q.io(at, self.data[at:], binary=True)
                    at = len(self.data)
                self.changed.wait(10)


def test_follow(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    live.write(b"one\n")
    p = ctl.start("logs", "-f", "web")
    until = reader(p)
    until("one\n")
    live.write(b"two")
    until("two")        # an incomplete line, too
    live.write(b" and\n")
    assert until(" and\n") == "one\ntwo and\n"
    assert live.targets == ["/v1/processes/1/streams/stdout?lines=10&follow=1"]


def test_follow_goes_on_where_it_was(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    live.write(b"0123\n")
    until = reader(ctl.start("logs", "-fn", "all", "web"))
    until("0123\n")
    live.drop()
    live.write(b"abc\n")
    assert until("abc\n") == "0123\nabc\n"
    live.drop()
    live.write(b"def\n")
    assert until("def\n") == "0123\nabc\ndef\n"
    assert [t.partition("?")[2] for t in live.targets] == [
        "since=0&follow=1", "since=5&follow=1", "since=9&follow=1"]


def test_follow_from_now_on(ctl, fake):
    fake.processes = [process(streams=[{"name": "stdout", "offset": 42}])]
    live = Live(fake, "/v1/processes/1/streams/stdout")
    p = ctl.start("logs", "-f", "-n0", "web")
    live.write(b"x" * 42 + b"new\n")
    assert reader(p)("new\n") == "new\n"
    assert "since=42&" in live.targets[0]


def test_follow_several(ctl, fake):
    fake.processes = [process(1, "web", streams=BOTH), process(2, "db")]
    out, err, db = (Live(fake, f"/v1/processes/{p}") for p in (
        "1/streams/stdout", "1/streams/stderr", "2/streams/stdout"))
    until = reader(ctl.start("logs", "-f", "web", "db"))
    out.write(b"half ")
    db.write(b"db\n")
    until("db  │ db\n")
    err.write(b"err\n")
    until("web │ err\n")
    out.write(b"whole\n")
    assert until("whole\n") == "db  │ db\nweb │ err\nweb │ half whole\n"


def test_follow_json_has_lines(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    p = ctl.start("--json", "logs", "-f", "web")
    live.write(b"a")
    assert json.loads(reader(p)("\n"))["event"] == "io"


def test_follow_until_the_process_is_gone(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    live.write(b"a\n")
    p = ctl.start("logs", "-f", "web")
    reader(p)("a\n")
    fake.processes = []
    del fake.on["GET", "/v1/processes/1/streams/stdout"]
    live.drop()
    assert p.wait(10 * harness.patience()) == 0


def test_follow_before_the_first_start(ctl, fake):
    """A process that was never started has no stream: that ends at once."""
    where = "GET", "/v1/processes/1/streams/stdout"
    targets = []

    def stream(q):
        targets.append(q.target)
        q.stream()
        q.end()
    fake.on[where] = stream
    p = ctl.start("logs", "-f", "web")
    harness.wait_for("more requests", lambda: len(targets) > 2)
    del fake.on[where]
    fake.output = {(1, "stdout"): b"at last\n"}
    reader(p)("at last\n")
    assert all(t.endswith("?lines=10&follow=1") for t in targets)


def test_follow_musterd_has_gone(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    live.write(b"a\n")
    p = ctl.start("logs", "-f", "web")
    reader(p)("a\n")
    fake.close()
    live.drop()
    assert p.wait(15 * harness.patience()) == 69
    assert b"no musterd answers at" in p.stderr.read()


@pytest.mark.parametrize("ends", [1, 2])
def test_follow_until_musterd_is_shut_down(ctl, fake, ends):
    """Its streams come to an end then; those of one that is killed do not."""
    fake.processes = [process(1, "web"), process(2, "db")]
    at = []

    def stream(q):
        q.stream()
        q.event("generation", generation=1)
        q.io(0, "a\n")
        at.append(q)
        while not fake.gone:
            time.sleep(0.01)
        q.event("eof", offset=2)
        if q.path.startswith(f"/v1/processes/{ends}/") or ends == 2:
            q.end()
    fake.gone = False
    for i in (1, 2):
        fake.on["GET", f"/v1/processes/{i}/streams/stdout"] = stream
    p = ctl.start("logs", "-f", "web", "db")
    reader(p)("db  │ a\n")
    harness.wait_for("both", lambda: len(at) == 2)
    fake.listener.shutdown(socket.SHUT_RDWR)
    fake.listener.close()
    fake.gone = True
    assert p.wait(15 * harness.patience()) == (0 if ends == 2 else 69)
    said = p.stderr.read().decode()
    if ends == 2:
        assert said == "musterctl: musterd has ended\n"
    else:
        assert "no musterd answers at" in said


def test_follow_another_musterd(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    live.write(b"a\n")
    p = ctl.start("logs", "-f", "web")
    until = reader(p)
    until("a\n")
    fake.boot = "another"
    fake.processes = [process(5, "web")]
    new = Live(fake, "/v1/processes/5/streams/stdout")
    new.write(b"b\n")
    live.drop()
    assert until("b\n") == "a\nb\n"
    # All that the new one has is new.
    assert "since=0&" in new.targets[0]


def test_follow_notices_a_reader_that_has_gone(ctl, fake):
    live = Live(fake, "/v1/processes/1/streams/stdout")
    live.write(b"a\n")
    p = ctl.start("logs", "-f", "web")
    reader(p)("a\n")
    p.stdout.close()
    # Nothing more is written.
    assert p.wait(10 * harness.patience()) == -13


def test_follow_too_many(ctl, fake):
    fake.processes = [process(i + 1, f"p{i}") for i in range(129)]
    r = ctl("logs", "-f", "*")
    assert r.returncode == 1
    assert "129 streams are too many" in r.stderr


def test_lost_without_following(ctl, fake):
    """It is tried again at the offset that was reached."""
    calls = []

    def stream(q):
        calls.append(q.query)
        q.stream()
        if len(calls) == 1:
            q.io(0, "one\n")
            return
        q.io(4, "two\n")
        q.end()
    fake.on["GET", "/v1/processes/1/streams/stdout"] = stream
    r = ctl("logs", "-n5", "web")
    assert (r.returncode, r.stdout) == (0, "one\ntwo\n")
    assert calls == [{"lines": "5"}, {"since": "4"}]


def test_started_by_someone_who_ignores_sigpipe(ctl, fake):
    fake.output = {(1, "stdout"): lines(100000)}
    p = subprocess.Popen(
        ["sh", "-c", 'trap "" PIPE; exec "$@"', "sh", harness.MUSTERCTL,
         "-s", fake.path, "logs", "web"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ctl.running.append(p)
    p.stdout.readline()
    p.stdout.close()
    assert p.wait(10 * harness.patience()) == -13


def test_of_all(ctl, fake):
    """No name: all whose output is kept, and no word of the others."""
    fake.processes = [process(1, "web"), process(2, "db"),
                      {**process(3, "mute"), "streams": []}]
    fake.output = {(1, "stdout"): b"a\n", (2, "stdout"): b"b\n"}
    r = ctl("logs")
    assert (r.returncode, r.stderr) == (0, "")
    assert r.stdout == "web │ a\ndb  │ b\n"
    fake.processes = fake.processes[2:]
    r = ctl("logs")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr == \
        "musterctl: there is no process whose output is kept\n"
