"""Requests that are none, or that two servers would read differently.

Each is answered once, with a status that says so, or the connection is
closed; what stands behind it is never taken for a request of its own. That
would show: it is a DELETE that ends musterd.
"""

import re
import socket

import pytest

from harness import job, wait_for

KEEP = {"keep_alive": True, "graceful_time": 1}
HOST = b"Host: localhost\r\n"
SMUGGLED = b"DELETE / HTTP/1.1\r\n" + HOST + b"\r\n"
N = str(len(SMUGGLED)).encode()
POST = b"POST /restart/7 HTTP/1.1\r\n" + HOST
GET = b"GET /status HTTP/1.1\r\n" + HOST
CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)

# What makes the length of the content a matter of opinion.
LENGTHS = {
    "two lengths": (400, POST + b"Content-Length: 0\r\nContent-Length: "
                    + N + b"\r\n\r\n" + SMUGGLED),
    "two equal lengths": (400, POST + b"Content-Length: 0\r\n" * 2 + b"\r\n"
                          + SMUGGLED),
    "list": (400, POST + b"Content-Length: 0, 0\r\n\r\n" + SMUGGLED),
    "list of two": (400, POST + b"Content-Length: 0," + N + b"\r\n\r\n"
                    + SMUGGLED),
    "plus": (400, POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED),
    "minus": (400, POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED),
    "blank inside": (400, POST + b"Content-Length: 0 0\r\n\r\n" + SMUGGLED),
    "hexadecimal": (400, POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED),
    "exponent": (400, POST + b"Content-Length: 0e3\r\n\r\n" + SMUGGLED),
    "fraction": (400, POST + b"Content-Length: 0.0\r\n\r\n" + SMUGGLED),
    "underscore": (400, POST + b"Content-Length: 0_0\r\n\r\n" + SMUGGLED),
    "quoted": (400, POST + b'Content-Length: "0"\r\n\r\n' + SMUGGLED),
    "empty": (400, POST + b"Content-Length: \r\n\r\n" + SMUGGLED),
    "other digits": (400, POST + "Content-Length: ٠\r\n\r\n".encode()
                     + SMUGGLED),
    "2^64": (413, POST + b"Content-Length: 18446744073709551616\r\n\r\n"
             + SMUGGLED),
    "2^32": (413, POST + b"Content-Length: 4294967296\r\n\r\n" + SMUGGLED),
    "gigantic": (413, POST + b"Content-Length: 1048577\r\n\r\n"
                 + SMUGGLED),
    "length and chunks": (400, POST + b"Content-Length: " + N
                          + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
                          b"0\r\n\r\n" + SMUGGLED),
    "chunks and length": (400, POST + b"Transfer-Encoding: chunked\r\n"
                          b"Content-Length: 0\r\n\r\n" + CHUNK + SMUGGLED),
    "chunks": (501, POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK
               + SMUGGLED),
    "chunks in a GET": (501, GET + b"Transfer-Encoding: chunked\r\n\r\n"
                        + CHUNK + SMUGGLED),
    "chunks of 1.0": (501, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked"
                      b"\r\n\r\n" + CHUNK + SMUGGLED),
    "identity": (501, POST + b"Transfer-Encoding: identity\r\n\r\n"
                 + SMUGGLED),
    "list of codings": (501, POST + b"Transfer-Encoding: gzip, chunked"
                        b"\r\n\r\n" + CHUNK + SMUGGLED),
    "two codings": (501, POST + b"Transfer-Encoding: chunked\r\n"
                    b"Transfer-Encoding: x\r\n\r\n" + SMUGGLED),
    "odd coding": (501, POST + b"Transfer-Encoding: \tchunked\t\r\n\r\n"
                   + CHUNK + SMUGGLED),
    "TE of another case": (501, POST + b"tRANSFER-eNCODING: CHUNKED\r\n\r\n"
                           + CHUNK + SMUGGLED),
    "TE, space, colon": (400, POST + b"Transfer-Encoding : chunked\r\n"
                         b"Content-Length: 0\r\n\r\n" + SMUGGLED),
    "length, space, colon": (400, POST + b"Content-Length : " + N
                             + b"\r\n\r\n" + SMUGGLED),
    "TE with a control byte": (400, POST + b"Transfer-Encoding: \x0bchunked"
                               b"\r\n\r\n" + SMUGGLED),
    "TE behind a vertical tab": (400, POST + b"\x0bTransfer-Encoding: "
                                 b"chunked\r\n\r\n" + SMUGGLED),
    "folded TE": (400, POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n"
                  + SMUGGLED),
    "folded length": (400, POST + b"Content-Length:\r\n\t0\r\n\r\n"
                      + SMUGGLED),
    "length with NUL": (400, POST + b"Content-Length: 0\0" + N + b"\r\n\r\n"
                        + SMUGGLED),
    "name with NUL": (400, POST + b"Content-Length\0: 0\r\n\r\n" + SMUGGLED),
    "hidden by a bare CR": (400, POST + b"X: y\rContent-Length: " + N
                            + b"\r\n\r\n" + SMUGGLED),
    "hidden by a bare LF": (400, POST + b"X: y\nContent-Length: " + N
                            + b"\r\n\r\n" + SMUGGLED),
    "space before the first field": (400, b"POST /restart/7 HTTP/1.1\r\n "
                                     + HOST + b"\r\n" + SMUGGLED),
}

