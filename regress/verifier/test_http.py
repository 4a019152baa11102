"""Checks over HTTP: what passes, what is said when one does not."""

import os
import pathlib
import socket
import subprocess
import time

import pytest

import harness
import imsgpeer
from imsgpeer import CHECK_TCP, IMSG_CHECK_TRYING, MS
from servers import Server, answers, raw, read_request, response, silent


@pytest.mark.parametrize("status", [200, 204, 299])
def test_success(verifier, serve, status):
    body = b"" if status == 204 else b"fine"
    server = serve(answers(response(status, body)))
    a = verifier.once(server.url())
    assert (a.passed, a.status, a.detail, a.number) == \
        (1, status, f"http {status}", 1)
    assert 0 < a.elapsed < 5e9
    assert "User-Agent: muster\r\n" in server.requests[0]
    assert "Accept-Encoding" not in server.requests[0]


@pytest.mark.parametrize("status", [300, 304, 404, 503])
def test_failure(verifier, serve, status):
    server = serve(answers(response(status)))
    a = verifier.once(server.url())
    assert (a.passed, a.status, a.detail) == (0, status, f"http {status}")


def test_expected_statuses(verifier, serve):
    server = serve(answers(response(503)))
    assert verifier.once(server.url(), statuses=[(401, 401), (500, 503)]).passed
    a = verifier.once(server.url(), statuses=[(200, 299), (504, 599)])
    assert (a.passed, a.detail) == (0, "http 503")
    # 200 is not expected then.
    server = serve(answers(response(200)))
    assert not verifier.once(server.url(), statuses=[(404, 404)]).passed


def test_request(verifier, serve):
    server = serve(answers(response(200)))
    assert verifier.once(server.url("/a/b?c=d"), method="POST",
                         fields=["X-One: 1", "Host: example.org",
                                 "X-Empty:"]).passed
    head = server.requests[0]
    assert head.startswith("POST /a/b?c=d HTTP/1.1\r\n")
    assert "X-One: 1\r\n" in head and "Host: example.org\r\n" in head
    assert "Content-Length: 0\r\n" in head and "X-Empty:" in head
    assert "Content-Type" not in head and "127.0.0.1" not in head
    for method in "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND":
        server = serve(answers(response(200, b"")))
        assert verifier.once(server.url(), method=method).passed
        assert server.requests[0].startswith(f"{method} / HTTP/1.1\r\n")


def test_credentials_of_url(verifier, serve):
    server = serve(answers(response(200)))
    url = server.url().replace("//", "//user:pass@")
    assert verifier.once(url).passed
    assert "Authorization: Basic dXNlcjpwYXNz" in server.requests[0]


@pytest.mark.parametrize("method, fields, wanted, text", [
    ("GET\r\nX", [], [], "the request method is not a word"),
    ("CONNECT", [], [], "the request method CONNECT cannot be used"),
    ("", ["A: b\r\nC: d"], [], "a header field of the request"),
    ("", ["no colon"], [], "a header field of the request"),
    ("", [], ["A B: c"], "a header field to expect"),
])
def test_unusable_request(verifier, serve, method, fields, wanted, text):
    server = serve(answers(response(200)))
    a = verifier.once(server.url(), method=method, fields=fields,
                      wanted=wanted)
    assert not a.passed and a.detail.startswith(text)
    assert server.connections == 0


@pytest.mark.parametrize("url, text", [
    ("", "malformed URL"),
    ("127.0.0.1:80", "malformed URL"),
    ("ftp://127.0.0.1/", "URL is neither http nor https"),
    ("file:///etc/passwd", "URL is neither http nor https"),
    ("http://[fe80::1%25lo]/", "URL with an address zone"),
    ("http://b\u00fccher.example/", "URL with a host name that is not ASCII"),
    ("http://a b/", "malformed URL"),
    ("http://127.0.0.1:99999/", "malformed URL"),
])
def test_bad_url(verifier, url, text):
    a = verifier.once(url)
    assert not a.passed and a.detail.startswith(text)


