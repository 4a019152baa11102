"""Checks of TCP ports and Unix sockets, and HTTP over the latter."""

import errno
import os
import socket
import time

import pytest

import harness
from imsgpeer import (CHECK_HTTP_UNIX, CHECK_TCP, CHECK_UNIX,
                      IMSG_UNIX_CONNECT, IMSG_UNIX_CONNECTED, MS, i32, u32)
from servers import Server, answers, raw, read_request, response, silent

ENTRY = 77


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST."])
def test_tcp(verifier, serve, host):
    server = serve(silent)
    a = verifier.once(kind=CHECK_TCP, host=host, port=server.port)
    assert (a.passed, a.status, a.detail) == (1, 0, "connected")
    a = verifier.once(kind=CHECK_TCP, host=host, port=harness.free_port())
    assert (a.passed, a.detail) == (0, "connection refused")


def test_tcp_ipv6(verifier, serve):
    try:
        server = serve(silent, family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6")
    for host in "::1", "[::1]", "localhost":
        assert verifier.once(kind=CHECK_TCP, host=host,
                             port=server.port).passed, host


def test_tcp_comes_up(verifier):
    port = harness.free_port()
    number = verifier.start(kind=CHECK_TCP, host="127.0.0.1", port=port,
                            interval=30 * MS)
    assert not verifier.attempt(number).passed
    time.sleep(0.1)
    server = Server(silent, port=port)
    up = time.monotonic()
    assert verifier.until_passed(number).time - up < 0.2 * harness.patience()
    server.close()


def test_tcp_timeout(verifier):
    """A listener whose queue is full takes no more connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fill = []
        for _ in range(8):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            fill.append(s)
        time.sleep(0.1)
        a = verifier.once(kind=CHECK_TCP, host="127.0.0.1", port=port,
                          timeout=300 * MS)
        assert (a.passed, a.detail) == \
            (0, "timed out after 300 ms (connecting)")
        for s in fill:
            s.close()


def test_tcp_nonsense(verifier):
    assert verifier.once(kind=CHECK_TCP, host="127.0.0.1").detail == \
        "there is no port 0"
    for host in "", "a b", "-x", "fe80::1%lo", "b\u00fccher", "x" * 300:
        a = verifier.once(kind=CHECK_TCP, host=host, port=80)
        assert not a.passed and a.detail.startswith("cannot resolve "), host


# --- Unix sockets: the parent connects ---


def asked(verifier, timeout=5):
    """The next IMSG_UNIX_CONNECT."""
    m = verifier.asks(timeout * harness.patience())
    assert m and m.kind == IMSG_UNIX_CONNECT, "the parent was not asked"
    assert m.take("I") == ENTRY and not m.payload
    return m


def give(verifier, m, error=0, path=None):
    """Connects as the parent does, or says why it could not."""
    if error:
        verifier.parent.send(IMSG_UNIX_CONNECTED, m.id, i32(error))
        return
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        verifier.parent.send(IMSG_UNIX_CONNECTED, m.id, i32(0), s.fileno())


def test_unix(verifier, serve, tmp_path):
    path = str(tmp_path / "s")
    serve(silent, family=socket.AF_UNIX, address=path)
    number = verifier.start(kind=CHECK_UNIX, entry=ENTRY)
    for error, text in ((errno.ENOENT, "no such file or directory"),
                        (errno.ECONNREFUSED, "connection refused"),
                        (errno.EACCES, "permission denied")):
        give(verifier, asked(verifier), error)
        a = verifier.attempt(number)
        assert (a.passed, a.detail) == (0, text)
    give(verifier, asked(verifier), path=path)
    a = verifier.attempt(number)
    assert (a.passed, a.detail, a.number) == (1, "connected", 4)


def test_late_answers_of_the_parent(verifier, serve, tmp_path):
    path = str(tmp_path / "s")
    serve(silent, family=socket.AF_UNIX, address=path)
    number = verifier.start(kind=CHECK_UNIX, entry=ENTRY, timeout=100 * MS)
    first = asked(verifier)
    a = verifier.attempt(number)
    assert a.detail == "timed out after 100 ms (connecting)"
    second = asked(verifier)
    assert second.id != first.id
    verifier.stop(number)
    time.sleep(0.1)
    fds = len(os.listdir(f"/proc/{verifier.pid}/fd"))
    for m in first, second, first:
        give(verifier, m, path=path)
    give(verifier, second, errno.ENOENT)
    # They have been closed.
    harness.wait_for("closed descriptors", lambda: len(
        os.listdir(f"/proc/{verifier.pid}/fd")) == fds)
    assert verifier.manager.receive(0.3) is None


class UnixHttp:
    """Checks over HTTP on a Unix socket, with us as the parent."""

    def __init__(self, verifier, path):
        self.verifier = verifier
        self.path = path
        self.connections = 0

    def once(self, url="/", connections=1, **options):
        options.setdefault("timeout", 5000 * MS)
        number = self.verifier.start(url, kind=CHECK_HTTP_UNIX, entry=ENTRY,
                                     **options)
        for _ in range(connections):
            give(self.verifier, asked(self.verifier), path=self.path)
        a = self.verifier.attempt(number)
        if not a.passed:
            self.verifier.stop(number)
            # It may have asked once more before. When another one has been
            # answered, all that it asked is here.
            self.verifier.once(kind=CHECK_TCP, host="127.0.0.1", port=1)
            while self.verifier.asks(0):
                pass
        return a


@pytest.fixture
def unix_http(verifier, serve, tmp_path):
    def start(handler):
        path = str(tmp_path / f"s{len(os.listdir(tmp_path))}")
        server = serve(handler, family=socket.AF_UNIX, address=path)
        client = UnixHttp(verifier, path)
        client.server = server
        return client
    return start


def test_unix_http(unix_http):
    u = unix_http(answers(response(200, b"ready", X_A="b")))
    a = u.once("/health?x=1", body="ready", wanted=["x-a: b"],
               fields=["X-Mine: 2"])
    assert (a.passed, a.status, a.detail) == (1, 200, "http 200")
    head = u.server.requests[0]
    assert head.startswith("GET /health?x=1 HTTP/1.1\r\nHost: localhost\r\n")
    assert "User-Agent: muster\r\n" in head and "X-Mine: 2\r\n" in head
    assert u.once("nope", body="steady").detail == \
        'body does not contain "steady"'
    assert u.server.requests[1].startswith("GET /nope ")
    assert u.once(wanted=["X-B"]).detail == 'no header field "X-B"'
    assert u.once(statuses=[(500, 500)]).detail == "http 200"
    assert u.once(method="POST", fields=["Host: me"]).passed
    assert "Content-Length: 0" in u.server.requests[-1]
    assert "localhost" not in u.server.requests[-1]


def test_unix_http_head(unix_http):
    u = unix_http(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"))
    assert u.once(method="HEAD").passed
    assert u.once(method="HEAD", body="x").detail == \
        'body does not contain "x"'


def test_unix_http_bodies(unix_http):
    chunks = b"".join(b"1\r\n%c\r\n" % c for c in b"it is ready")
    u = unix_http(answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
                          b"\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n"))
    assert u.once(body="is ready").passed
    assert u.once(body="is Ready").detail == 'body does not contain "is Ready"'
    u = unix_http(raw(b"HTTP/1.0 200 OK\n\nuntil the end"))
    assert u.once(body="the end").passed
    assert not u.once(body="the end.").passed
    u = unix_http(answers(b"HTTP/1.1 100 Continue\r\n\r\n" + response(204, b"")))
    assert u.once().passed
    u = unix_http(answers(response(200, b"a" * 70000 + b"late")))
    assert u.once(body="late").detail == \
        'body does not contain "late" in its first 64 KiB'


@pytest.mark.parametrize("data, text", [
    (b"", "connection closed without an answer"),
    (b"SSH-2.0-OpenSSH\r\n", "not an HTTP answer"),
    (b"HTTP/1.1 200", "answer cut short"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "answer cut short"),
    (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "malformed header field"),
    (b"HTTP/1.1 200 OK\r\n folded\r\n\r\n", "malformed header field"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
     "two different Content-Lengths"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", "bad Content-Length"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "unknown Transfer-Encoding"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1"
     b"\r\n\r\n", "two lengths of the body"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
     "malformed chunk"),
    (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
     "line of the answer is too long"),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000,
     "head of the answer is too long"),
    (b"x" * 100000, "line of the answer is too long"),
    (b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", "malformed header field"),
])
def test_unix_http_garbage(unix_http, data, text):
    a = unix_http(raw(data)).once(body="x")
    assert (a.passed, a.detail) == (0, text)


def test_unix_http_timeout(unix_http):
    a = unix_http(silent).once(timeout=800 * MS)
    assert a.detail == "timed out after 800 ms (waiting for the answer)"
    a = unix_http(raw(b"HTTP/1.1 200 OK\r\n\r\n", keep=True)).once(
        timeout=800 * MS, body="x")
    assert a.detail == "timed out after 800 ms (reading the body)"


def test_unix_http_refused(verifier):
    number = verifier.start("/", kind=CHECK_HTTP_UNIX, entry=ENTRY)
    give(verifier, asked(verifier), errno.ECONNREFUSED)
    assert verifier.attempt(number).detail == "connection refused"


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/\u00fc", "/a#b"])
def test_unix_http_bad_path(verifier, path):
    a = verifier.once(path, kind=CHECK_HTTP_UNIX, entry=ENTRY)
    assert a.detail == "path with a character that must be percent-encoded"


def test_unix_http_redirects(unix_http):
    def answer(head):
        path = head.split()[1]
        where = {"/a": "b", "/b": "http://localhost/ok?x", "/loop": "/loop",
                 "/out": "http://127.0.0.1/", "/tls": "https://localhost/",
                 "/port": "http://localhost:81/", "/none": "ftp://x/"}
        if path in where:
            return response(302, b"", Location=where[path])
        return response(200, path.encode())
    u = unix_http(answers(answer))
    assert u.once("/a", redirects=2, connections=3, body="/ok?x").passed
    a = u.once("/a", redirects=1, connections=2)
    assert (a.status, a.detail) == (302, "more than 1 redirects")
    assert u.once("/a").detail == "http 302"
    assert u.once("/loop", redirects=3, connections=4).detail == \
        "more than 3 redirects"
    for path in "/out", "/tls", "/port":
        a = u.once(path, redirects=3)
        assert a.detail.endswith(": it leaves the socket"), path
    assert u.once("/none", redirects=3).detail.endswith(
        "URL is neither http nor https")


def test_unix_http_slow_request(unix_http):
    """The head is longer than the socket takes at once."""
    def slow(server, conn):
        time.sleep(0.2)
        if read_request(server, conn):
            conn.sendall(response(200))
    u = unix_http(slow)
    fields = [f"X-{i}: {'y' * 900}" for i in range(60)]
    assert u.once(fields=fields).passed
    assert len(u.server.requests[0]) > 54000


@pytest.mark.timeout(30)
def test_unix_wrong_descriptors(components):
    """A parent that says nonsense is none: the verifier ends."""
    import imsgpeer
    with socket.socket() as tcp, open("/dev/null", "rb") as null:
        for number, payload, fd in ((1, i32(0), None),
                                    (1, i32(0), null.fileno()),
                                    (1, i32(0), tcp.fileno()),
                                    (1, i32(13), tcp.fileno()),
                                    (1, i32(13) + u32(0), None),
                                    (1, b"", None)):
            v = components.start(imsgpeer.Verifier, "muster-verifier")
            v.start(kind=CHECK_UNIX, entry=ENTRY)
            asked(v)
            v.parent.send(IMSG_UNIX_CONNECTED, number, payload, fd)
            assert v.wait() == 0
