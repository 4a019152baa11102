"""An owned httpd: worker 0 is the attacker's, worker 1 is real."""

import signal
import socket
import time

import pytest

import fakes
import harness
import peers
from fakes import text, u8, u32
from harness import job
from peers import HTTPD, MANAGER, RELAY, frame

REQUEST, REFUSED, STREAM_READ, READ_CANCEL = 340, 342, 280, 282


def i64(value):
    return value.to_bytes(8, "little", signed=True)


def config(**more):
    return {"keep_alive": True, "http": {"workers": 2},
            "processes": {"a": job("sleep", "4000"),
                          "b": job("sleep", "4000")}, **more}


def start(owned, count=9, **more):
    """Our worker, after all is up; the first `count` are ours."""
    o = owned(config(**more), {"httpd": peers.first(count, of=0)})
    o.m.wait_status()
    return o, peers.Witness(o.m), o.next("httpd")


def request(op=1, role=3, argument="1", body="", sender="x"):
    return (u8(op) + i64(0) + u8(role) + text("") + text(sender)
            + text(argument) + text(body))


def refused(op=1, status=403, argument="1", sender="x", before=0):
    return (u8(op) + status.to_bytes(2, "little") + i64(0) + text("")
            + text(sender) + text(argument) + u32(before))


def read(process=1, stream=1, start_=0, lines=0, wait=0):
    return u32(process) + u8(stream) + i64(start_) + u32(lines) + u8(wait)


def to_parent():
    return peers.framing() + [
        (name, frame(kind, payload)) for name, kind, payload in [
            ("spawn", fakes.SPAWN, u32(9, 1, 0, 0, 0, 0) + text("")),
            ("signal", fakes.SIGNAL, u32(1, 1) + fakes.i32(9) + u8(0)),
            ("quit", fakes.QUIT, u8(0)),
            ("entry", fakes.ENTRY, u32(0) + u8(1)
             + text(fakes.sh("touch canary"))),
            ("connect", fakes.UNIX_CONNECT, u32(0)),
            ("journal", fakes.JOURNAL_WANTED, u32(1) + u8(1)),
            ("accuses the manager", 5, u8(MANAGER) + u32(0)),
            ("accuses the relay", 5, u8(RELAY) + u32(0)),
            ("accuses the other", 5, u8(HTTPD) + u32(1)),
        ]]


def to_manager():
    return [(n, frame(k, p)) for n, k, p in [
        ("unknown type", 9999, b""),
        ("empty", REQUEST, b""),
        ("one byte less", REQUEST, request()[:-1]),
        ("one byte more", REQUEST, request() + b"x"),
        ("no such op", REQUEST, request(op=3)),
        ("op 255", REQUEST, request(op=255)),
        ("NUL", REQUEST, request(argument="1\0x")),
        ("string without its bytes", REQUEST,
         request()[:-4] + u32(0xffffffff)),
        ("too long a name", REQUEST, request(argument="1" * 300)),
        ("refused, one byte less", REFUSED, refused()[:-1]),
        ("refused, one byte more", REFUSED, refused() + b"x"),
        ("refused, yet done", REFUSED, refused(status=200)),
        ("refused, no such op", REFUSED, refused(op=3)),
        ("of the verifier", 362, u32(1) + u8(1) + bytes(10) + text("x")),
        ("of the relay", 263, u32(1, 1)),
        ("of the parent", fakes.EXITED, u32(1, 1) + bytes(13)),
    ]] + [("half", frame(REQUEST, request())[:-7] + b"")] + \
        peers.framing()[:5]


def to_relay():
    return [(n, frame(k, p)) for n, k, p in [
        ("unknown type", 9999, b""),
        ("empty", STREAM_READ, b""),
        ("one byte less", STREAM_READ, read()[:-1]),
        ("one byte more", STREAM_READ, read() + b"x"),
        ("wait 3", STREAM_READ, read(wait=3)),
        ("cancel with bytes", READ_CANCEL, b"x"),
        ("of the manager", 264, u32(1) + u8(0) + u32(10)),
        ("of the parent", fakes.STREAM_EXIT, u32(1, 1)),
        ("twice the same", STREAM_READ, read(wait=1)),
    ]] + peers.framing()[:5]


