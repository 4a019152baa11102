"""Connections that are misused: held, dribbled on, half-closed, not read.

Whatever one client does, another one is answered in time, the workers stay
the same processes, and their memory stays bounded.
"""

import contextlib
import json
import re
import select
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import PYTHON, SLOW, job, python, sh, wait_for

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
STATUS = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
RUNNING = b'{"status": "running"}'
# What a worker may take, at any time.
MEMORY = 8 << 20
# Much more than is wanted (20 ms): the machine may have others to serve.
P99 = 1 * SLOW

# Asks again and again, on one connection and on new ones, until its standard
# input ends; prints how long each answer took. A program of its own: what the
# test does meanwhile does not delay it.
ASKER = r"""
import json, os, select, socket, sys, time
port, times, failures = int(sys.argv[1]), [], []
request = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
def ask(s):
    s.sendall(request)
    got = b""
    while b"}" not in got:
        more = s.recv(4096)
        if not more:
            raise EOFError("closed")
        got += more
kept = None
print(flush=True)
while len(times) < 40 or not select.select([0], [], [], 0.002)[0]:
    for new in (False, True):
        begin = time.monotonic()
        try:
            if new:
                with socket.create_connection(("127.0.0.1", port), 20) as s:
                    ask(s)
            else:
                try:
                    if kept is None:
                        raise EOFError
                    ask(kept)
                except (EOFError, ConnectionError):
                    # Idle connections may be closed: any client expects it.
                    kept = socket.create_connection(("127.0.0.1", port), 20)
                    ask(kept)
        except (OSError, EOFError) as error:
            failures.append(f"{type(error).__name__}: {error}")
            kept = None
        times.append(time.monotonic() - begin)
json.dump([times, failures], sys.stdout)
"""


