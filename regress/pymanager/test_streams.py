"""Output of processes over HTTP: raw, server-sent events, NDJSON."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import socket

import pytest

import harness
from harness import job, python, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")


@pytest.fixture
def two(musterd):
    """One that runs, and one that has ended with code 3."""
    m = musterd({**KEEP, "processes": {"one": SLEEP, "two": sh("exit 3")}})
    m.wait_status()
    m.wait_state("two", "exited")
    return m


@pytest.fixture(params=["tcp", "unix"])
def over(request):
    return request.param


def events(response):
    """The events of an SSE stream."""
    event = {}
    for line in response:
        line = line.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            key, value = line.split(": ", 1)
            event[key] = json.loads(value) if key == "data" else value
        elif event:
            yield event
            event = {}


def open_stream(m, query="", accept=None, over="tcp", headers=None,
                name="stdout", timeout=10):
    c = m.connect(over, timeout)
    headers = dict(headers or {})
    if accept:
        headers["Accept"] = accept
    c.request("GET", f"/v1/processes/1/streams/{name}{query}",
              headers=headers)
    response = c.getresponse()
    assert response.status == 200
    response.connection = c
    return response


def content(data):
    """What the data of `io` carries."""
    import base64
    return data["data"].encode() if "data" in data else \
        base64.b64decode(data["data_b64"])


@pytest.fixture
def talker(musterd):
    """It repeats what is appended to a file."""
    def start(**more):
        m = harness.Musterd({**KEEP, "processes": {"a": sh(
            "echo hello $$; exec tail -n +1 -s 0.02 -f input", **more)}})
        (m.dir / "input").write_text("")
        mine.append(m)
        m.start().wait_status()
        m.wait_text("^hello")
        m.say = lambda text: append(m.dir / "input", text)
        return m

    def append(path, text):
        with open(path, "ab") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    mine = []
    yield start
    for m in mine:
        m.close()


def test_raw_stream(talker, over):
    m = talker()
    m.say("one\n\xff")
    harness.wait_for("all of it", lambda: open_stream(
        m, over=over).read().endswith(b"one\n\xc3\xbf"))
    response = open_stream(m, over=over)
    assert response.headers["Content-Type"] == "application/octet-stream"
    pid = m.all()["a"]["pid"]
    assert response.read() == f"hello {pid}\none\n\xff".encode()
    assert open_stream(m, "?tail=3").read() == b"\n\xc3\xbf"
    assert open_stream(m, "?since=6").read() == f"{pid}\none\n\xff".encode()
    assert open_stream(m, "?lines=1", name="1").read() in (
        b"\xc3\xbf", b"one\n\xc3\xbf")
    # Bytes that are read stay.
    assert m.all()["a"]["streams"][0]["offset"] == len(
        f"hello {pid}\none\n\xff".encode())


@pytest.mark.parametrize("accept", [
    "text/event-stream", "application/x-ndjson", "application/octet-stream"])
def test_shutdown_ends_streams(musterd, accept):
    """With the last chunk, unlike the death of a musterd that is killed."""
    m = musterd({**KEEP, "processes": {
        "one": sh("echo hello; exec sleep 4000"), "two": sh("echo hello")}})
    m.wait_status()
    m.wait_state("two", "exited")
    both = []
    for i in (1, 2):
        c = m.connect("tcp", 10)
        c.request("GET", f"/v1/processes/{i}/streams/stdout?follow=1",
                  headers={"Accept": accept})
        both.append((c, c.getresponse()))
    p = subprocess.Popen(
        [harness.MUSTERCTL, "-s", m.socket, "logs", "-f", "*"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _, response in both:
        line = b"-"
        while line and b"hello" not in line:
            line = response.readline()
    assert sorted(p.stdout.readline()[:3] for _ in both) == [b"one", b"two"]
    assert m.stop() == 0
    for c, response in both:
        response.read()     # raises where it was cut off
        c.close()
    out, err = p.communicate(timeout=15 * harness.patience())
    assert (p.returncode, out, err) == (
        0, b"", b"musterctl: musterd has ended\n")


def test_last_words_in_a_shutdown(musterd, over):
    """All of them come, though they are more than fits into one piece."""
    m = musterd({**KEEP, "graceful_time": 5, "processes": {"a": sh(
        "trap 'i=10000; while test $i -lt 40000; do i=$((i + 1)); "
        "echo line $i; done; exit' TERM; echo up; "
        "while :; do sleep 0.05; done", suppress_output=True,
        capture=1 << 20)}})
    m.wait_status()
    response = open_stream(m, "?follow=1", "text/plain", over)
    assert response.readline() == b"up\n"
    m.signal(signal.SIGTERM)
    lines = [line for line in response.read().splitlines()
             if line.startswith(b"line ")]     # not of its shell
    assert len(lines) == 30000
    m.wait()


def test_lines_are_whole(musterd):
    """Also where more of them are wanted than are kept."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "seq -f 'line %05g.' 10000; exec sleep 4000",
        capture=4096)}})
    m.wait_status()
    harness.wait_for("all of it", lambda: open_stream(
        m, "?lines=1").read() == b"line 10000.\n")
    for query in ("?lines=100000", "?lines=100000&tail=1000000"):
        found = open_stream(m, query).read()
        assert 0 < len(found) < 120000 and len(found) % 12 == 0
        assert found.startswith(b"line ") and found.endswith(b"10000.\n")
    r = subprocess.run([harness.MUSTERCTL, "-s", m.socket, "logs", "a"],
                       capture_output=True, check=True, timeout=30)
    assert len(r.stdout) % 12 == 0 and r.stdout.startswith(b"line ")
    assert open_stream(m).read().endswith(r.stdout)


