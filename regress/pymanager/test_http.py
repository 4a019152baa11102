"""The API over HTTP: pymanager's four endpoints byte for byte, and /v1."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import PYTHON, job, python, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
SHUTDOWN = b'{"success": false, "error": {"message": "Process is in ' \
    b'shutdown."}}'
# It ends only when it is killed.
STUBBORN = python("import signal, time; "
                  "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
                  "print('up', flush=True); time.sleep(4000)")


@pytest.fixture
def two(musterd):
    """One that runs, and one that has ended with code 3."""
    m = musterd({**KEEP, "processes": {
        "one": SLEEP, "two": sh("exit 3", "é😀\x01\"/\\<")}})
    m.wait_status()
    m.wait_state("two", "exited")
    return m


@pytest.fixture(params=["tcp", "unix"])
def over(request):
    return request.param


def listed(m):
    return {p["id"]: p for p in m.processes()}


# --- pymanager's bodies ---


def test_list(two, over):
    got = two.get("/", over=over)
    assert got.status == 200
    assert got.headers["Content-Type"] == "application/json"
    assert int(got.headers["Content-Length"]) == len(got.body)
    assert got.body == (
        '{"count": 2, "processes": [{"id": 1, "command": "sleep 4000", '
        f'"status": "running", "pid": {two.all()["one"]["pid"]}}}, '
        '{"id": 2, "command": "sh -c exit 3 \\u00e9\\ud83d\\ude00\\u0001\\"/'
        '\\\\<", "status": "terminated", "code": 3}]}').encode()


def test_status(two, over):
    got = two.get("/status", over=over)
    assert (got.status, got.body) == (200, b'{"status": "running"}')
    assert got.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["/?x=1", "//", "/?"])
def test_query_of_the_list_is_ignored(two, path):
    assert two.get(path).body == two.get("/").body


@pytest.mark.parametrize("path", ["//status", "///status", "/status?a&b=c"])
def test_leading_slashes_and_query(two, path):
    """Bottle takes all slashes at the front for one."""
    answer = two.raw(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"status": "running"}')


@pytest.mark.parametrize("text", [
    "1", "%201", "+1", "1%20", "01", "0_1", "//1"])
def test_restart(two, text):
    before = two.all()["one"]["pid"]
    path = f"/restart/{text}" if text[0] != "/" else "//restart/1"
    got = two.post(path, b"ignored", headers={"Content-Type": "text/plain"})
    pid = two.all()["one"]["pid"]
    assert got.status == 200
    assert got.headers["Content-Type"] == "application/json"
    assert got.body == (
        '{"success": true, "process": {"id": 1, "command": "sleep 4000", '
        f'"status": "running", "pid": {pid}}}}}').encode()
    assert pid != before and not harness.alive(before)
    assert two.all()["one"]["generation"] == 2


def test_restart_of_one_that_has_ended(two):
    got = two.post("/restart/2")
    assert got.status == 200
    assert got.json()["process"]["id"] == 2
    harness.wait_for("its second end", lambda: (
        two.all()["two"]["generation"], two.state("two")) == (2, "exited"))
    assert listed(two)[2]["code"] == 3


@pytest.mark.parametrize("text, status, message", [
    ("abc", 400, "Invalid ID 'abc'."), ("1.0", 400, "Invalid ID '1.0'."),
    ("1x", 400, "Invalid ID '1x'."), ("+", 400, "Invalid ID '+'."),
    ("99", 404, "Process with id '99' not found."),
    ("0", 404, "Process with id '0' not found."),
    ("-1", 404, "Process with id '-1' not found."),
    ("-0", 404, "Process with id '0' not found."),
    ("00_0", 404, "Process with id '0' not found."),
    ("9" * 40, 404, f"Process with id '{'9' * 40}' not found.")])
def test_restart_of_none(two, text, status, message):
    got = two.post(f"/restart/{text}")
    assert got.status == status
    assert got.headers["Content-Type"] == "application/json"
    if message:
        assert got.body == ('{"success": false, "error": {"message": "%s"}}'
                            % message).encode()


@pytest.mark.parametrize("text", ["007", "+7", "0" * 60 + "0_0_7"])
def test_ids_as_python_reads_them(musterd, text):
    m = musterd({**KEEP, "processes": {f"j{n}": SLEEP for n in range(7)}})
    m.wait_status()
    assert m.post(f"/restart/{text}").json()["process"]["id"] == 7


@pytest.mark.parametrize("logname", ["alice", "root"])
def test_user_is_no_word_of_the_environment(musterd, logname):
    """Of who has become another, at least not root's."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}}, env={"LOGNAME": logname})
    m.wait_status()
    assert m.all()["a"]["user"] == (
        "root" if os.geteuid() == 0 else
        "alice" if logname == "alice" else str(os.geteuid()))


