"""What comes from the socket may be anything: a clear line, and no crash."""

import json
import random
import socket
import threading

import pytest

from fakemusterd import process

OK = "HTTP/1.1 200 OK\r\n"
JSON = "Content-Type: application/json\r\n"
LIST = json.dumps({"processes": [process()]})


def plain(body, *fields):
    return (OK + JSON + f"Content-Length: {len(body)}\r\n" +
            "".join(f"{f}\r\n" for f in fields) + "\r\n" + body).encode()


def chunked(body, size=7, extension="", trailer=""):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return (OK + JSON + "Transfer-Encoding: chunked\r\n\r\n" +
            "".join(f"{len(p):x}{extension}\r\n{p}\r\n" for p in pieces) +
            f"0\r\n{trailer}\r\n").encode()


GOOD = {
    "length": plain(LIST),
    "until it is closed": (OK + JSON + "\r\n" + LIST).encode(),
    "chunked": chunked(LIST),
    "one byte a chunk": chunked(LIST, 1),
    "extensions": chunked(LIST, 99, ";a=b;c"),
    "trailers": chunked(LIST, 9, "", "X: y\r\nZ: z\r\n"),
    "upper case": chunked(LIST).replace(b"chunked", b"CHUNKED"),
    "1.0": plain(LIST).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no reason": plain(LIST).replace(b"200 OK", b"200"),
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n"
                       b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + plain(LIST),
    "parameters": plain(LIST).replace(b"/json", b"/JSON; charset=utf-8"),
    "bytes behind it": plain(LIST) + b"HTTP/1.1 rubbish",
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("pieces", [False, True])
def test_good(ctl, fake, kind, pieces):
    def answer(q):
        q.conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for i in range(0, len(GOOD[kind]), 3):
            q.send(GOOD[kind][i:i + 3])
    fake.on["GET", "/v1/processes"] = answer if pieces else GOOD[kind]
    r = ctl("status")
    assert (r.returncode, r.stderr) == (0, "")
    assert "web" in r.stdout


HEAD = OK + JSON
BAD = {
    "nothing": "",
    "no HTTP": "SSH-2.0-OpenSSH_9\r\n",
    "HTTP/2": "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.2": "HTTP/1.2 200 OK\r\n\r\n",
    "no status": "HTTP/1.1 abc OK\r\n\r\n",
    "status 999": "HTTP/1.1 999 OK\r\n\r\n",
    "status 20": "HTTP/1.1 20 OK\r\n\r\n",
    "101": "HTTP/1.1 101 Switching\r\n\r\n",
    "interim for ever": "HTTP/1.1 100 C\r\n\r\n" * 9,
    "bare LF": plain(LIST).decode().replace("\r\n", "\n"),
    "bare CR": plain(LIST).decode().replace("200 OK", "200 O\rK"),
    "folded": OK + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "blank before the colon": OK + "Content-Length : 2\r\n\r\n{}",
    "no colon": OK + "Content-Length 2\r\n\r\n{}",
    "no name": OK + ": 2\r\n\r\n{}",
    "zero byte": OK + "X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "control": OK + "X: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
    "long line": OK + "X: " + "a" * 9000 + "\r\n\r\n",
    "long head": OK + "X: abcdefgh\r\n" * 9000 + "\r\n",
    "two lengths": HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "negative": HEAD + "Content-Length: -2\r\n\r\n{}",
    "signed": HEAD + "Content-Length: +2\r\n\r\n{}",
    "list": HEAD + "Content-Length: 2, 2\r\n\r\n{}",
    "huge": HEAD + "Content-Length: 99999999999999999999\r\n\r\n{}",
    "length and chunks": chunked(LIST).decode().replace(
        "Transfer", "Content-Length: 2\r\nTransfer"),
    "gzip": HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "encoded": plain(LIST, "Content-Encoding: gzip").decode(),
    "chunks in 1.0": chunked(LIST).decode().replace("HTTP/1.1", "HTTP/1.0"),
    "cut head": OK + "Content-Ty",
    "cut body": plain(LIST).decode()[:-1],
    "cut chunk": chunked(LIST).decode()[:-9],
    "cut end": chunked(LIST).decode()[:-2],
    "no size": HEAD + "Transfer-Encoding: chunked\r\n\r\n\r\n",
    "wrong size": HEAD + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "negative size": HEAD + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "huge size": HEAD + "Transfer-Encoding: chunked\r\n\r\n"
                 "fffffffffffffffff\r\n",
    "long chunk": HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
    "no JSON": plain("hello").decode(),
    "no content": plain("").decode(),
    "cut JSON": plain(LIST[:-2]).decode(),
    "two documents": plain(LIST + LIST).decode(),
    "duplicate": plain('{"processes": [], "processes": []}').decode(),
    "array": plain("[]").decode(),
    "number": plain("3").decode(),
    "deep": plain("[" * 100000).decode(),
    "no UTF-8": plain('{"processes": ["\xff"]}').replace(
        b"\xc3\xbf", b"\xff\xff").decode("utf-8", "surrogateescape"),
    "other type": plain(LIST).decode().replace("application/json",
                                               "text/html"),
    "no processes": plain("{}").decode(),
    "null": plain('{"processes": null}').decode(),
    "no process": plain('{"processes": [3]}').decode(),
    "no id": plain('{"processes": [{"name": "x", "state": "y"}]}').decode(),
}


LOST = {"nothing", "cut head", "cut body", "cut chunk", "cut end"}


@pytest.mark.parametrize("kind", BAD)
def test_bad(ctl, fake, kind):
    fake.on["GET", "/v1/processes"] = BAD[kind].encode("utf-8",
                                                       "surrogateescape")
    r = ctl("wait", "web")
    assert r.stdout == ""
    # When musterd has hung up, it cannot be reached.
    assert r.returncode == (69 if kind in LOST else 1)
    assert r.stderr.startswith(
        f"musterctl: the answer of {fake.path} cannot be used: ")
    assert r.stderr.count("\n") == 1
    # The set of status is another.
    assert ctl("status").returncode == 4


def test_asked_again(ctl, fake):
    """muster-httpd may be replaced between a request and its answer."""
    calls = []

    def answer(q):
        calls.append(1)
        q.send(GOOD["length"][:[0, 30, 9999][min(len(calls), 3) - 1]])
    fake.on["GET", "/v1/processes"] = answer
    r = ctl("status")
    assert (r.returncode, r.stderr, len(calls)) == (0, "", 3)
    # But not for ever, and not when it changes something.
    fake.on["GET", "/v1/processes"] = calls.append
    assert ctl("status").returncode == 4
    assert len(calls) == 7
    fake.requests.clear()
    fake.on["DELETE", "/"] = lambda q: None
    ctl("shutdown", "--timeout=0.1")
    assert fake.requests.count("DELETE /") == 1


def wrong(**members):
    p = process()
    p.update(members)
    return p


@pytest.mark.parametrize("member", ["id", "name", "state"])
@pytest.mark.parametrize("value", [None, 0, -1, 1.5, "", [], {}, True,
                                   2 ** 40])
def test_wrong_members(ctl, fake, member, value):
    fake.processes = [process(2, "a"), wrong(**{member: value})]
    r = ctl("status")
    if member == "state" and value == "":
        return
    assert r.returncode == 4
    assert r.stdout == ""


def test_wrong_details_are_ignored(ctl, fake):
    """Of the rest nothing is needed, whatever it is."""
    values = [None, 0, -1, 1.5, "x", "", [], [1], {}, {"a": 1}, True, 2 ** 62,
              -2 ** 63, 1e300]
    rng = random.Random(1)
    members = ["pid", "instance", "generation", "once", "verified", "started",
               "uptime", "exit", "restarts", "verifier", "command", "args",
               "cwd", "user", "streams"]
    for _ in range(60):
        p = wrong(**{m: rng.choice(values) for m in members})
        if rng.random() < .5:
            p["exit"] = {"code": rng.choice(values),
                         "time": rng.choice(values)}
        if rng.random() < .5:
            p["verifier"] = {k: rng.choice(values) for k in
                             ("kind", "attempts", "last", "elapsed_ms")}
        if rng.random() < .5:
            p["streams"] = [{"name": rng.choice(values + ["stdout", "../x"]),
                             "offset": rng.choice(values)}]
        fake.processes = [p]
        for args in (["status"], ["status", "web"], ["status", "--json"],
                     ["logs", "web"], ["logs", "-n0", "web"],
                     ["wait", "web", "--timeout=0", "--for=exit"]):
            r = ctl(*args)
            assert "cannot be used" not in r.stderr, (args, p)


def test_large(ctl, fake):
    fake.processes = [process(i + 1, f"job-{i}") for i in range(16384)]
    r = ctl("status", timeout=60)
    assert r.returncode == 0
    assert r.stdout.count("\n") == 16385
    r = ctl("status", "job-1*", timeout=60)
    assert r.stdout.count("\n") == 1 + sum(
        p["name"].startswith("default.job-1") for p in fake.processes)


def test_too_large(ctl, fake):
    def endless(q):
        q.stream("application/json")
        while True:
            q.chunk(" " * 1048576)
    fake.on["GET", "/v1/processes"] = endless
    r = ctl("status", timeout=60)
    assert (r.returncode, r.stdout) == (4, "")
    assert r.stderr.endswith("cannot be used: it is too large\n")


def test_no_content(ctl, fake):
    fake.on["GET", "/v1/processes"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    r = ctl("logs", "web")
    assert (r.returncode, r.stderr) == (1, "musterctl: HTTP status 204\n")


def test_errors_are_shown(ctl, fake):
    fake.on["GET", "/v1/processes"] = lambda q: q.problem(
        500, "it\x1b[31m hurts\r\nmuch")
    r = ctl("logs", "web")
    assert r.returncode == 1
    assert r.stderr == \
        "musterctl: it\\e[31m hurts\\r\nmusterctl: much\n"


@pytest.mark.parametrize("status, code", [
    (401, 4), (403, 4), (404, 5), (500, 1), (503, 1), (302, 1), (201, 1)])
def test_statuses(ctl, fake, status, code):
    fake.on["GET", "/v1/processes"] = lambda q: q.problem(status, "why")
    assert ctl("logs", "web").returncode == code
    assert ctl("status").returncode == 4
    fake.on["GET", "/v1/processes"] = lambda q: q.answer(
        status, "<html>", "text/html")
    r = ctl("logs", "web")
    assert r.returncode == code
    assert f"HTTP status {status}" in r.stderr


STREAMS = {
    "no JSON": "hello\n",
    "no event": "{}\n",
    "no object": "[]\n",
    "io without anything": '{"event": "io"}\n',
    "io without data": '{"event": "io", "offset": 0}\n',
    "io without offset": '{"event": "io", "data": "x"}\n',
    "negative offset": '{"event": "io", "offset": -1, "data": "x"}\n',
    "odd offset": '{"event": "io", "offset": "1", "data": "x"}\n',
    "data is a number": '{"event": "io", "offset": 0, "data": 1}\n',
    "base64 is cut": '{"event": "io", "offset": 0, "data_b64": "YWJ"}\n',
    "no base64": '{"event": "io", "offset": 0, "data_b64": "Y!Jj"}\n',
    "padding inside": '{"event": "io", "offset": 0, "data_b64": "Y=Jj"}\n',
    "endless line": '{"event": "' + "x" * 2000000,
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("follow", [False, True])
def test_streams(ctl, fake, kind, follow):
    def stream(q):
        q.stream()
        q.chunk(STREAMS[kind])
        q.end()
    fake.on["GET", "/v1/processes/1/streams/stdout"] = stream
    r = ctl("logs", *(["-f"] if follow else []), "web")
    assert (r.returncode, r.stdout) == (1, "")
    assert r.stderr.startswith(
        f"musterctl: the answer of {fake.path} cannot be used: ")


@pytest.mark.parametrize("follow", [False, True])
def test_refused_streams(ctl, fake, follow):
    args = ["logs", *(["-f"] if follow else []), "web"]
    where = "GET", "/v1/processes/1/streams/stdout"
    fake.on[where] = lambda q: q.problem(403, "no")
    assert ctl(*args).returncode == 4
    fake.on[where] = lambda q: q.problem(500, "no")
    r = ctl(*args)
    assert (r.returncode, r.stderr) == (1, "musterctl: web: HTTP status 500\n")
    fake.on[where] = lambda q: q.problem(404, "no")
    assert ctl(*args).returncode == 0


def test_mutations(ctl, fake):
    """Any damage gives an exit code and at most a few lines."""
    rng = random.Random(7)
    whole = GOOD["chunked"]
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        fake.on["GET", "/v1/processes"] = bytes(data[:rng.choice(
            [len(data), rng.randrange(len(data))])])
        r = ctl("status")
        assert r.returncode in (0, 1, 3, 4)
        assert r.stderr.count("\n") <= 5


def test_silence_is_not_waited_for_for_ever(ctl, fake):
    """A connection that is never answered; the limit is 30 s, so only that
    it can be interrupted is tried here."""
    done = threading.Event()
    fake.on["GET", "/v1/processes"] = lambda q: done.wait(10)
    p = ctl.start("status")
    try:
        p.wait(0.5)
        raise AssertionError("it did not wait")
    except Exception as e:
        assert "timed out" in str(e)
    p.terminate()
    assert p.wait(5) == -15
    done.set()
