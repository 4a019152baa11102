"""TLS on the TCP port: what is offered, what is refused, and new files."""

import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

import harness
from certificates import Authority, fingerprint
from harness import PYTHON, SLOW, job, process, wait_for

KEEP = {"keep_alive": True, "graceful_time": 2}
JOBS = {"a": job("sleep", "1000"), "b": job("sleep", "1001")}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(ca):
    return ca.issue("server")


@pytest.fixture(scope="module")
def alice(ca):
    return ca.issue("alice")


@pytest.fixture(scope="module")
def bob(ca):
    return ca.issue("bob")


def settings(pair, **more):
    return {"certificate": str(pair[0]), "key": str(pair[1]), **more}


@pytest.fixture
def start(musterd, pair):
    """A musterd with TLS; its answer to GET /status over the Unix socket."""
    def run(tls=None, http=None, **more):
        tls = settings(pair) if tls is None else tls
        m = musterd({**KEEP, "http": {"tls": tls, **(http or {})},
                     "processes": JOBS, **more})
        return m.wait_status(over="unix")
    return run


def context(ca, pair=None):
    c = ssl.create_default_context(cafile=str(ca.cert))
    if pair:
        c.load_cert_chain(*map(str, pair))
    return c


def connect(m, c):
    return http.client.HTTPSConnection("localhost", m.port, context=c,
                                       timeout=10 * SLOW)


def ask(m, c, method="GET", path="/status", headers=None):
    connection = connect(m, c)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def workers(m):
    return sorted(p.pid for p in m.component("muster-httpd-tls"))


# --- what is offered ---


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_it_serves(start, ca, kind):
    m = start(settings(ca.issue(f"serves-{kind}", kind)))
    c = context(ca)
    assert ask(m, c) == (200, b'{"status": "running"}')
    status, body = ask(m, c, "POST", "/restart/1")
    assert status == 200 and json.loads(body)["success"]
    # The Unix socket stays as it is.
    assert m.get("/status", over="unix").status == 200
    with socket.create_connection(("127.0.0.1", m.port)) as s:
        s.settimeout(10 * SLOW)
        s.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        try:
            while more := s.recv(4096):
                got += more
        except ConnectionResetError:
            pass
        assert b"HTTP" not in got