def test_restart_needs_at_most_five_seconds(musterd):
    """pymanager's fixed time, where the graceful time is longer."""
    m = musterd({**KEEP, "graceful_time": 30, "processes": {"a": STUBBORN}},
                strict=False)
    m.wait_text("^up$")
    start = time.monotonic()
    assert m.post("/restart/1").status == 200
    assert 4.5 < time.monotonic() - start < 7 * harness.patience()


def test_restart_takes_the_graceful_time_if_that_is_less(musterd):
    m = musterd({**KEEP, "graceful_time": 0.3, "processes": {"a": STUBBORN}})
    m.wait_text("^up$")
    start = time.monotonic()
    assert m.post("/restart/1").status == 200
    assert time.monotonic() - start < 1.5 * harness.patience()


def test_restart_answers_when_it_is_verified(musterd):
    """Others are served meanwhile."""
    m = musterd({**KEEP, "processes": {
        "a": sh("sleep 0.4; touch up; exec sleep 4000",
                verify={"file": "up"}), "b": SLEEP}})
    m.wait_status()
    (m.dir / "up").unlink()
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(m.post("/restart/1")))
    thread.start()
    harness.wait_for("generation 2", lambda: m.all()["a"]["generation"] == 2)
    assert m.post("/restart/2").status == 200
    assert m.status() == "running"
    assert not answers and not (m.dir / "up").exists()
    thread.join()
    assert answers[0].status == 200 and (m.dir / "up").exists()
    assert answers[0].json()["process"] == listed(m)[1]


def test_restart_that_fails_to_verify(musterd):
    """The new process goes on, as with pymanager, and stays listed."""
    m = musterd({**KEEP, "processes": {
        "a": sh("test -f up || touch up; exec sleep 4000",
                verify={"file": "up", "timeout": "300ms"})}})
    m.wait_status()
    (m.dir / "up").unlink()
    (m.dir / "up").mkdir()
    got = m.post("/restart/1")
    assert got.status == 500
    assert got.headers["Content-Type"] == "application/json"
    answer = got.json()
    assert answer["success"] is False
    assert "up: is a directory" in answer["error"]["message"]
    assert m.status() == "running"
    p = listed(m)[1]
    assert p["status"] == "running" and harness.alive(p["pid"])
    assert m.get("/v1/ready").status == 503


def test_restart_that_cannot_start(musterd):
    m = harness.Musterd({**KEEP, "processes": {"a": job("./x")}})
    (m.dir / "x").write_text("#!/bin/sh\nexec sleep 4000\n")
    (m.dir / "x").chmod(0o755)
    with m:
        m.wait_status()
        (m.dir / "x").unlink()
        got = m.post("/restart/1")
        assert got.status == 500
        assert "No such file or directory: './x'" in \
            got.json()["error"]["message"]
        assert m.state("a") == "failed"


def test_two_restarts_at_once(two):
    answers = []
    threads = [threading.Thread(
        target=lambda: answers.append(two.post("/restart/1")))
        for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a.status for a in answers] == [200] * 4
    # Its descriptors are closed by the exec just before it has its name.
    harness.wait_for("its name", lambda: [
        p.name for p in two.jobs()] == ["sleep"])