def test_header_fields(verifier, serve):
    server = serve(answers(response(200, Content_Type="text/plain",
                                    X_Two="  spaced  ")))
    for wanted in (["content-type"], ["Content-Type: text/plain"],
                   ["X-Two: spaced", "Content-Length: 2"]):
        assert verifier.once(server.url(), wanted=wanted).passed
    for wanted, missing in ((["X-None"], "X-None"),
                            (["Content-Type: text/html"],
                             "Content-Type: text/html"),
                            (["Content-Length", "X-T"], "X-T")):
        a = verifier.once(server.url(), wanted=wanted)
        assert not a.passed and a.status == 200
        assert a.detail == f'no header field "{missing}"'


def test_fields_of_interim_answers_do_not_count(verifier, serve):
    early = b"HTTP/1.1 103 Early\r\nX-Early: 1\r\nLocation: /x\r\n\r\n"
    server = serve(answers(early + response(200, X_Late="1")))
    assert verifier.once(server.url(), wanted=["X-Late"], redirects=3).passed
    assert not verifier.once(server.url(), wanted=["X-Early"]).passed


def test_body(verifier, serve):
    server = serve(answers(response(200, "Größe: 3 ready".encode())))
    assert verifier.once(server.url(), body="Größe").passed
    assert verifier.once(server.url(), body="ready").passed
    a = verifier.once(server.url(), body="steady")
    assert (a.passed, a.status) == (0, 200)
    assert a.detail == 'body does not contain "steady"'
    a = verifier.once(server.url(), body="x\x01" + "ü" * 50)
    assert a.detail == 'body does not contain "x\\x01' + "ü" * 38 + '..."'


def chunked(*pieces):
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body \
        + b"0\r\n\r\n"


def test_chunked_body(verifier, serve):
    # The text may stand across pieces of any size.
    server = serve(answers(chunked(*(b"%c" % c for c in b"all is ready now"))))
    assert verifier.once(server.url(), body="is ready").passed
    assert verifier.once(server.url(), body="all").passed
    assert not verifier.once(server.url(), body="is  ready").passed


def test_large_body(verifier, serve):
    size = 64 * 1024
    body = b"a" * (size - 5) + b"ready" + b"b" * 5000000 + b"late"
    server = serve(answers(response(200, body)))
    assert verifier.once(server.url(), body="ready").passed
    a = verifier.once(server.url(), body="late")
    assert not a.passed
    assert a.detail == 'body does not contain "late" in its first 64 KiB'
    # Not asked for: not read to its end.
    start = time.monotonic()
    assert verifier.once(server.url()).passed
    assert time.monotonic() - start < 2 * harness.patience()