def offer(m, *words):
    """What s_client says that was agreed upon; "" if nothing."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{m.port}", "-brief",
         *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
        check=False)
    text = done.stderr.decode()
    return text if "CONNECTION ESTABLISHED" in text else ""


def test_versions_and_ciphers(start):
    m = start()
    assert "TLSv1.3" in offer(m, "-tls1_3")
    assert "ECDHE-ECDSA-AES" in offer(m, "-tls1_2")
    assert "GCM" in offer(m, "-tls1_2")
    weak = ("-cipher", "ALL:@SECLEVEL=0")
    assert not offer(m, "-tls1_1", *weak)
    assert not offer(m, "-tls1", *weak)
    for cipher in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
                   "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"):
        assert not offer(m, "-tls1_2", "-cipher", cipher + ":@SECLEVEL=0")


def test_large_answers_and_pipelines(start, ca):
    m = start()
    with context(ca).wrap_socket(
            socket.create_connection(("127.0.0.1", m.port)),
            server_hostname="localhost") as s:
        s.settimeout(10 * SLOW)
        one = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        s.sendall(one * 50 + b"GET /status HTTP/1.0\r\n\r\n")
        got = b""
        while more := s.recv(65536):
            got += more
    assert got.count(b"HTTP/1.1 200 OK") == 51
    assert got.endswith(b'{"status": "running"}')


def test_follow(start, ca):
    m = start(processes={"a": job(
        "/bin/sh", "-c", "echo one; read x; echo two; exec sleep 1000")})
    connection = connect(m, context(ca))
    connection.request("GET", "/v1/processes/1/streams/stdout?follow=1",
                       headers={"Accept": "application/octet-stream"})
    answer = connection.getresponse()
    assert answer.read(4) == b"one\n"
    connection.close()


# --- files ---


def broken(ca, directory, what):
    """Settings with one thing wrong, and what must be said of it."""
    directory = pathlib.Path(directory)
    cert, key = ca.issue("broken")
    tls = settings((cert, key))
    if what == "mismatch":
        tls["key"] = str(ca.issue("broken2")[1])
        return tls, "key: * is not that of the certificate"
    if what == "expired":
        return settings(ca.issue("old", days=(-9, -2))), \
            "certificate: * has expired on"
    if what == "future":
        return settings(ca.issue("new", days=(1, 2))), \
            "certificate: * is not valid before"
    if what == "passphrase":
        return settings(ca.issue("locked", passphrase="secret")), \
            "key: * holds no private key"
    if what == "missing":
        return {**tls, "key": str(directory / "none")}, \
            "key: cannot read * No such file"
    if what == "directory":
        return {**tls, "certificate": str(directory)}, \
            "certificate: cannot read *"
    if what == "fifo":
        os.mkfifo(directory / "fifo")
        return {**tls, "key": str(directory / "fifo")}, "key: cannot read *"
    if what == "garbage":
        cert.write_bytes(os.urandom(1000))
        return tls, "certificate: * holds no certificate"
    if what == "empty":
        cert.write_bytes(b"")
        return tls, "certificate: * holds no certificate"
    if what == "huge":
        cert.write_bytes(b"x" * (3 << 20))
        return tls, "certificate: cannot read * File too large"
    if what == "client-ca":
        return {**tls, "client-ca": str(key)}, "client-ca: *"
    assert what == "crl"
    return {**tls, "client-ca": str(ca.cert), "crl": str(cert)}, "crl: *"


BROKEN = ("mismatch", "expired", "future", "passphrase", "missing",
          "directory", "fifo", "garbage", "empty", "huge", "client-ca", "crl")


def complains(text, file, want):
    assert len(text.splitlines()) == 1, text
    assert text.removeprefix("[ERROR] ").startswith(f"{file}:"), text
    assert "http.tls." in text
    at = 0
    for part in want.split("*"):
        at = text.find(part, at)
        assert at != -1, (want, text)


@pytest.mark.parametrize("what", BROKEN)
def test_one_line_for_what_is_wrong(musterd, ca, tmp_path, what):
    tls, want = broken(ca, tmp_path, what)
    for args in (["-n"], []):
        m = musterd({**KEEP, "http": {"tls": tls}, "processes": JOBS}, *args)
        assert m.wait() != 0
        complains(m.stdout_text() + m.stderr_text(), m.file, want)


def test_a_key_that_others_can_read(musterd, ca):
    """A warning, and under -n an error as all warnings are."""
    cert, key = ca.issue("exposed")
    for mode, warned in ((0o600, False), (0o640, False), (0o644, True)):
        key.chmod(mode)
        config = {**KEEP, "http": {"tls": settings((cert, key))},
                  "processes": JOBS}
        m = musterd(config, "-n")
        assert (m.wait() != 0) == warned
        if warned:
            complains(m.stdout_text(), m.file,
                      "key: * can be read by others")
        m = musterd(config).wait_status(over="unix")
        assert ("can be read by others" in m.stdout_text()) == warned


def serial(m, ca):
    with context(ca).wrap_socket(
            socket.create_connection(("127.0.0.1", m.port)),
            server_hostname="localhost") as s:
        return s.getpeercert()["serialNumber"]


def test_new_files_and_old_connections(musterd, ca, tmp_path):
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"

    def put(pair):
        shutil.copy(pair[0], cert)
        shutil.copy(pair[1], key)

    put(ca.issue("first"))
    m = musterd({**KEEP, "http": {"tls": settings((cert, key))},
                 "processes": JOBS}).wait_status(over="unix")
    before = workers(m), {n: p["pid"] for n, p in m.get(
        "/v1/processes", over="unix").json().items() if n == "pid"}
    first = serial(m, ca)
    old = [connect(m, context(ca)) for _ in range(20)]
    for c in old:
        c.request("GET", "/status")
        c.getresponse().read()
    put(ca.issue("second"))
    m.signal(signal.SIGHUP)
    wait_for("the new certificate", lambda: serial(m, ca) != first)
    for c in old:
        c.request("GET", "/status")
        assert c.getresponse().read() == b'{"status": "running"}'
        c.close()
    assert workers(m) == before[0]
    # What is wrong changes nothing.
    second = serial(m, ca)
    cert.write_text("nothing")
    m.signal(signal.SIGHUP)
    wait_for("the complaint", lambda: "reload refused" in m.stdout_text())
    assert serial(m, ca) == second
    # Not even for a worker that is made anew.
    for pid in workers(m):
        os.kill(pid, signal.SIGKILL)
    wait_for("new workers", lambda: len(workers(m)) == 2 and
             workers(m) != before[0])
    assert serial(m, ca) == second


def test_tls_comes_and_goes(musterd, ca, pair):
    m = musterd({**KEEP, "processes": JOBS}).wait_status()
    config = json.loads(m.file.read_text())
    plain = dict(config["http"])
    pids = {n: p["pid"] for n, p in m.all().items()}
    config["http"]["tls"] = settings(pair)
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)

    def secure():
        try:
            return ask(m, context(ca))[0] == 200
        except OSError:
            return False

    wait_for("TLS", secure)
    config["http"] = plain
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)
    wait_for("no TLS", lambda: m.status() == "running")
    assert {n: p["pid"] for n, p in m.all().items()} == pids


@pytest.mark.needs_root
def test_the_key_is_in_the_workers_alone(start, pair):
    m = start()
    der = subprocess.run(["openssl", "ec", "-in", str(pair[1]), "-text",
                          "-noout"], capture_output=True, check=True).stdout
    digits = der.decode().split("priv:")[1].split("pub:")[0]
    secret = bytes.fromhex("".join(digits.replace(":", " ").split()))[-32:]
    pem = pair[1].read_bytes().splitlines()[1]

    def holds(pid):
        found = 0
        with open(f"/proc/{pid}/maps") as maps, \
                open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                place, rights = line.split()[:2]
                if rights[0] != "r" or "[v" in line:
                    continue
                a, b = (int(x, 16) for x in place.split("-"))
                if b - a > 1 << 28:     # of AddressSanitizer
                    continue
                try:
                    mem.seek(a)
                    data = mem.read(b - a)
                except (OSError, ValueError):
                    continue
                found += pem in data or secret in data or \
                    secret[::-1] in data
        return found

    for p in [process(m.pid), m.parent(), *m.component("muster-manager"),
              *m.component("muster-relay")]:
        assert not holds(p.pid), p
    # That is how it is found: the number as OpenSSL keeps it.
    assert any(holds(pid) for pid in workers(m))
    assert not any(pem in pathlib.Path(f"/proc/{p.pid}/cmdline").read_bytes()
                   for p in m.descendants())


# --- clients ---


def refused(m, c):
    try:
        return ask(m, c)[0] in (401, 403)
    except (OSError, http.client.HTTPException):
        return True


def test_required(start, ca, pair, alice, tmp_path):
    m = start(settings(pair, **{"client-ca": str(ca.cert),
                                "client": "required"}))
    foreign = Authority(tmp_path, "foreign").issue("mallory")
    assert ask(m, context(ca, alice))[0] == 200
    assert refused(m, context(ca))
    assert refused(m, context(ca, foreign))
    assert "by certificate" not in m.stderr_text()


def test_optional_and_roles(start, ca, pair, alice, bob, tmp_path):
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(
        f"alice: {{role: read, certificate: {fingerprint(alice[0])}}}\n")
    m = start(settings(pair, **{"client-ca": str(ca.cert)}),
              {"tokens": str(tokens)})
    assert ask(m, context(ca, alice))[0] == 200
    assert ask(m, context(ca, alice), "POST", "/restart/1")[0] == 403
    # Without one it is the user, as ever.
    assert ask(m, context(ca))[0] == 200
    assert ask(m, context(ca), "POST", "/restart/1")[0] == 200
    tokens.write_text(
        f"bob: {{role: operate, certificate: {fingerprint(bob[0])}}}\n")
    m.signal(signal.SIGHUP)

    def restarts():
        assert ask(m, context(ca, bob), "POST", "/restart/1")[0] == 200
        return "by certificate bob from 127.0.0.1:" in m.stderr_text()

    wait_for("bob's name in the log", restarts, interval=0.1)
    assert ask(m, context(ca, bob), "DELETE", "/")[0] == 403


def test_revoked(start, ca, pair, alice):
    carol = ca.issue("carol")
    m = start(settings(pair, **{
        "client-ca": str(ca.cert), "client": "required",
        "crl": str(ca.revoke("carol"))}))
    assert ask(m, context(ca, alice))[0] == 200
    assert refused(m, context(ca, carol))


class Follower:
    """A connection that asks, and one that follows an output."""

    def __init__(self, m, c):
        self.asks = connect(m, c)
        assert self.status() == 200
        self.sock = self.asks.sock
        self.follows = connect(m, c)
        self.follows.request(
            "GET", "/v1/processes/1/streams/stdout?follow=1",
            headers={"Accept": "application/octet-stream"})
        self.answer = self.follows.getresponse()
        assert self.answer.status == 200

    def status(self):
        self.asks.request("GET", "/status")
        answer = self.asks.getresponse()
        answer.read()
        return answer.status

    def is_refused(self):
        """At its next request, over the same connection."""
        if self.asks.sock is None:
            return True
        try:
            return self.status() in (401, 403)
        except (OSError, http.client.HTTPException):
            self.asks.sock = None
            return True

    def has_ended(self):
        """What it follows: waits for the end of it."""
        with pytest.raises((OSError, http.client.HTTPException)):
            while self.answer.read(1):
                pass
            raise OSError("a proper end")
        return True

    def goes_on(self):
        """On the very connections of the beginning."""
        assert self.status() == 200 and self.asks.sock is self.sock
        self.follows.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            self.answer.fp.raw.read(1)

    def close(self):
        self.asks.close()
        self.follows.close()


@pytest.mark.parametrize("how", ["crl", "ca", "required", "none"])
def test_rights_end_with_a_reload(start, ca, pair, alice, tmp_path, how):
    """Of a certificate that would not do today; others are not disturbed."""
    other = Authority(tmp_path, "other")
    name = f"carol-{how}"
    carol = ca.issue(name)
    tls = {"client-ca": str(ca.cert)}
    m = start(settings(pair, **tls))
    gone = Follower(m, context(ca, carol))
    stays = Follower(m, context(ca, alice))
    anonymous = Follower(m, context(ca))
    config = json.loads(m.file.read_text())
    if how == "crl":
        tls["crl"] = str(ca.revoke(name))
    elif how == "ca":
        both = tmp_path / "both.pem"
        both.write_bytes(ca.cert.read_bytes() + other.cert.read_bytes())
        tls["client-ca"] = str(both)
    elif how == "required":
        tls["client"] = "required"
    else:
        tls = {}
    config["http"]["tls"] = settings(pair, **tls)
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)
    if how == "ca":
        wait_for("the other CA", lambda: not refused(
            m, context(ca, other.issue("dave"))))
        config["http"]["tls"]["client-ca"] = str(other.cert)
        gone.goes_on()
        m.file.write_text(json.dumps(config))
        m.signal(signal.SIGHUP)
    if how == "required":
        wait_for("the end of who has none", anonymous.is_refused)
        anonymous.has_ended()
        gone.goes_on()
        stays.goes_on()
    elif how == "none":
        # It counts for nothing: the user of this machine asks.
        gone.has_ended()
        stays.has_ended()
        assert gone.status() == 200
        anonymous.goes_on()
    else:
        wait_for("the end of carol's", gone.is_refused)
        gone.has_ended()
        if how == "crl":
            stays.goes_on()
        else:
            stays.has_ended()
        anonymous.goes_on()
    for f in (gone, stays, anonymous):
        f.close()


def test_a_name_that_is_taken_away(start, ca, pair, alice, bob, tmp_path):
    """What its owner follows ends; that of others goes on."""
    tokens = tmp_path / "tokens.yaml"

    def line(name, cert):
        return f"{name}: {{role: read, certificate: {fingerprint(cert[0])}}}\n"

    tokens.write_text(line("alice", alice) + line("bob", bob))
    m = start(settings(pair, **{"client-ca": str(ca.cert)}),
              {"tokens": str(tokens)})
    a, b = (Follower(m, context(ca, who)) for who in (alice, bob))
    tokens.write_text(line("bob", bob))
    m.signal(signal.SIGHUP)
    a.has_ended()
    b.goes_on()
    a.close()
    b.close()


# --- slow and hostile ones ---


def test_handshakes_hold_up_nobody(start, ca):
    m = start()
    c = context(ca)
    held = [socket.create_connection(("127.0.0.1", m.port))
            for _ in range(200)]
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)
    for i, s in enumerate(held):
        s.sendall(hello[:i % len(hello)] if i % 2 else os.urandom(50))
    before = workers(m)
    times = []
    for _ in range(30):
        begin = time.monotonic()
        assert ask(m, c)[0] == 200
        times.append(time.monotonic() - begin)
    assert sorted(times)[len(times) // 2] < 0.1 * SLOW
    assert workers(m) == before
    for s in held:
        s.close()


def test_broken_off_in_the_middle(start, ca):
    m = start()
    before = workers(m)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = context(ca).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        o.do_handshake()
    hello = outgoing.read()
    for n in range(1, len(hello), 7):
        with socket.create_connection(("127.0.0.1", m.port)) as s:
            s.sendall(hello[:n])
    for n in range(0, len(hello), 29):
        bad = bytearray(hello)
        bad[n] ^= 0xff
        with socket.create_connection(("127.0.0.1", m.port)) as s:
            s.sendall(bad)
    assert ask(m, context(ca))[0] == 200
    assert workers(m) == before


READER = """
import os, socket, ssl, sys
port, ca, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
data = bytes.fromhex(sys.stdin.readline())
context = ssl.create_default_context(cafile=ca)
held = []
for _ in range(count):
    s = socket.create_connection(("127.0.0.1", port))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        if data[:2] != b"\\x16\\x03":
            s = context.wrap_socket(s, server_hostname="localhost")
        s.settimeout(0.05)
        s.sendall(data)
        if len(sys.argv) > 4:   # half of a record
            with socket.socket(fileno=os.dup(s.fileno())) as raw:
                raw.send(b"\\x17\\x03\\x03\\x40\\x00" + bytes(9000))
    except OSError:
        pass
    held.append(s)