class Watch:
    """Watches the workers and asks as another client, while it is entered."""

    def __init__(self, m, ask=True):
        self.m = m
        self.ask = ask
        # Each has the first name of another program for an instant.
        wait_for("two workers", lambda: len(m.component("muster-httpd")) == 2)
        self.workers = sorted(p.pid for p in m.component("muster-httpd"))
        self.peak = 0
        self.end = threading.Event()

    def _sample(self):
        while not self.end.wait(0.02):
            with contextlib.suppress(OSError):
                self.peak = max([self.peak, *map(harness.anonymous, self.workers)])

    def __enter__(self):
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        if self.ask:
            self.asker = subprocess.Popen(
                [PYTHON, "-Sc", ASKER, str(self.m.port)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.asker.stdout.readline()    # it has begun
        return self

    def __exit__(self, kind, value, trace):
        out = b""
        if self.ask:
            out = self.asker.communicate(timeout=50 * SLOW)[0]
        self.end.set()
        self.thread.join()
        if kind is not None:
            return
        last = max(map(harness.anonymous, self.workers))
        print(f"memory of a worker: {self.peak >> 10} KiB at the peak, "
              f"{last >> 10} KiB at the end")
        if self.ask:
            times, failures = json.loads(out)
            times.sort()
            p99 = times[len(times) * 99 // 100]
            print(f"{len(times)} answers to another client: median "
                  f"{times[len(times) // 2] * 1000:.2f} ms, p99 "
                  f"{p99 * 1000:.2f} ms, longest {times[-1] * 1000:.2f} ms")
            assert failures == []
            assert p99 < P99
        if not harness.SAN:     # which has memory of its own
            assert self.peak <= MEMORY
        assert self.workers == sorted(
            p.pid for p in self.m.component("muster-httpd"))


@pytest.fixture
def m(musterd):
    m = musterd({**KEEP, "processes": {"one": SLEEP}})
    return m.wait_status()


@pytest.fixture(params=["tcp", "unix"])
def over(request):
    return request.param


def opened(m, over="tcp", timeout=20):
    c = m.connect(over, timeout)
    c.connect()
    return c.sock


def read_all(s):
    got = b""
    while more := s.recv(65536):
        got += more
    return got


def unchunked(data):
    """The content that is in chunks there, and what is behind it."""
    content = []
    while True:
        size, data = data.split(b"\r\n", 1)
        n = int(size, 16)
        assert data[n:n + 2] == b"\r\n"
        if n == 0:
            return b"".join(content), data[2:]
        content.append(data[:n])
        data = data[n + 2:]


@contextlib.contextmanager
def many(m, count, data=b"", over="tcp", **options):
    """That many connections, each of which has sent the data."""
    socks = []
    try:
        for _ in range(count):
            s = opened(m, over)
            socks.append(s)
            for key, value in options.items():
                s.setsockopt(socket.SOL_SOCKET, getattr(socket, key), value)
            with contextlib.suppress(ConnectionError):
                s.sendall(data)
        yield socks
    finally:
        for s in socks:
            s.close()


# --- ends ---


@pytest.mark.parametrize("requests", [1, 3])
def test_half_closed(m, over, requests):
    """Who says nothing more still gets his answers."""
    with opened(m, over) as s:
        s.sendall(STATUS * requests)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s).count(RUNNING) == requests


def test_half_closed_and_large(musterd, over):
    """One that is larger than what the kernel takes at once, too."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sh", "x" * 900, autostart=False, instances=4000)}})
    m.wait_status()
    whole = m.get("/v1/processes", timeout=20).body
    with opened(m, over) as s:
        s.sendall(STATUS.replace(b"/status", b"/v1/processes") + STATUS)
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.3)
        got = read_all(s)
    assert got.count(b"HTTP/1.1 200 ") == 2
    assert got.endswith(RUNNING)
    head, rest = got.split(b"\r\n\r\n", 1)
    assert b"Transfer-Encoding: chunked" in head
    assert unchunked(rest)[0] == whole


def test_half_closed_while_it_waits(m, over):
    with opened(m, over) as s:
        s.sendall(STATUS.replace(b"GET /status", b"POST /restart/1"))
        s.shutdown(socket.SHUT_WR)
        assert b'"success": true' in read_all(s)


def test_half_closed_head(m, over):
    """Half a request is none."""
    with opened(m, over) as s:
        s.sendall(STATUS[:-2])
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b""


def test_long_lists_to_a_quick_reader(musterd, over):
    """It reads while the list is written, and gets all of each."""
    m = musterd({**KEEP, "http": {"workers": 1}, "processes": {"a": job(
        "sh", "x" * 900, autostart=False, instances=1000)}})
    m.wait_status()
    with opened(m, over) as s:
        for _ in range(100):
            s.sendall(STATUS.replace(b"/status", b"/v1/processes"))
            last = b""
            while not last.endswith(b"\r\n0\r\n\r\n"):
                more = s.recv(1 << 20)
                assert more, "it was closed"
                last = (last + more)[-7:]


def test_request_behind_an_answer_that_is_not_read(musterd, over):
    """What comes while an answer is on its way is answered after it."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sh", "x" * 900, autostart=False, instances=4000)}})
    m.wait_status()
    with opened(m, over) as s:
        s.sendall(STATUS.replace(b"/status", b"/v1/processes"))
        time.sleep(0.3)
        for _ in range(3):
            s.sendall(STATUS)
            time.sleep(0.05)
        got = b""
        while got.count(RUNNING) < 3:
            more = s.recv(1 << 20)
            assert more, "it was closed"
            got += more
        s.sendall(STATUS)
        assert s.recv(4096).endswith(RUNNING)


# --- pipelines ---


@pytest.mark.parametrize("request_, answer", [
    (STATUS, RUNNING), (LARGE, b'"openapi"')])
def test_pipeline_of_1000(m, over, request_, answer):
    with Watch(m, ask=False), opened(m, over) as s:
        writer = threading.Thread(target=s.sendall, args=(request_ * 1000,))
        writer.start()
        got = 0
        tail = b""
        while got < 1000:
            more = s.recv(1 << 20)
            assert more, f"closed after {got} answers"
            got += (tail + more).count(answer)
            tail = (tail + more)[-len(answer) + 1:]
            if tail.count(answer):
                tail = b""
        writer.join()
        s.sendall(STATUS)
        assert s.recv(65536).endswith(RUNNING)