def groups(attacks, size=3):
    """A replacement comes at once, the next ones after pauses."""
    for i in range(0, len(attacks), size):
        part = attacks[i:i + size]
        yield pytest.param(part, id=", ".join(a[0] for a in part))


@pytest.mark.parametrize("attacks", groups(to_parent()))
def test_parent(owned, attacks):
    o, witness, worker = start(owned, len(attacks))
    for _, raw in attacks:
        worker.raw(raw)
        assert worker.ended()
        if raw is not attacks[-1][1]:
            worker = o.next("httpd")
    o.said(r"\[WARNING\].*muster-httpd 0: \w")
    witness.over()


@pytest.mark.parametrize("role, attacks", [
    pytest.param(role, *p.values, id=f"{peers.ROLES[role]}-{p.id}")
    for role, found in ((MANAGER, to_manager()), (RELAY, to_relay()))
    for p in groups(found)])
def test_others(owned, role, attacks):
    """Who is told rubbish tells the parent, who ends the speaker."""
    o, witness, worker = start(owned, len(attacks))
    for name, raw in attacks:
        peer = o.peer(worker, role)
        peer.raw(raw)
        if name == "half":
            worker.die()
        elif name.startswith("twice"):
            peer.raw(raw)
        assert worker.ended()
        if raw is not attacks[-1][1]:
            worker = o.next("httpd")
    if attacks[0][0] != "half":
        o.said(r"\[WARNING\].*muster-httpd 0: muster-\w+ complains of it")
    witness.over()


def test_what_is_answered(owned):
    """Not malformed, but not for it: no harm, and it may go on."""
    o, witness, worker = start(owned)
    manager = o.peer(worker, MANAGER)
    relay = o.peer(worker, RELAY)
    for argument in ("0", "-1", "99", "4294967297", "; touch canary", "../1"):
        manager.send(REQUEST, 7, request(argument=argument))
        assert manager.receive(341).take("H") == 404
    for role in (0, 1):
        manager.send(REQUEST, 8, request(role=role))
        assert manager.receive(341).take("H") == 403
    for process, stream in ((0, 1), (99, 1), (1, 3), (1, 0),
                            (0xffffffff, 1)):
        relay.send(STREAM_READ, 5, read(process, stream))
        assert relay.receive(281).take("i") == 3    # ESRCH
    for start_ in (-2**63, 2**63 - 1, -1, 2**62):
        relay.send(STREAM_READ, 6, read(start_=start_))
        assert relay.receive(281).take("i") in (0, 3)
    witness.over()


def flood(channel, raw, seconds=8):
    """Sends without ever reading, until the other end has had enough."""
    channel.sock.setblocking(False)
    end = time.monotonic() + seconds * harness.patience()
    sent = 0
    rest = raw
    while time.monotonic() < end:
        try:
            n = channel.sock.send(rest)
            sent += n
            rest = rest[n:] or raw
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return sent
    raise harness.Failure(f"nobody minds, {sent} bytes")


@pytest.mark.parametrize("role, raw", [
    pytest.param(MANAGER, frame(REQUEST, request(argument="x")) * 1000,
                 id="manager"),
    pytest.param(RELAY, frame(STREAM_READ, read(77)) * 1000, id="relay"),
])
def test_flood(owned, role, raw):
    """Of requests whose answers it does not read."""
    o, witness, worker = start(owned, 1)
    assert flood(o.peer(worker, role), raw) > 100000
    assert worker.ended()
    witness.over()