print("held", flush=True)
sys.stdin.read()
"""


# A ClientHello that says it is of 128 KiB, and the first of them.
LONG = b"\x16\x03\x01\x40\x00\x01\x02\x00\x00" + bytes(16380)
LONG += (b"\x16\x03\x01\x40\x00" + bytes(16384)) * 6


@pytest.mark.parametrize("what", ["silent", "half a head", "not read",
                                  "half a record", "says it is long", "is long"])
def test_memory_of_many(start, ca, what):
    """More of them than have room, beside one of the Unix socket."""
    line = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n"
    head = line + b"A: " + b"a" * 8000
    data = {"silent": b"", "half a head": head, "half a record": head,
            "not read": (line + b"\r\n") * 100,
            "says it is long": LONG[:9], "is long": LONG}[what]
    m = start()
    before = workers(m)
    peak = 0
    with subprocess.Popen(
            [PYTHON, "-c", READER, str(m.port), str(ca.cert), "900",
             *["half"] * (what == "half a record")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        reader.stdin.write(data.hex().encode() + b"\n")
        reader.stdin.flush()
        while not select.select([reader.stdout], [], [], 0.02)[0]:
            assert m.get("/status", over="unix").status == 200
            peak = max([peak, *map(harness.anonymous, before)])
        assert ask(m, context(ca)) == (200, b'{"status": "running"}')
        peak = max([peak, *map(harness.anonymous, before)])
        reader.stdin.close()
    print(f"memory of a worker: {peak >> 10} KiB")
    if not harness.SAN:
        assert 1 << 20 < peak < 8 << 20
    assert workers(m) == before


def test_followers_that_close_as_they_should(start, ca):
    """With the record that says so, in front of the end itself."""
    m = start()
    wait_for("both", lambda: len(workers(m)) == 2)

    def descriptors():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in workers(m))

    for _ in range(10):
        ask(m, context(ca))
    before = descriptors()
    for _ in range(30):
        with context(ca).wrap_socket(
                socket.create_connection(("127.0.0.1", m.port), 20),
                server_hostname="localhost") as s:
            s.sendall(b"GET /v1/processes/1/streams/1?follow=1 HTTP/1.1\r\n"
                      b"Host: localhost\r\nAccept: text/plain\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200 ")
            s.settimeout(0.01)
            with contextlib.suppress(OSError):
                s.unwrap()
    wait_for("their end", lambda: descriptors() <= before + 15)


def test_a_long_chain(start, ca, alice, tmp_path):
    """As long as any that is meant, and longer."""
    cert = alice[0].read_bytes()
    m = start({**settings(ca.issue("chains")), "client-ca": str(ca.cert),
               "client": "required"})
    before = workers(m)
    for size, good in ((12 << 10, True), (60 << 10, False)):
        chain = tmp_path / "chain.pem"
        # In PEM it is a third longer.
        chain.write_bytes(cert * (size * 4 // 3 // len(cert)))
        if good:
            assert ask(m, context(ca, (chain, alice[1])))[0] == 200
        else:
            with pytest.raises(OSError):
                ask(m, context(ca, (chain, alice[1])))
    assert workers(m) == before