def test_pipelines_that_nobody_reads(m):
    """What they have asked for takes no memory without end."""
    with Watch(m):
        with many(m, 300, LARGE * 200, SO_RCVBUF=4096) as socks:
            for s in socks:
                s.setblocking(False)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                for s in socks:
                    with contextlib.suppress(OSError):
                        s.send(LARGE * 100)
        assert m.status() == "running"


# --- readers that do not read ---


def test_large_answers_that_nobody_reads(musterd):
    m = musterd({**KEEP, "processes": {"a": job(
        "sh", "x" * 100, autostart=False, instances=1000)}})
    m.wait_status()
    with Watch(m), many(m, 100, STATUS.replace(
            b"/status", b"/v1/processes") * 50, SO_RCVBUF=4096):
        time.sleep(0.5)


def test_followers_that_do_not_read(musterd):
    m = musterd({**KEEP, "processes": {"a": python(
        "import os, time\nwhile True:\n"
        "    os.write(1, b'x' * 8191 + b'\\n')\n    time.sleep(0.0005)",
        suppress_output=True)}})
    m.wait_status()
    with Watch(m):
        with many(m, 200, STATUS.replace(
                b"/status", b"/v1/processes/1/streams/stdout?follow=1"),
                SO_RCVBUF=4096):
            time.sleep(1)