def test_head_decides(verifier, serve):
    """A body that never comes is waited for only if it was asked for."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    server = serve(raw(head, keep=True))
    assert verifier.once(server.url()).passed
    a = verifier.once(server.url(), body="x", timeout=200 * MS)
    assert not a.passed
    assert a.detail == "timed out after 200 ms (reading the body)"


def test_body_until_close(verifier, serve):
    server = serve(raw(b"HTTP/1.0 200 OK\r\n\r\nthe whole"))
    assert verifier.once(server.url(), body="whole").passed
    assert not verifier.once(server.url(), body="whole ").passed


@pytest.mark.parametrize("data, text", [
    (b"", "connection closed without an answer"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer"),
    (b"\0\0\0\0\0\0\0\0\0\0", "not an HTTP answer"),
    (b"HTTP/1.1 999999 What\r\n\r\n", "not an HTTP answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
     "answer cut short"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", None),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
     "head of the answer is too long"),
    (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300000 + b"\r\n\r\n",
     "head of the answer is too long"),
])
def test_garbage(verifier, serve, data, text):
    server = serve(raw(data))
    a = verifier.once(server.url(), body="something")
    assert not a.passed
    assert a.detail == text or text is None and a.detail


def test_refused_then_up(verifier):
    """The attempt after the server has come up is soon enough."""
    port = harness.free_port()
    number = verifier.start(f"http://127.0.0.1:{port}/", interval=50 * MS)
    a = verifier.attempt(number)
    assert (a.passed, a.status, a.detail) == (0, 0, "connection refused")
    time.sleep(0.3)
    server = Server(answers(response(200)), port=port)
    up = time.monotonic()
    a = verifier.until_passed(number)
    assert a.time - up < 0.2 * harness.patience()
    assert a.number > 5
    server.close()
    # It has passed: no more attempts.
    assert verifier.manager.receive(0.3) is None


def test_pauses(verifier):
    """5 ms, doubling up to the interval."""
    port = harness.free_port()
    number = verifier.start(f"http://127.0.0.1:{port}/", interval=100 * MS)
    times = [verifier.attempt(number).time for _ in range(9)]
    verifier.stop(number)
    pauses = [(b - a) * 1000 for a, b in zip(times, times[1:])]
    expected = (5, 10, 20, 40, 80, 100, 100, 100)
    for n, least in enumerate(expected):
        # We may have read the first of two messages late.
        assert sum(pauses[:n + 1]) > sum(expected[:n + 1]) - 50
        assert pauses[n] < (least + 100) * harness.patience()


def test_fixed_interval(verifier, serve):
    server = serve(answers(response(500)))
    number = verifier.start(server.url(), interval=150 * MS, fixed=True)
    times = [verifier.attempt(number).time for _ in range(5)]
    verifier.stop(number)
    for a, b in zip(times, times[1:]):
        assert 0.1 < b - a < 0.3 * harness.patience()


def test_timeout(verifier, serve):
    server = serve(silent)
    start = time.monotonic()
    a = verifier.once(server.url(), timeout=250 * MS)
    assert 0.2 < time.monotonic() - start < 2 * harness.patience()
    assert not a.passed
    assert a.detail == "timed out after 250 ms (waiting for the answer)"
    a = verifier.once(server.url(), timeout=1500 * MS)
    assert a.detail == "timed out after 1.5 s (waiting for the answer)"


def test_slow_pieces(verifier, serve):
    """The timeout is for all of it, not for each piece."""
    def slow(server, conn):
        read_request(server, conn)
        for byte in response(200, b"x" * 20):
            conn.sendall(bytes([byte]))
            time.sleep(0.02)
    server = serve(slow)
    a = verifier.once(server.url(), timeout=300 * MS, body="x")
    assert not a.passed and a.detail.startswith("timed out after 300 ms")
    assert verifier.once(server.url(), timeout=10000 * MS, body="xx").passed


def test_connection_is_reused(verifier, serve):
    server = serve(answers(response(200)))
    number = verifier.start(server.url(), forever=True, interval=20 * MS)
    for i in range(20):
        a = verifier.attempt(number)
        assert a.passed and a.number == i + 1
    verifier.stop(number)
    assert server.connections == 1
    # A check at start wants to see that connections are accepted.
    assert verifier.once(server.url()).passed
    assert server.connections == 2


def test_start_check_leaves_no_connection(verifier, serve):
    """A server that serves one connection at a time is not kept busy."""
    ended = []

    def handler(server, conn):
        answers(response(200))(server, conn)
        ended.append(1)
    server = serve(handler)
    assert verifier.once(server.url()).passed
    harness.wait_for("the end of the connection", lambda: ended)


def test_connections_of_ended_checks_are_closed(verifier, serve):
    server = serve(answers(response(200)), address="0.0.0.0")
    for i in range(60):
        number = verifier.start(server.url(host=f"127.0.3.{i + 1}"),
                                forever=True, interval=2 * MS)
        assert verifier.attempt(number).passed
        verifier.stop(number)
    fds = os.listdir(f"/proc/{verifier.pid}/fd")
    assert len(fds) < 45 + 15


def test_body_in_a_later_packet_does_not_cost_the_connection(verifier, serve):
    def two(server, conn):
        while read_request(server, conn):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            time.sleep(0.01)
            conn.sendall(b"ok")
    server = serve(two)
    number = verifier.start(server.url(), forever=True, interval=60 * MS)
    for _ in range(6):
        assert verifier.attempt(number).passed
    verifier.stop(number)
    assert server.connections <= 2


def test_server_closes_idle_connections(verifier, serve):
    server = serve(answers(response(200, Connection="close")))
    number = verifier.start(server.url(), forever=True, interval=30 * MS)
    for _ in range(8):
        assert verifier.attempt(number).passed
    verifier.stop(number)
    assert server.connections >= 8


def test_liveness_goes_on(verifier, serve):
    """Passed or not, each interval; a restarted server is seen at once."""
    port = harness.free_port()
    server = Server(answers(response(200)), port=port)
    number = verifier.start(server.url(), forever=True, interval=40 * MS)
    assert verifier.attempt(number).passed
    assert verifier.attempt(number).passed
    server.close()
    server = Server(answers(response(503)), port=port)
    seen = [verifier.attempt(number) for _ in range(10)]
    assert seen[-1].status in (200, 503)
    server.close()
    verifier.stop(number)


def test_first_liveness_checks_are_spread(verifier, serve):
    server = serve(answers(response(200)))
    start = time.monotonic()
    numbers = [verifier.start(server.url(), forever=True, interval=2000 * MS)
               for _ in range(40)]
    times = sorted(verifier.attempt(n).time - start for n in numbers)
    assert times[0] < 0.6 and times[-1] > 1.2
    assert max(b - a for a, b in zip(times, times[1:])) < 0.9


def test_verbose(verifier, serve):
    server = serve(answers(response(200)))
    number = verifier.start(server.url(), verbose=True, timeout=2000 * MS)
    m = verifier.manager.receive()
    assert (m.kind, m.id) == (IMSG_CHECK_TRYING, number)
    assert m.text() == f"Attempting connection to {server.url()} " \
        "with a timeout of 2s"
    assert verifier.attempt(number).passed


def test_passwords_are_never_shown(verifier, serve):
    server = serve(answers(response(200)))
    url = server.url().replace("://", "://u:s3cret@")
    number = verifier.start(url, verbose=True, timeout=2000 * MS)
    m = verifier.manager.receive()
    assert m.text() == "Attempting connection to " + \
        url.replace("s3cret", "***") + " with a timeout of 2s"
    assert verifier.attempt(number).passed
    server = serve(answers(response(302, Location="ftp://u:s3cret@a/")))
    a = verifier.once(server.url(), redirects=5)
    assert a.detail.startswith('redirect to "ftp://u:***@a/": ')


def test_stop(verifier, serve):
    server = serve(silent)
    port = harness.free_port()
    slow = verifier.start(server.url(), timeout=400 * MS)
    refused = verifier.start(f"http://127.0.0.1:{port}/", interval=20 * MS)
    verifier.attempt(refused)
    verifier.stop(slow)
    verifier.stop(refused)
    while verifier.manager.receive(0.2):
        pass
    assert verifier.manager.receive(0.6) is None
    verifier.stop(slow)     # unknown by now: no harm
    verifier.stop(4711)
    assert verifier.running()


def redirecting(table):
    """Answers from a table: path to (status, location) or bytes."""
    def answer(head):
        entry = table[head.split()[1]]
        if isinstance(entry, bytes):
            return entry
        return response(entry[0], b"moved", Location=entry[1])
    return answers(answer)


def test_redirects(verifier, serve):
    table = {"/ok": response(200, b"arrived"), "/a": (302, "/b"),
             "/b": (301, "ok"), "/loop": (302, "/loop"),
             "/query": (307, "?x=1"), "/query?x=1": (308, "//HOST/ok"),
             "/frag": (302, "/ok#part"), "/space": (302, "/with space"),
             "/with%20space": response(200)}
    server = serve(redirecting(table))
    table["/query?x=1"] = (308, f"//127.0.0.1:{server.port}/ok")
    for path in "/a", "/query", "/frag":
        assert verifier.once(server.url(path), redirects=5,
                             body="arrived").passed, path
    assert verifier.once(server.url("/space"), redirects=1).passed
    a = verifier.once(server.url("/a"), redirects=1)
    assert (a.passed, a.detail) == (0, "more than 1 redirects")
    a = verifier.once(server.url("/loop"), redirects=20)
    assert (a.passed, a.status, a.detail) == (0, 302, "more than 20 redirects")
    # Without redirects the answer is an answer.
    a = verifier.once(server.url("/a"))
    assert (a.passed, a.detail) == (0, "http 302")
    assert verifier.once(server.url("/a"), redirects=5,
                         statuses=[(302, 302)]).passed


@pytest.mark.parametrize("location", ["", "#part"])
def test_redirect_to_itself(verifier, serve, location):
    later = iter([response(302, Location=location), response(200)])
    server = serve(answers(lambda head: next(later)))
    assert verifier.once(server.url("/a?b"), redirects=1).passed
    assert [r.split()[1] for r in server.requests] == ["/a?b", "/a?b"]


def test_redirect_to_another_server(verifier, serve):
    other = serve(answers(response(200)))
    server = serve(answers(response(302, b"", Location=other.url("/x"))))
    fields = ["Authorization: Bearer secret", "Cookie: a=b", "X-Mine: 1"]
    assert verifier.once(server.url(), redirects=1, fields=fields).passed
    assert "secret" in server.requests[0] and "Cookie" in server.requests[0]
    assert "secret" not in other.requests[0]
    assert "Cookie" not in other.requests[0]
    assert "X-Mine: 1" in other.requests[0]


@pytest.mark.parametrize("status, method, after", [
    (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"),
    (307, "POST", "POST"), (308, "POST", "POST"), (302, "PUT", "PUT"),
    (303, "PUT", "GET"), (303, "HEAD", "HEAD"), (302, "GET", "GET"),
])
def test_redirect_method(verifier, serve, status, method, after):
    def answer(head):
        if head.split()[1] == "/next":
            return response(200, b"")
        return response(status, b"", Location="/next")
    server = serve(answers(answer))
    assert verifier.once(server.url(), redirects=1, method=method).passed
    assert server.requests[1].startswith(f"{after} /next ")
    assert ("Content-Length: 0" in server.requests[1]) == \
        (after in ("POST", "PUT"))


@pytest.mark.parametrize("location, text", [
    ("ftp://127.0.0.1/", "URL is neither http nor https"),
    ("file:///etc/passwd", "URL is neither http nor https"),
    ("http://[fe80::1%251]/", "URL with an address zone"),
    ("http://b\xfccher.example/", "URL with a host name that is not ASCII"),
    ("http://exa$mple.org/", "malformed URL"),
    ("http://exa,mple.org/", "malformed URL"),
    ("http://exa%3a1mple.org/", "malformed URL"),
    ("http://-example.org/", "URL with a bad host name"),
    ("http://" + "a" * 9000 + "/", "URL is too long"),
    ("http://127.0.0.1:0/", "URL with a bad port"),
    ("http://", "malformed URL"),
])
def test_hostile_location(verifier, serve, location, text):
    data = b"HTTP/1.1 302 Found\r\nLocation: " + \
        location.encode("latin-1") + b"\r\nContent-Length: 0\r\n\r\n"
    server = serve(answers(data))
    a = verifier.once(server.url(), redirects=5)
    assert not a.passed and a.status == 302
    assert a.detail.startswith('redirect to "') and text in a.detail
    assert verifier.once("http://127.0.0.1:1/").detail == "connection refused"


def test_redirect_with_endless_body(verifier, serve):
    def handler(server, conn):
        if read_request(server, conn).split()[1] == "/ok":
            conn.sendall(response(200))
            return
        conn.sendall(b"HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\n")
        while True:
            conn.sendall(b"x" * 65536)
    server = serve(handler)
    assert verifier.once(server.url(), redirects=1, timeout=5000 * MS).passed


def test_endless_answers_hold_up_nobody(verifier, serve):
    def endless(server, conn):
        read_request(server, conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            conn.sendall(b"x" * 65536)
    flood = serve(endless)
    good = serve(answers(response(200)))
    for _ in range(20):
        verifier.start(flood.url(), forever=True, interval=20 * MS)
    time.sleep(0.3)
    for _ in range(5):
        start = time.monotonic()
        assert verifier.once(good.url()).passed
        assert time.monotonic() - start < 1 * harness.patience()


def test_ipv6(verifier, serve):
    try:
        server = serve(answers(response(200)), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6")
    assert verifier.once(f"http://[::1]:{server.port}/").passed
    assert f"Host: [::1]:{server.port}" in server.requests[0]
    # localhost is both, whatever /etc/hosts says.
    assert verifier.once(f"http://localhost:{server.port}/").passed
    assert verifier.once(f"http://a.b.LocalHost:{server.port}/").passed


@pytest.mark.parametrize("host", [
    "0x7f.1", "127.1", "2130706433", "0177.0.0.1", "127.0.0.1.",
    "%6cocalhost", "LOCALHOST", "[::ffff:127.0.0.1]"])
def test_forms_of_addresses(verifier, serve, host):
    """However it is written: libcurl never looks for it by itself."""
    server = serve(answers(response(200)))
    a = verifier.once(f"http://{host}:{server.port}/", timeout=1000 * MS)
    assert a.passed or a.detail
    assert verifier.running()


def test_no_proxy_of_the_environment(components, serve):
    server = serve(answers(response(200)))
    v = components.start(
        imsgpeer.Verifier, "muster-verifier",
        env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "socks5://x"})
    assert v.once(server.url()).passed


# Runs a program in a network of its own, where nobody listens and from the
# few ports of which each connection comes.
ALONE = """#!/usr/bin/python3 -SE
import ctypes, fcntl, os, socket, struct, sys
libc = ctypes.CDLL(None)
NEWNET, NEWUSER = 0x40000000, 0x10000000
if libc.unshare(NEWNET) != 0 and libc.unshare(NEWNET | NEWUSER) != 0:
    sys.exit(77)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # up
try:
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as f:
        f.write("40000 40999")
except OSError:
    sys.exit(77)
os.execv({binary!r}, [{binary!r}, *sys.argv[1:]])
"""


def alone(path, binary):
    path.write_text(ALONE.format(binary=str(binary)), encoding="ascii")
    path.chmod(0o755)
    return path


def test_never_connected_to_itself(components, tmp_path):
    """A port of the ephemeral range, tried until it would answer itself."""
    if subprocess.run([alone(tmp_path / "true", "/bin/true")],
                      check=False).returncode != 0:
        pytest.skip("no network of its own can be had")
    v = components.start(Alone, "muster-verifier")
    numbers = [v.start(kind=CHECK_TCP, host="127.0.0.1", port=40000 + 5 * i,
                       interval=1 * MS) for i in range(200)]
    count = 0
    while count < 30000:
        a = v.attempt(numbers[0])
        count += 1 + len(v.waiting)
        assert not a.passed and not any(a.passed for a in v.waiting)
        v.waiting.clear()


class Alone(imsgpeer.Verifier):
    """A verifier in a network of its own."""

    def __init__(self, binary, **options):
        place = pathlib.Path(options["stderr"].name).parent
        super().__init__(alone(place / "alone", binary), **options)