def test_who_writes_reads_it(two, over):
    """Whichever worker answers."""
    for _ in range(20):
        pid = two.post("/restart/1", over=over).json()["process"]["pid"]
        assert listed(two)[1]["pid"] == pid
        assert two.all(over=over)["one"]["pid"] == pid


def test_delete(musterd, over):
    m = musterd({**KEEP, "processes": {"a": STUBBORN, "b": SLEEP}})
    m.wait_text("^up$")
    m.wait_status()
    got = m.delete("/", over=over)
    assert (got.status, got.body) == (200, b'{"success": true}')
    for method, path in (("GET", "/"), ("DELETE", "/"), ("POST", "/restart/1"),
                         ("POST", "/restart/x")):
        got = m.request(method, path, over=over)
        assert (got.status, got.body) == (403, SHUTDOWN)
        assert got.headers["Content-Type"] == "application/json"
    assert m.get("/status", over=over).body == b'{"status": "shutdown"}'
    # What has ended meanwhile is told.
    m.wait_state("b", "stopped", 0.7)
    assert m.state("a") == "stopping"
    assert m.wait() == 0
    assert "Shutting down" not in m.stdout_text()


def test_listed_when_verified(musterd):
    m = musterd({**KEEP, "processes": {
        "a": SLEEP, "b": sh("until [ -f go ]; do sleep 0.02; done; touch up;"
                            "exec sleep 4000", verify={"file": "up"})}})
    m.wait_state("b", "starting")
    harness.wait_for("the first", lambda: m.get("/").json()["count"] == 1)
    assert list(listed(m)) == [1]
    assert m.post("/restart/2").status == 404
    (m.dir / "go").touch()
    m.wait_status()
    assert list(listed(m)) == [1, 2]


# --- methods and paths ---


@pytest.mark.parametrize("path, allow", [
    ("/", "DELETE,GET"), ("/status", "GET"), ("/restart/1", "POST"),
    ("/v1", "GET,HEAD"), ("/v1/ready", "GET,HEAD"), ("/v1/healthz", "GET,HEAD"),
    ("/v1/processes", "GET,HEAD"), ("/v1/processes/1", "GET,HEAD"),
    ("/v1/processes/1/streams/stdout", "GET,HEAD")])
def test_methods(two, path, allow):
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - set(
            allow.split(",")):
        got = two.request(method, path)
        assert (got.status, got.headers["Allow"]) == (405, allow), method
        assert got.json()["code"] == "method-not-allowed"
    got = two.request("OPTIONS", path)
    assert (got.status, got.headers["Allow"], got.body) == (204, allow, b"")


def test_unknown_method(two):
    assert two.request("BREW", "/").status == 501