@pytest.mark.parametrize("query", ["?tail=0", "?lines=0"])
def test_nothing_that_was_before(talker, over, query):
    m = talker()
    assert open_stream(m, query, over=over).read() == b""
    response = open_stream(m, query + "&follow=1", over=over,
                           accept="application/octet-stream")
    done = threading.Event()

    def talk():     # the head may be here before the relay is asked
        while not done.wait(0.02):
            m.say("later\n")

    talking = threading.Thread(target=talk)
    talking.start()
    assert response.read(6) == b"later\n"
    done.set()
    talking.join()


def test_head_of_a_stream(talker):
    m = talker()
    answer = m.raw(b"HEAD /v1/processes/1/streams/1 HTTP/1.1\r\n"
                   b"Host: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_stream_of_1_0(talker):
    """Without chunks."""
    m = talker()
    answer = m.raw(b"GET /v1/processes/1/streams/1 HTTP/1.0\r\n\r\n")
    head, body = answer.split(b"\r\n\r\n")
    assert b"chunked" not in head
    assert re.fullmatch(rb"hello \d+\n", body)


@pytest.mark.parametrize("query, accept, kind", [
    ("", "text/event-stream;q=0.1, application/octet-stream;q=0.2",
     "application/octet-stream"),
    ("", "application/x-ndjson;q=0, text/event-stream", "text/event-stream"),
    ("?follow=1", "text/event-stream;q=0, text/plain;q=0.1",
     "application/octet-stream"),
    ("?follow=1", "application/x-ndjson;q=0", "text/event-stream"),
    ("?follow=1", "*/*", "text/event-stream"),
    ("", "*/*", "application/octet-stream")])
def test_form_of_a_stream(talker, query, accept, kind):
    """What is wanted most; if nothing is named, what suits."""
    response = open_stream(talker(), query, accept)
    assert response.headers["Content-Type"] == kind
    response.connection.close()


@pytest.mark.parametrize("query", [
    "?tail=x", "?lines=-1", "?since=", "?follow=2"])
def test_bad_query_of_a_stream(talker, query):
    got = talker().get(f"/v1/processes/1/streams/stdout{query}")
    assert (got.status, got.json()["code"]) == (400, "bad-query")


@pytest.mark.parametrize("accept", ["text/event-stream",
                                    "application/x-ndjson", None])
def test_follow_over_a_restart(talker, over, accept):
    m = talker()
    response = open_stream(m, "?follow=1", accept, over)
    if accept == "application/x-ndjson":
        assert response.headers["Content-Type"] == accept
        source = (json.loads(line) for line in response)
    else:
        assert response.headers["Content-Type"] == "text/event-stream"
        source = ({**e["data"], "sse": (e["event"], e["id"])}
                  for e in events(response))
    pid = m.all()["a"]["pid"]
    got = [next(source), next(source)]
    m.say("ä\n")
    got.append(next(source))
    new = m.post("/restart/1").json()["process"]["pid"]
    text = b""
    while not text.endswith("ä\n".encode()):
        got.append(next(source))
        if got[-1]["event"] == "io":
            text += content(got[-1])
    assert [g["event"] for g in got[:5]] == [
        "generation", "io", "io", "eof", "generation"]
    assert (got[0]["generation"], got[4]["generation"]) == (1, 2)
    assert all((g["process"], g["stream"]) == (1, "stdout") for g in got)
    first = f"hello {pid}\n".encode()
    assert content(got[1]) == first and got[1]["offset"] == 0
    assert content(got[2]) == "ä\n".encode()
    assert got[2]["offset"] == len(first)
    assert got[3]["offset"] == len(first) + 3
    assert got[5]["offset"] == len(first) + 3
    assert text == f"hello {new}\nä\n".encode()
    if "sse" in got[0]:
        boot = m.get("/v1").json()["boot"]
        assert [g["sse"][0] for g in got] == [g["event"] for g in got]
        assert got[2]["sse"][1] == f"{boot}-{len(first) + 3}"
    response.connection.close()


def test_follow_raw_over_a_restart(talker):
    m = talker()
    response = open_stream(m, "?follow=1", "application/octet-stream")
    pid = m.all()["a"]["pid"]
    new = m.post("/restart/1").json()["process"]["pid"]
    expected = f"hello {pid}\nhello {new}\n".encode()
    assert response.read(len(expected)) == expected
    response.connection.close()


def test_last_event_id(talker):
    m = talker()
    m.say("more\n")
    m.wait_text("^more$")
    source = events(open_stream(m, "?follow=1", "text/event-stream"))
    e = next(source)
    while e["event"] != "io":
        e = next(source)
    m.say("later\n")
    again = open_stream(m, "?follow=1", headers={"Last-Event-ID": e["id"]})
    source = events(again)
    assert next(source)["event"] == "generation"
    got = next(source)["data"]
    # Only what came after it.
    assert (b"hello " + b"".join([content(e["data"])[6:], content(got)])
            ).endswith(b"later\n")
    assert content(got).endswith(b"later\n")
    assert b"hello" not in content(got)
    again.connection.close()


@pytest.mark.parametrize("query", ["tail=3", "tail=0", "lines=1", "lines=0"])
def test_last_event_id_and_a_tail(talker, query):
    """A browser that comes back has the same query: it goes on all the same."""
    m = talker()
    m.wait_text("^hello")
    m.say("more\n" * 10)
    harness.wait_for("it", lambda: m.get(
        "/v1/processes/1/streams/1").text.endswith("more\n"))
    last = f"{m.get('/v1').json()['boot']}-7"
    response = open_stream(m, "?follow=1&" + query,
                           headers={"Last-Event-ID": last})
    source = events(response)
    assert next(source)["event"] == "generation"
    assert next(source)["data"]["offset"] == 7
    response.connection.close()


@pytest.mark.parametrize("query, least, most", [
    ("", 1, 4 << 20), ("?tail=100", 100, 100), ("?lines=20", 19 * 51, 20 * 51),
    ("?since=0", 1, 4 << 20)])
@pytest.mark.parametrize("accept", ["text/plain", "application/x-ndjson"])
def test_read_of_one_that_writes_on(musterd, query, least, most, accept):
    """What there is when it is asked for, and no more."""
    m = musterd({**KEEP, "processes": {"a": job(
        "yes", "x" * 50, suppress_output=True, capture=65536)}})
    m.wait_status()
    harness.wait_for("output", lambda: m.all()["a"]["streams"][0][
        "offset"] > 1 << 20)
    body = m.get(f"/v1/processes/1/streams/1{query}",
                 headers={"Accept": accept}, timeout=20).body
    if accept.endswith("json"):
        body = b"".join(content(e) for e in map(
            json.loads, body.splitlines()) if e["event"] == "io")
    assert least <= len(body) <= most


def test_generations_that_have_ended(musterd):
    """Each end and each begin is told to who comes later, too."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "echo x >> runs; n=$(wc -l < runs | tr -d ' '); "
        "test $n = 4 || for i in 1 2 3; do echo run $n; done; "
        "test $n -lt 40 || exec sleep 4000", restart="always",
        backoff={"initial": 0}, start_limit={"count": 0})}})
    harness.wait_for("40 runs", lambda: m.status() == "running" and m.get(
        "/v1/processes/1/streams/1").text.endswith("run 40\n" * 3))
    got = [json.loads(line) for line in m.get(
        "/v1/processes/1/streams/1?since=0",
        headers={"Accept": "application/x-ndjson"}).text.splitlines()]
    text = {}
    for e in got:
        if e["event"] == "generation":
            now = e["generation"]
            text[now] = ""
        elif e["event"] == "io":
            text[now] += e["data"]
        else:
            assert e["event"] == "eof"
    assert text == {n: f"run {n}\n" * 3 for n in range(1, 41) if n != 4}
    assert [e["event"] for e in got] == [
        "generation", "io", "eof"] * 38 + ["generation", "io"]


def test_lines_are_whole(musterd):
    """The first of those that are kept has lost its begin."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "i=10000; while test $i -lt 20000; do echo line $i; i=$((i + 1)); "
        "done; exec sleep 4000", suppress_output=True, capture=4096)}})
    m.wait_status()
    harness.wait_for("all", lambda: m.all()["a"]["streams"][0][
        "offset"] == 10000 * 11)
    lines = m.get("/v1/processes/1/streams/1?lines=100000").text.splitlines()
    assert len(lines) > 300
    assert lines == [f"line {n}" for n in range(20000 - len(lines), 20000)]