def test_lists_that_nobody_reads_take_one_row(musterd):
    """Each of them waits with a row of its list, not with all of it."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sh", "x" * 100, autostart=False, instances=1000)}})
    m.wait_status()
    with Watch(m, ask=False) as watch, many(m, 400, STATUS.replace(
            b"/status", b"/v1/processes"), SO_RCVBUF=4096) as socks:
        for s in socks:
            assert s.recv(12) == b"HTTP/1.1 200"
        assert m.status() == "running"
        assert m.running()
    if not harness.SAN:
        assert watch.peak < 3 << 20


@pytest.mark.parametrize("reads", [True, False])
def test_many_who_want_large_answers(musterd, reads):
    """One who wants a small one is served before them."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sh", "x" * 100, autostart=False, instances=1000)}})
    m.wait_status()
    data = STATUS.replace(b"/status", b"/v1/processes") * 20
    with many(m, 300, data) as socks, Watch(m):
        end = time.monotonic() + 2
        while reads and time.monotonic() < end:
            for s in select.select(socks[:200], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    s.recv(1 << 18)
        if not reads:
            time.sleep(1)


def test_a_long_list_is_of_one_moment(musterd):
    """What changes while it is read is not in it."""
    m = musterd({**KEEP, "processes": {
        "a": SLEEP, "b": job("sh", "x" * 900, autostart=False,
                             instances=4000), "c": SLEEP}})
    m.wait_status()
    before = {n: p["generation"] for n, p in m.all().items()}
    with opened(m, "unix") as s:
        s.sendall(STATUS.replace(b"/status", b"/v1/processes"))
        assert s.recv(1) == b"H"
        for n in ("a", "c"):
            m.post(f"/restart/{m.all()[n]['id']}")
        head, rest = (b"H" + s.recv(4096)).split(b"\r\n\r\n", 1)
        assert b"chunked" in head
        while not rest.endswith(b"\r\n0\r\n\r\n"):
            more = s.recv(1 << 20)
            assert more
            rest += more
    rows = json.loads(unchunked(rest)[0])["processes"]
    assert len(rows) == 4002
    assert [p["id"] for p in rows] == sorted(p["id"] for p in rows)
    got = {p["name"].removeprefix("default."): p["generation"] for p in rows}
    assert got == before
    assert m.all()["c"]["generation"] == before["c"] + 1


@pytest.mark.parametrize("path", ["/", "/v1/processes"])
def test_a_long_list_for_a_client_of_1_0(musterd, path):
    """It ends with the connection."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", "x" * 100, instances=200)}})
    m.wait_status()
    got = m.raw(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    head, body = got.split(b"\r\n\r\n", 1)
    assert b"Connection: close" in head and b"chunked" not in head
    assert len(json.loads(body)["processes"]) == 200
    answer = m.request("HEAD", path)
    assert answer.status == 200 and answer.body == b""


def test_a_long_list_of_pymanager_has_a_length(musterd, over):
    """HEAD tells it, too, and the connection goes on behind it."""
    m = musterd({**KEEP, "processes": {
        "a": sh("exec sleep 4000 # " + "ü" * 100, instances=40)}})
    m.wait_status()
    whole = m.get("/").body
    assert len(whole) > 20000
    lines = b" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    with opened(m, over) as s:
        s.sendall(b"HEAD /" + lines + b"GET /" + lines + STATUS)
        s.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        head, long, body = read_all(s).split(b"\r\n\r\n", 2)
    length = f"Content-Length: {len(whole)}\r\n".encode()
    for part in (head, long):
        assert length in part + b"\r\n" and b"Transfer-" not in part
    assert body.startswith(whole + b"HTTP/1.1 200 ")
    assert body.endswith(RUNNING)
    assert len(json.loads(whole)["processes"]) == 40


# --- held connections ---


def test_2000_held(m, over):
    """The oldest that says nothing gives way to who comes."""
    with many(m, 2000, over=over) as socks:
        with Watch(m, ask=False):
            begin = time.monotonic()
            for _ in range(20):
                assert m.get("/status", over=over).text == RUNNING.decode()
            print(f"20 answers in {time.monotonic() - begin:.3f} s")
        poll = select.poll()
        for s in socks:
            poll.register(s, select.POLLIN)
        closed = dict(poll.poll(0))
        assert len(closed) > 2000 - 2 * 500
        assert socks[-1].fileno() not in closed
        # A few tell of it, not a line each.
        text = m.stdout_text() + m.stderr_text()
        assert 1 <= len(re.findall("connections", text)) <= 4
    assert m.get("/status", over=over).text == RUNNING.decode()


def test_2000_heads_begun(m):
    with Watch(m), many(m, 2000, STATUS[:20]):
        for over in ("tcp", "unix"):
            assert m.get("/status", over=over).text == RUNNING.decode()


def test_busy_ones_are_not_dropped(m):
    """Those who wait for something, or have just spoken, stay."""
    with opened(m) as follower, opened(m) as speaker:
        follower.sendall(STATUS.replace(
            b"/status", b"/v1/processes/1/streams/stdout?follow=1"))
        assert follower.recv(4096).startswith(b"HTTP/1.1 200 ")
        for _ in range(10):
            speaker.sendall(STATUS)
            assert speaker.recv(4096).endswith(RUNNING)
            with many(m, 200):
                pass
        with many(m, 1200):
            assert m.status() == "running"
            follower.setblocking(False)
            with pytest.raises(BlockingIOError):
                while follower.recv(65536):
                    pass


def test_followers_leave_room(musterd):
    """As many as there may be, and one who only asks is still answered."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    with many(m, 1100, STATUS.replace(
            b"/status", b"/v1/processes/1/streams/stdout?follow=1")) as socks:
        heads = []
        for s in socks:
            heads.append(s.recv(4096)[:12])
        assert m.status() == "running"
    print(f"{heads.count(b'HTTP/1.1 200')} follow")
    assert set(heads) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}


# --- time ---


def test_dribbled_head(m):
    """Ten seconds for a head, however its bytes are spread over them."""
    begin = time.monotonic()
    with opened(m, "tcp") as tcp, opened(m, "unix") as unix:
        left = [tcp, unix]
        for s in left:
            s.setblocking(False)
            s.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n")
        while left and time.monotonic() - begin < 20 * SLOW:
            for s in select.select(left, [], [], 0.1)[0]:
                assert s.recv(65536).startswith(b"HTTP/1.1 408 ")
                left.remove(s)
            for s in left:
                s.send(b"X")
    assert left == []
    assert 8 < time.monotonic() - begin < 13 * SLOW