def test_options_of_all(two):
    answer = two.raw(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n"
                     b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nAllow: " in answer


@pytest.mark.parametrize("path", ["/", "/status", "/v1", "/v1/processes"])
def test_head(two, path):
    """No body, and the length of that of a GET."""
    answer = two.raw(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n"
                     "Connection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n") and answer.count(b"\r\n\r\n") == 1
    length = int(re.search(rb"Content-Length: (\d+)", answer)[1])
    # /v1/processes has times in it.
    assert abs(length - len(two.get(path).body)) <= (
        6 if path == "/v1/processes" else 0)


@pytest.mark.parametrize("path", [
    "/nothing", "/status/", "/restart", "/restart/", "/restart/1/2",
    "/v1/", "/v1/processes/", "/V1", "/v1/processes/1/streams"])
def test_no_such_path(two, path):
    got = two.request("POST" if "restart" in path else "GET", path)
    assert got.status == 404
    assert got.headers["Content-Type"] == "application/problem+json"
    assert got.json() == {
        "type": "/problems/not-found", "title": "Not Found", "status": 404,
        "detail": got.json()["detail"], "code": "not-found"}


@pytest.mark.parametrize("path", ["/%zz", "/a%00b", "/v1/../status", "/a//b"])
def test_bad_path(two, path):
    assert two.get(path).status in (400, 404)
    assert two.status() == "running"


@pytest.mark.parametrize("data", [
    b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",                          # no Host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"POST /restart/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_garbage(two, data):
    answer = two.raw(data)
    assert re.match(rb"HTTP/1\.1 (4\d\d|505) ", answer)
    assert two.status() == "running"
    assert two.all()["one"]["generation"] == 1


# --- connections ---


def test_keep_alive(two, over):
    c = two.connect(over)
    bodies = []
    for path in ("/", "/status", "/nothing", "/v1/healthz", "/"):
        c.request("GET", path)
        sock = c.sock
        answer = c.getresponse()
        bodies.append(answer.read())
        assert c.sock is sock
    c.close()
    assert bodies[0] == bodies[-1]
    assert bodies[3] == b"ok\n"


def test_close_is_obeyed(two):
    answer = two.raw(b"GET /status HTTP/1.1\r\nHost: localhost\r\n"
                     b"Connection: close\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    answer = two.raw(b"GET /status HTTP/1.0\r\n\r\n")
    assert answer.endswith(b'{"status": "running"}')


def test_keep_alive_of_1_0(two):
    answer = two.raw(b"GET /status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                     b"GET /status HTTP/1.0\r\n\r\n")
    assert answer.lower().count(b"connection: keep-alive") == 1
    assert answer.count(b'{"status": "running"}') == 2


def test_pipelining(two, over):
    """Answers in the order of the requests, one that waits among them."""
    text = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    data = text * 50 + text.replace("GET /status", "POST /restart/1") + \
        text.replace("/status", "/v1/healthz") * 20 + text.replace(
            "\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    answer = two.raw(data.encode(), over=over)
    bodies = re.findall(rb"\r\n\r\n(.*?)(?=HTTP/1\.1 |$)", answer, re.S)
    assert len(bodies) == 72
    assert set(bodies[:50]) == {b'{"status": "running"}'} == {bodies[-1]}
    assert b'"success": true' in bodies[50]
    assert set(bodies[51:71]) == {b"ok\n"}


def test_head_in_pieces(two):
    c = two.connect()
    c.connect()
    with c.sock as s:
        for byte in b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n":
            s.sendall(bytes([byte]))
        assert b'{"status": "running"}' in s.recv(65536)


def test_content_is_skipped(two):
    answer = two.raw(b"POST /restart/7 HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Length: 200000\r\n\r\n" + b"x" * 200000 +
                     b"GET /status HTTP/1.1\r\nHost: localhost\r\n"
                     b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b'{"status": "running"}')


def test_continue(two):
    c = two.connect()
    c.connect()
    with c.sock as s:
        s.sendall(b"POST /restart/7 HTTP/1.1\r\nHost: localhost\r\n"
                  b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        got = b""
        while b"not found" not in got:
            got += s.recv(65536)
        assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 ")
        s.sendall(b"12345GET /status HTTP/1.1\r\nHost: localhost\r\n"
                  b"Connection: close\r\n\r\n")
        got = b""
        while more := s.recv(65536):
            got += more
    assert got.endswith(b'{"status": "running"}')


def test_an_idle_client_blocks_nobody(two):
    with socket.create_connection(("127.0.0.1", two.port)) as s:
        s.sendall(b"GET / HT")
        for _ in range(4):
            assert two.status() == "running"


def test_answers_larger_than_all_buffers(musterd):
    count = 8000
    m = musterd({**KEEP, "processes": {
        f"j{n}": sh("x" * 100, autostart=False, instances=count // 2)
        for n in range(2)}})
    m.wait_status(timeout=30)
    rows = m.get("/v1/processes").json()["processes"]
    assert [p["id"] for p in rows] == list(range(1, count + 1))
    got = m.get("/v1/processes", headers={"Accept": "application/x-ndjson"})
    assert got.body.count(b"\n") == count


# --- who may ask ---


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_local_hosts(two, host):
    assert two.get("/status", headers={"Host": f"{host}:{two.port}"}
                   ).status == 200


@pytest.mark.parametrize("host", [
    "example.com", "localhost.example.com", "10.0.0.1", "127.0.0.1.nip.io"])
def test_foreign_hosts(two, host):
    """A name that was made to resolve to 127.0.0.1."""
    got = two.get("/", headers={"Host": host})
    assert got.status == 403
    assert "Host" in got.json()["detail"]
    assert two.request("DELETE", "/", headers={"Host": host}).status == 403
    assert two.status() == "running"


@pytest.mark.parametrize("origin", [
    "http://example.com", "null", "https://localhost",
    "http://localhost:1"])
def test_foreign_origins(two, origin):
    for method, path in (("GET", "/"), ("POST", "/restart/1"),
                         ("DELETE", "/")):
        got = two.request(method, path, headers={"Origin": origin})
        assert got.status == 403
    assert two.all()["one"]["generation"] == 1
    assert two.status() == "running"


def test_own_origin(two):
    assert two.get("/", headers={
        "Origin": f"http://127.0.0.1:{two.port}"}).status == 200
    assert two.get("/", headers={
        "Sec-Fetch-Site": "cross-site"}).status == 403


def test_allowed_hosts_and_origins(musterd):
    m = musterd({**KEEP, "processes": {}, "http": {
        "allow-hosts": ["box.example"],
        "allow-origins": ["http://app.example"]}})
    m.wait_status()
    assert m.get("/", headers={"Host": "box.example"}).status == 200
    assert m.get("/", headers={"Host": "bax.example"}).status == 403
    assert m.get("/", headers={"Origin": "http://app.example"}).status == 200
    assert m.get("/", headers={"Origin": "http://app.example:1"}).status == 403


ASK = """
import http.client, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[2])
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
if len(sys.argv) > 2:
    c = Unix("localhost", timeout=10)
for method in "GET", "DELETE":
    c.request(method, "/")
    answer = c.getresponse()
    answer.read()
    print(answer.status)
    c.close()
    if answer.status == 200:
        break
"""


def ask_as(m, over, uid, groups=()):
    """Statuses of a GET and, if that is refused, of a DELETE."""
    if over == "unix":
        m.dir.chmod(0o755)
    where = [str(m.port)] + ([str(m.socket)] if over == "unix" else [])
    return [int(n) for n in subprocess.run(
        [PYTHON, "-Sc", ASK, *where], user=uid, group=uid,
        extra_groups=groups, check=True, encoding="utf-8",
        capture_output=True).stdout.split()]


@pytest.mark.needs_root
def test_other_users_are_refused(two, over):
    assert ask_as(two, over, harness.NOBODY) == [403, 403]
    assert two.status() == "running"


@pytest.mark.needs_root
def test_the_owner_and_root(musterd, over):
    m = musterd({**KEEP, "processes": {"a": SLEEP}}, user=harness.NOBODY)
    m.wait_status(over=over)
    assert ask_as(m, over, harness.NOBODY) == [200]
    assert ask_as(m, over, 4711) == [403, 403]
    assert ask_as(m, over, 0) == [200]


@pytest.mark.needs_root
@pytest.mark.parametrize("user", ["nobody", str(harness.NOBODY),
                                  harness.NOBODY])
def test_allowed_users(musterd, over, user):
    m = musterd({**KEEP, "processes": {}, "http": {"allow-users": [user]}})
    m.wait_status()
    assert ask_as(m, over, harness.NOBODY) == [200]
    assert ask_as(m, over, 4711) == [403, 403]


@pytest.mark.needs_root
def test_allowed_groups(musterd):
    m = musterd({**KEEP, "processes": {}, "http": {
        "allow-groups": ["4712", "nogroup"]}})
    m.wait_status()
    assert ask_as(m, "unix", 4711, [4712]) == [200]
    assert ask_as(m, "unix", 4712) == [200]
    assert ask_as(m, "unix", 4711, [harness.NOBODY]) == [200]
    assert ask_as(m, "unix", 4711, [4713]) == [403, 403]
    # The kernel does not tell the groups of a TCP peer.
    assert ask_as(m, "tcp", 4711, [4712]) == [403, 403]


def test_only_the_unix_socket(musterd):
    m = musterd({**KEEP, "processes": {}, "http": {"enabled": False}})
    m.wait_status(over="unix")
    with pytest.raises(ConnectionRefusedError):
        m.get("/status")


def test_a_stale_socket_is_replaced():
    m = harness.Musterd({**KEEP, "processes": {}})
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(m.socket))
    with m:
        m.wait_status(over="unix")
    assert not m.socket.exists()


def test_a_file_in_the_place_of_the_socket_stays():
    m = harness.Musterd({**KEEP, "processes": {}})
    m.socket.write_text("precious")
    with m:
        assert m.wait() == 1
        assert str(m.socket) in m.stdout_text()
    assert m.socket.read_text() == "precious"


# --- /v1 ---


def test_v1(two):
    got = two.get("/v1").json()
    assert set(got) == {"name", "version", "boot", "status", "ready", "pid",
                        "started", "counts"}
    assert (got["name"], got["status"], got["pid"]) == \
        ("muster", "running", two.pid)
    assert got["counts"] == {
        "waiting": 0, "starting": 0, "running": 1, "stopping": 0, "exited": 1,
        "backoff": 0, "failed": 0, "stopped": 0}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
                        got["started"])


def test_process(two):
    got = two.get("/v1/processes/1").json()
    pid = got["pid"]
    assert harness.process(pid).name == "sleep"
    uptime = got.pop("uptime")
    assert 0 <= uptime < 30
    assert got.pop("started").endswith("Z")
    assert got.pop("user") in ("root",) if os.geteuid() == 0 else (
        str(os.geteuid()), os.environ.get("LOGNAME"))
    streams = got.pop("streams")
    assert streams == [{"name": "stdout", "fd": 1, "mode": "r", "offset": 0,
                        "dropped": 0}]
    assert got == {
        "id": 1, "pid": pid, "name": "default.one", "instance": 0,
        "generation": 1, "once": False, "state": "running", "verified": True,
        "exit": None, "restarts": 0, "verifier": None,
        "command": "sleep 4000", "args": ["4000"], "cwd": str(two.dir)}
    ended = two.get("/v1/processes/2").json()
    assert ended["pid"] is None and ended["uptime"] is None
    assert ended["state"] == "exited" and ended["exit"]["code"] == 3
    assert two.get("/v1/processes").json()["processes"][1] == ended


def test_verifier_of_a_process(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "exec sleep 4000", verify={"command": "test -f go",
                                   "interval": "50ms"})}})
    m.wait_state("a", "starting")
    p = harness.wait_for("some attempts", lambda: [
        p for p in m.all().values()
        if p["verifier"] and p["verifier"]["attempts"] > 2])[0]
    assert p["state"] == "starting" and not p["verified"]
    assert p["verifier"]["kind"] == "command"
    assert p["verifier"]["last"] == "command exited with code 1"
    (m.dir / "go").touch()
    p = m.wait_state("a", "running")
    assert p["verified"]
    assert p["verifier"]["last"] == "command exited with code 0"
    assert p["verifier"]["elapsed_ms"] >= 10


def test_filter_by_job(two):
    for name in ("one", "default.one"):
        got = two.get(f"/v1/processes?job={name}").json()["processes"]
        assert [p["id"] for p in got] == [1]
    for name in "three", "", "default.", "default":
        got = two.get(f"/v1/processes?job={name}")
        assert (got.status, got.json()["code"]) == (404, "job-not-found")


@pytest.mark.parametrize("accept, lines", [
    ("application/json, application/x-ndjson", True),
    ("application/json, application/x-ndjson;q=0.9", False),
    ("application/json;q=0.8, Application/X-NDJSON ; a=\"b,c;\\\"q=0\" ;q=0.9",
     True),
    ("application/x-ndjson;q=0", False), ("application/x-ndjson;q=0.000", False),
    ("application/x-ndjson;q=0.001", True), ("application/x-ndjson;q=1.0", True),
    ("application/x-ndjson;Q=nonsense", False),
    ("application/x-ndjson2", False), ("x-application/x-ndjson", False),
    ("*/*", False), (",,  ,application/x-ndjson", True), ("", False)])
def test_accept(two, accept, lines):
    got = two.get("/v1/processes", headers={"Accept": accept})
    assert got.status == 200
    assert got.headers["Content-Type"] == (
        "application/x-ndjson" if lines else "application/json")


def test_ndjson_list(two):
    got = two.get("/v1/processes", headers={"Accept": "application/x-ndjson"})
    assert got.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in got.text.splitlines()] == [1, 2]


@pytest.mark.parametrize("path, code", [
    ("/v1/processes/3", "process-not-found"),
    ("/v1/processes/0", "process-not-found"),
    ("/v1/processes/x", "process-not-found"),
    ("/v1/processes/3/streams/stdout", "process-not-found"),
    ("/v1/processes/1/streams/stderr", "stream-not-found"),
    ("/v1/processes/1/streams/7", "stream-not-found")])
def test_nothing_there(two, path, code):
    got = two.get(path)
    assert (got.status, got.json()["code"]) == (404, code)
    assert got.json()["type"] == f"/problems/{code}"


# --- /v1/ready ---


def test_ready(two):
    """The second has ended, but not well."""
    got = two.get("/v1/ready")
    assert got.status == 503 and got.headers["Retry-After"]
    assert got.headers["Content-Type"] == "application/problem+json"
    assert "default.two: exited" in got.json()["detail"]


def test_ready_says_how_it_ended(musterd):
    """What its verifier said before is no reason any more."""
    m = musterd({**KEEP, "processes": {
        "a": sh("touch up; while ! test -e go; do sleep 0.01; done; exit 3",
                verify={"file": "up"}),
        "b": sh("touch up2; exec sleep 4000", verify={"file": "up2"})}})
    m.wait_status()
    assert m.get("/v1/ready").status == 200
    (m.dir / "go").write_text("")
    os.kill(m.all()["b"]["pid"], signal.SIGKILL)
    for name in "ab":
        m.wait_state(name, "exited")
    assert m.get("/v1/ready").json()["detail"].splitlines() == [
        "default.a: exited: exit code 3",
        "default.b: exited: ended by SIGKILL"]


def test_ready_waits(musterd, over):
    m = musterd({**KEEP, "processes": {
        "a": sh("exec sleep 4000", verify={"file": "go",
                                           "interval": "20ms"}),
        "b": SLEEP}})
    m.wait_state("a", "starting")
    assert m.get("/v1/ready", over=over).status == 503
    detail = harness.wait_for("an attempt", lambda: re.fullmatch(
        r"default\.a: starting: .*/go: No such file or directory\n(.*)",
        m.get("/v1/ready").json()["detail"]))
    assert detail[1] == "default.b: waiting for a"
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        m.get("/v1/ready?wait=20", over=over, timeout=30)))
        for _ in range(3)]
    for t in threads:
        t.start()
    time.sleep(0.2)
    assert not answers
    (m.dir / "go").touch()
    for t in threads:
        t.join()
    assert [(a.status, a.json()) for a in answers] == [
        (200, {"ready": True})] * 3
    assert m.get("/v1").json()["ready"] is True


def test_ready_gives_up(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "exec sleep 4000", verify={"file": "go"})}})
    m.wait_state("a", "starting")
    start = time.monotonic()
    assert m.get("/v1/ready?wait=1").status == 503
    assert 0.9 < time.monotonic() - start < 1.8 * harness.patience()
    assert m.get("/v1/ready?wait=x").status == 400
    assert m.get("/v1/ready?wait=601").status == 400


def test_ready_ends_with_a_shutdown(musterd):
    m = musterd({**KEEP, "processes": {
        "s": STUBBORN, "a": sh("exec sleep 4000", verify={"file": "go"})}})
    m.wait_state("a", "starting")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        m.get("/v1/ready?wait=20", timeout=30)))
    thread.start()
    time.sleep(0.2)
    m.wait_text("^up$")
    m.signal(15)
    thread.join()
    assert answers[0].status == 503
    assert answers[0].json()["detail"] == "shutting down"