# Heads that are none.
HEADS = {
    "bare LF": (400, b"GET /status HTTP/1.1\nHost: localhost\n\n"),
    "bare LF at the end": (400, GET + b"\n"),
    "bare CR": (400, GET.replace(b"\r\n", b"\r") + b"\r\r"),
    "two hosts": (400, GET + b"Host: localhost\r\n\r\n"),
    "two equal hosts": (400, GET + HOST + b"\r\n"),
    "no host": (400, b"GET /status HTTP/1.1\r\n\r\n"),
    "host with a path": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "host with a user": (400, b"GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n"),
    "host list": (400, b"GET / HTTP/1.1\r\nHost: localhost, a\r\n\r\n"),
    "colon only": (400, GET + b": x\r\n\r\n"),
    "no colon": (400, GET + b"nonsense\r\n\r\n"),
    "field of one letter that is none": (400, GET + b"X(: y\r\n\r\n"),
    "name of another alphabet": (400, GET + "X-é: y\r\n\r\n".encode()),
    "escape": (400, GET + b"X: \x1b[31m\r\n\r\n"),
    "delete": (400, GET + b"X: \x7f\r\n\r\n"),
    "NUL in the line": (400, b"GET /sta\0tus HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab for a space": (400, b"GET\t/status\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces": (400, b"GET  /status HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space behind": (400, b"GET /status HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "space before": (400, b" GET /status HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two empty lines": (400, b"\r\n\r\n" + GET + b"\r\n"),
    "no version": (400, b"GET /status\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/0.9, said": (505, b"GET / HTTP/0.9\r\n\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9),
    "HTTP/3": (505, b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
    "http of lower case": (400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "HTTP/1.10": (400, b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    "ICY": (400, b"GET / ICY/1.1\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 32),
    "SSL 2": (400, b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"),
    "SSH": (400, b"SSH-2.0-OpenSSH_9.2\r\n"),
    "an answer": (400, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "10 000 fields": (431, GET + b"A: b\r\n" * 10000 + b"\r\n"),
    "65 fields": (431, GET + b"A: b\r\n" * 64 + b"\r\n"),
    "a field of 1 MiB": (431, GET + b"A: " + b"b" * (1 << 20) + b"\r\n\r\n"),
    "a name of 1 MiB": (431, GET + b"A" * (1 << 20) + b": b\r\n\r\n"),
    "a target of 1 MiB": (414, b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n"),
    "a query of 9 KiB": (414, b"GET /?" + b"a" * 9000 + b" HTTP/1.1\r\n"),
    "a method of 1 MiB": (414, b"G" * (1 << 20)),
    "nothing but spaces": (414, b" " * 9000),
}

# Well-formed, and still not what is wanted; the connection may go on.
REFUSED = {
    "unknown method": (501, b"BREW / HTTP/1.1\r\n"),
    "method of lower case": (501, b"get / HTTP/1.1\r\n"),
    "method with a tail": (501, b"GETS / HTTP/1.1\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n"),
    "PUT": (405, b"PUT /status HTTP/1.1\r\n"),
    "PATCH": (405, b"PATCH /v1/processes HTTP/1.1\r\n"),
    "CONNECT": (501, b"CONNECT localhost:80 HTTP/1.1\r\n"),
    "CONNECT to nothing": (400, b"CONNECT / HTTP/1.1\r\n"),
    "asterisk": (400, b"GET * HTTP/1.1\r\n"),
    "dots": (400, b"GET /v1/../status HTTP/1.1\r\n"),
    "escaped dots": (400, b"GET /v1/%2e%2e/status HTTP/1.1\r\n"),
    "half escaped dots": (400, b"GET /v1/.%2E/status HTTP/1.1\r\n"),
    "one dot": (400, b"GET /./status HTTP/1.1\r\n"),
    "escaped twice": (404, b"GET /v1/%252e%252e/status HTTP/1.1\r\n"),
    "slashes": (400, b"GET /v1//processes HTTP/1.1\r\n"),
    "escaped slash": (400, b"GET /v1%2fprocesses HTTP/1.1\r\n"),
    "slash behind": (404, b"GET /status/ HTTP/1.1\r\n"),
    "escaped NUL": (400, b"GET /status%00 HTTP/1.1\r\n"),
    "escaped line end": (400, b"GET /status%0d%0aX:%20y HTTP/1.1\r\n"),
    "overlong slash": (400, b"GET /v1%c0%afprocesses HTTP/1.1\r\n"),
    "overlong dots": (400, b"GET /v1/%c0%ae%c0%ae/status HTTP/1.1\r\n"),
    "overlong in three bytes": (400, b"GET /%e0%80%af HTTP/1.1\r\n"),
    "surrogate": (400, b"GET /%ed%a0%80 HTTP/1.1\r\n"),
    "beyond Unicode": (400, b"GET /%f5%80%80%80 HTTP/1.1\r\n"),
    "half a character": (400, b"GET /%e2%82 HTTP/1.1\r\n"),
    "raw bytes": (400, b"GET /\xff\xfe HTTP/1.1\r\n"),
    "semicolon": (404, b"GET /status;x=y HTTP/1.1\r\n"),
    "backslash": (400, b"GET /v1\\..\\status HTTP/1.1\r\n"),
    "escaped backslash": (404, b"GET /v1%5c..%5cstatus HTTP/1.1\r\n"),
    "escape of one digit": (400, b"GET /%2 HTTP/1.1\r\n"),
    "escape of u": (400, b"GET /%u002e HTTP/1.1\r\n"),
    "fragment": (400, b"GET /status#x HTTP/1.1\r\n"),
    "brackets": (400, b"GET /<script> HTTP/1.1\r\n"),
    "no slash": (400, b"GET status HTTP/1.1\r\n"),
    "dots only": (400, b"GET .. HTTP/1.1\r\n"),
    "file": (400, b"GET file:///etc/passwd HTTP/1.1\r\n"),
    "20 segments": (404, b"GET " + b"/a" * 20 + b" HTTP/1.1\r\n"),
    "https": (421, b"GET https://localhost/status HTTP/1.1\r\n"),
    "with a user": (400, b"GET http://a@localhost/ HTTP/1.1\r\n"),
    "no authority": (400, b"GET http:///status HTTP/1.1\r\n"),
    "expectation": (417, b"POST /restart/7 HTTP/1.1\r\nExpect: 200-ok\r\n"),
    "two expectations": (417, b"POST /restart/7 HTTP/1.1\r\n"
                         b"Expect: 100-continue, x\r\n"),
    "upgrade is ignored": (200, b"GET /status HTTP/1.1\r\nUpgrade: h2c\r\n"
                           b"Connection: Upgrade, HTTP2-Settings\r\n"
                           b"HTTP2-Settings: AAMAAABk\r\n"),
    "method override": (200, b"GET / HTTP/1.1\r\n"
                        b"X-HTTP-Method-Override: DELETE\r\n"),
    "range": (200, b"GET /status HTTP/1.1\r\nRange: bytes=5-1\r\n"),
}

# Pages of others that make a browser ask, and names made to resolve to us.
FOREIGN = {
    "other host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n",
    "other host of 1.0": b"GET / HTTP/1.0\r\nHost: evil.example\r\n",
    "our name in front": b"GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n",
    "our address in front": b"GET / HTTP/1.1\r\nHost: 127.0.0.1.nip.io\r\n",
    "any address": b"GET / HTTP/1.1\r\nHost: 0.0.0.0\r\n",
    "another absolute form": b"GET http://evil.example/ HTTP/1.1\r\n" + HOST,
    "absolute DELETE": b"DELETE http://evil.example/ HTTP/1.1\r\n" + HOST,
    "form of a page": b"POST /restart/1 HTTP/1.1\r\n" + HOST +
    b"Origin: http://evil.example\r\nContent-Length: 3\r\n"
    b"Content-Type: text/plain\r\n",
    "sandboxed page": b"DELETE / HTTP/1.1\r\n" + HOST + b"Origin: null\r\n",
    "page of another port": b"DELETE / HTTP/1.1\r\n" + HOST +
    b"Origin: http://localhost:1\r\n",
    "preflight": b"OPTIONS / HTTP/1.1\r\n" + HOST +
    b"Origin: http://evil.example\r\n"
    b"Access-Control-Request-Method: DELETE\r\n",
    "image": b"GET /status HTTP/1.1\r\n" + HOST +
    b"Sec-Fetch-Site: cross-site\r\n",
    "rebound": b"DELETE / HTTP/1.1\r\nHost: evil.example\r\n"
    b"Origin: http://evil.example\r\n",
}


@pytest.fixture
def m(musterd):
    m = musterd({**KEEP, "processes": {"one": job("sleep", "4000")}})
    m.wait_status()
    wait_for("two workers", lambda: len(m.component("muster-httpd")) == 2)
    return m


@pytest.fixture(params=["tcp", "unix"])
def over(request):
    return request.param


def send(m, data, over):
    """All answers to that; the rest may find a closed connection."""
    connection = m.connect(over)
    connection.connect()
    with connection.sock as s:
        try:
            s.sendall(data)
        except ConnectionError:
            pass
        try:
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = b""
        try:
            while more := s.recv(65536):
                got += more
        except ConnectionError:
            pass
    return got


def statuses(answers):
    """Those of all heads in it; bodies are JSON without such a line."""
    return [int(n) for n in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answers)]


def check_same(m, workers):
    assert m.status() == "running"
    assert m.all()["one"]["generation"] == 1
    assert workers == sorted(p.pid for p in m.component("muster-httpd"))


def wrong(m, over, table, rest=b""):
    """The names of those that are not answered as they should be."""
    found = {}
    for name, (status, data) in table.items():
        got = send(m, data + rest, over)
        # A large one may be cut off before the answer can be read.
        if statuses(got) == [] and len(data) > 60000:
            continue
        if statuses(got) != [status] or b"\r\nConnection: close" not in got:
            found[name] = got
    return found


@pytest.mark.parametrize("table", [LENGTHS, HEADS], ids=["lengths", "heads"])
def test_no_request(m, over, table):
    """One answer, and the connection is closed."""
    workers = sorted(p.pid for p in m.component("muster-httpd"))
    assert wrong(m, over, table, SMUGGLED) == {}
    check_same(m, workers)


def test_byte_by_byte(m, over):
    """However it is cut, a request is judged the same."""
    workers = sorted(p.pid for p in m.component("muster-httpd"))
    for name, (status, data) in LENGTHS.items():
        connection = m.connect(over)
        connection.connect()
        with connection.sock as s:
            s.setblocking(True)
            got = b""
            try:
                for n in range(0, len(data), 7):
                    s.send(data[n:n + 7])
                while more := s.recv(65536):
                    got += more
            except ConnectionError:
                pass
        assert statuses(got) in ([status], []), name
    check_same(m, workers)


def test_refused(m, over):
    workers = sorted(p.pid for p in m.component("muster-httpd"))
    found = {}
    for name, (status, data) in REFUSED.items():
        data += HOST if b"\r\nHost:" not in data else b""
        got = send(m, data + b"\r\n", over)
        if statuses(got) != [status]:
            found[name] = got
    assert found == {}
    check_same(m, workers)


def test_foreign(m):
    """Nothing is done for them, whatever they ask."""
    workers = sorted(p.pid for p in m.component("muster-httpd"))
    found = {}
    for name, data in FOREIGN.items():
        got = send(m, data + b"\r\n" + SMUGGLED, "tcp")
        if statuses(got) != [403] or b"Access-Control" in got:
            found[name] = got
    assert found == {}
    check_same(m, workers)


def test_absolute_form_wins(m, over):
    """RFC 9112 section 3.2.2: Host does not count beside it."""
    got = send(m, b"GET http://localhost/status HTTP/1.1\r\n"
               b"Host: evil.example\r\n\r\n", over)
    assert statuses(got) == [200]


def test_content_is_no_request(m, over):
    """Not even if it looks like one, and comes later than its head."""
    connection = m.connect(over)
    connection.connect()
    with connection.sock as s:
        s.sendall(POST + b"Content-Length: " + N + b"\r\n\r\n")
        got = s.recv(65536)
        assert statuses(got) == [404]
        s.sendall(SMUGGLED + GET + b"Connection: close\r\n\r\n")
        got = b""
        while more := s.recv(65536):
            got += more
    assert statuses(got) == [200]
    assert m.status() == "running"


@pytest.mark.parametrize("head, data, wanted", [
    # Content is announced and never comes.
    (b"Expect: 100-continue\r\nContent-Length: 9\r\n", b"", [100, 404]),
    # None is announced: none is waited for, nor is the expectation.
    (b"Expect: 100-continue\r\n", b"", [404]),
    (b"Expect: 100-continue\r\nContent-Length: 0\r\n", GET + b"\r\n",
     [404, 200]),
    (b"Expect: 100-CONTINUE\r\nContent-Length: 2\r\n", b"{}" + GET + b"\r\n",
     [100, 404, 200]),
    (b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", CHUNK, [501]),
    (b"Expect: 100-continue\r\nContent-Length: 9999999\r\n", SMUGGLED, [413]),
    (b"Expect: 100-continue\r\nExpect: x\r\nContent-Length: 1\r\n", SMUGGLED,
     [417]),
])
def test_expectations(m, over, head, data, wanted):
    assert statuses(send(m, POST + head + b"\r\n" + data, over)) == wanted
    assert m.status() == "running"


def test_largest_content(m, over):
    """One MiB is thrown away, one byte more is refused at once."""
    most = 1 << 20
    got = send(m, POST + b"Content-Length: %d\r\n\r\n" % most
               + b"x" * most + GET + b"\r\n", over)
    assert statuses(got) == [404, 200]
    connection = m.connect(over)
    connection.connect()
    with connection.sock as s:
        s.sendall(POST + b"Content-Length: %d\r\n\r\n" % (most + 1))
        assert statuses(s.recv(65536)) == [413]