def test_flood_of_the_log(owned):
    o, witness, worker = start(owned, 1)
    line = b"\x1b]0;x\x07\n[ERROR] forged\xff\xfe" + b"x" * 4000
    worker.raw(frame(fakes.LOG, u8(1) + text("httpd") + text(line)) * 5000)
    assert worker.ended()
    o.said(r"muster-httpd 0: malformed message")
    witness.over()
    said = (o.m.dir / "stdout").read_bytes()
    assert b"\x1b" not in said and b"\xff" not in said
    assert b"\n[ERROR] forged" not in said
    assert 10 < said.count(b"forged") <= 2002
    assert all(line.startswith(b"[WARNING]") for line in said.splitlines()
               if b"forged" in line)


def test_flood_of_the_audit(owned):
    """With refusals that never were: they are few, and their words ours."""
    o, witness, worker = start(owned)
    manager = o.peer(worker, MANAGER)
    lie = refused(argument="1 by root from here: 200", before=2**32 - 1,
                  sender="y\n[AUDIT] shutdown by root\x1b[31m")
    for _ in range(200):
        manager.raw(frame(REFUSED, lie) * 100)
    manager.send(REQUEST, 7, request(argument="99"))
    assert manager.receive(341).take("H") == 404
    witness.over()
    said = (o.m.dir / "stderr").read_bytes()
    assert b"\x1b" not in said and b"\n[AUDIT] shutdown by root" not in said
    assert b"by root from here" not in said
    lines = [x for x in said.splitlines() if x.startswith(b"[AUDIT] restart ?")]
    assert 10 < len(lines) < 150
    assert all(x.endswith(b": 403 forbidden") for x in lines)


def test_restarts_for_ever(owned):
    """Requests that are not answered yet do not fill the manager's memory."""
    o = owned(config(processes={
        "a": job("sleep", "4000", restart="never"),
        "b": job("sh", "-c", "test -e up || { touch up; exec sleep 4000; }; "
                 "trap : TERM; while :; do sleep 0.1; done",
                 graceful_time=60)}), {"httpd": peers.first(1, of=0)})
    o.m.wait_status()
    manager = o.peer(o.next("httpd"), MANAGER)
    manager.raw(frame(REQUEST, request(argument="2"), number=3) * 6000)
    codes = set()
    for _ in range(1500):
        codes.add(manager.receive(341).take("H"))
        if 503 in codes:
            break
    assert codes <= {200, 503} and o.m.status() == "running"
    # It does not obey before its time is over.
    for _ in range(2):
        o.m.signal(signal.SIGINT)
        harness.wait_for("the end", lambda: o.m.status() != "running")
    assert o.m.wait() == 0


def test_silence(owned):
    """A worker that does nothing: the other one answers."""
    o, witness, worker = start(owned)
    for _ in range(20):
        assert o.m.get("/").status == 200
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(str(o.m.socket))
    assert not worker.closed
    witness.over()


def test_a_worker_that_hangs(owned):
    """It reads nothing, and nobody waits for it: it is missed nevertheless."""
    o, _, worker = start(owned, 1)
    o.peer(worker, MANAGER)

    def changed():
        assert o.m.post("/restart/2").status == 200
        return "muster-httpd 0: " in o.m.stdout_text()

    harness.wait_for("somebody to miss it", changed, 40, 0.25)
    assert worker.ended()
    assert o.m.status() == "running"


def test_backoff(owned):
    """It is replaced at once, then after longer and longer pauses."""
    o, witness, worker = start(owned, 5)
    for i in range(5):
        worker.raw(frame(9999))
        assert worker.ended()
        if i < 4:
            worker = o.next("httpd")
    harness.wait_for("a real one", lambda: len(o.births["muster-httpd", 0]
                     if ("muster-httpd", 0) in o.births
                     else o.births["httpd", 0]) == 6)
    times = o.births["httpd", 0]
    pauses = [b - a for a, b in zip(times, times[1:])]
    assert pauses[1] > 0.08 and pauses[3] > 0.35 and pauses[4] > 0.75, pauses
    witness.over()