def test_last_event_id_of_another(talker):
    """Its offsets say nothing here: all that is kept comes, behind a gap."""
    m = talker()
    m.wait_text("^hello")
    for last in "0123456789abcdef-99999999", "x-3", "-3":
        response = open_stream(m, "?follow=1", headers={"Last-Event-ID": last})
        source = events(response)
        assert [next(source)["event"] for _ in range(2)] == [
            "generation", "gap"]
        assert content(next(source)["data"]).startswith(b"hello")
        response.connection.close()


def test_real_time_signal(musterd):
    m = musterd({**KEEP, "processes": {"a": sh("kill -40 $$")}})
    m.wait_state("a", "exited")
    assert m.all()["a"]["exit"]["signal"] == "SIGRTMIN+6"


def test_bytes_that_are_no_text(talker):
    m = talker(capture=65536)
    data = bytes(range(256)) + b"\xed\xa0\x80\xe0\x80\x80\xf4\x90\x80\x80" \
        b"\xc3(" + "ü€😀".encode() + b"\xf0\x9f"
    m.say(data)
    size = m.all()["a"]["streams"][0]
    harness.wait_for("it", lambda: m.all()["a"]["streams"][0]["offset"] >=
                     len(data), 5)
    del size
    for accept in ("application/x-ndjson", "application/octet-stream"):
        body = m.get("/v1/processes/1/streams/stdout",
                     headers={"Accept": accept}).body
        if accept.endswith("json"):
            body = b"".join(content(e) for e in map(
                json.loads, body.splitlines()) if e["event"] == "io")
        assert body.endswith(data)


def test_what_is_gone_is_told(talker):
    """Beyond `capture`."""
    m = talker(capture=4096)
    m.say("x" * 99 + "\n")
    for n in range(3000):
        m.say(f"{n:099}\n")
    harness.wait_for("all of it", lambda: m.all()["a"]["streams"][0][
        "offset"] > 300000)
    body = m.get("/v1/processes/1/streams/stdout?since=0",
                 headers={"Accept": "application/x-ndjson"}).text
    got = [json.loads(line) for line in body.splitlines()]
    gap = [e for e in got if e["event"] == "gap"][0]
    io = [e for e in got if e["event"] == "io"]
    assert gap["lost"] == io[0]["offset"] > 200000
    assert io[-1]["data"].endswith(f"{2999:099}\n")


def test_two_streams(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "echo out; echo err >&2; exec sleep 4000", stderr="keep")}})
    m.wait_status()
    harness.wait_for("out", lambda: m.get(
        "/v1/processes/1/streams/stdout").body == b"out\n")
    harness.wait_for("err", lambda: m.get(
        "/v1/processes/1/streams/stderr").body == b"err\n")
    assert [s["name"] for s in m.all()["a"]["streams"]] == ["stdout",
                                                            "stderr"]
    assert "err" not in m.stdout_text().split("\n")


def test_stream_of_one_that_has_ended(musterd):
    m = musterd({**KEEP, "processes": {"a": sh("echo bye")}})
    m.wait_status()
    m.wait_state("a", "exited")
    got = [json.loads(line) for line in m.get(
        "/v1/processes/1/streams/stdout",
        headers={"Accept": "application/x-ndjson"}).text.splitlines()]
    assert [e["event"] for e in got] == ["generation", "io", "eof"]
    assert got[1]["data"] == "bye\n"


def test_a_reader_that_does_not_read(musterd):
    """Neither the process waits for it, nor anybody else."""
    m = musterd({**KEEP, "processes": {"a": python(
        "import os, time\nn = 0\nwhile n < 16 << 20:\n"
        "    n += os.write(1, b'x' * 65535 + b'\\n')\n"
        "open('done', 'w').close()\ntime.sleep(4000)",
        suppress_output=True)}})
    m.wait_status()
    response = open_stream(m, "?follow=1", "application/x-ndjson")
    harness.wait_for("the writer's end", (m.dir / "done").exists)
    assert m.status() == "running"
    # It is told what it has missed.
    missed = False
    for line in response:
        e = json.loads(line)
        missed = missed or e["event"] == "gap"
        if e["event"] == "io" and e["offset"] + len(e["data"]) >= 16 << 20:
            break
    assert missed
    response.connection.close()


def test_readers_that_have_gone(talker):
    """They take no place from others."""
    m = talker()
    request = b"GET /v1/processes/1/streams/stdout?follow=1&tail=0 HTTP/1.1" \
        b"\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n"
    for _ in range(11):
        socks = []
        for _ in range(100):
            s = socket.create_connection(("127.0.0.1", m.port), timeout=10)
            s.sendall(request)
            socks.append(s)
        for s in socks:
            assert s.recv(4096)
            s.close()
    assert m.status() == "running"


def test_events_of_1000_answers(two):
    """Many connections at once, none is lost."""
    socks = [socket.create_connection(("127.0.0.1", two.port), timeout=20)
             for _ in range(200)]
    for s in socks:
        s.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for s in socks:
        assert b'{"status": "running"}' in s.recv(4096)
        s.close()


def test_http_client_library(two):
    """What curl and Python's own client send is understood."""
    c = http.client.HTTPConnection("localhost", two.port, timeout=10)
    c.request("GET", "/status", headers={
        "User-Agent": "curl/7.88.1", "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"})
    assert c.getresponse().read() == b'{"status": "running"}'
    c.close()
    assert os.path.exists(two.socket)
