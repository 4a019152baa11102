"""Components that misbehave are replaced, and do no harm."""

import os
import random
import signal
import time

import pytest

import fakes
import harness
from fakes import i32, sh, spec, text, u8, u16, u32, u64

SPEC = spec("/bin/sleep", "4000")


def bad_manager_messages():
    """Each must cost the manager its life: (name, type, payload)."""
    spawn = u32(1, 1, 0, 0, 0, 0) + text("")
    return [
        ("unknown type", 9999, b""),
        ("type of another role", fakes.JOURNAL_WANTED, u32(1) + u8(1)),
        ("own message back", fakes.STARTED, u32(1, 1)),
        ("entry after the seal", fakes.ENTRY,
         u32(3) + u8(1) + text(SPEC)),
        ("second seal", fakes.SEAL, u32(3, 0, 0)),
        ("include after the seal", fakes.CFG_INCLUDE, text("/etc/passwd")),
        ("verdict after the seal", fakes.CFG_VERDICT,
         u8(0) + u8(1) + text("")),
        ("spawn, no such entry", fakes.SPAWN,
         u32(5, 1, 77, 0, 0, 0) + text("")),
        ("spawn, largest entry", fakes.SPAWN,
         u32(5, 1, 0xffffffff, 0, 0, 0) + text("")),
        ("spawn, not a spec", fakes.SPAWN,
         u32(5, 1, 1, 0, 0, 0) + text("")),
        ("spawn, process 0", fakes.SPAWN,
         u32(0, 1, 0, 0, 0, 0) + text("")),
        ("spawn, lives", fakes.SPAWN, u32(1, 2, 0, 0, 0, 0) + text("")),
        ("spawn, short", fakes.SPAWN, spawn[:-1]),
        ("spawn, long", fakes.SPAWN, spawn + b"x"),
        ("spawn, NUL in a text", fakes.SPAWN,
         u32(5, 1, 0, 0, 0, 0) + text("a\0b")),
        ("signal 0", fakes.SIGNAL, u32(1, 1) + i32(0) + u8(0)),
        ("signal 65", fakes.SIGNAL, u32(1, 1) + i32(65) + u8(0)),
        ("signal, negative", fakes.SIGNAL, u32(1, 1) + i32(-9) + u8(0)),
        ("signal, scope", fakes.SIGNAL, u32(1, 1) + i32(15) + u8(4)),
        ("signal, process", fakes.SIGNAL, u32(99, 1) + i32(15) + u8(0)),
        ("signal, generation", fakes.SIGNAL, u32(1, 2) + i32(15) + u8(0)),
        ("kill, process", fakes.KILL, u32(0, 0)),
        ("ack of what lives", fakes.ACK, u32(1, 1)),
        ("forget what lives", fakes.FORGET, u32(1)),
        ("forget nothing", fakes.FORGET, u32(9)),
        ("barrier with bytes", fakes.BARRIER, b"x"),
        ("stdin, process", fakes.STDIN, u32(9) + text("x")),
        ("blob, length", fakes.BLOB_SET, u64(1) + u32(100) + b"x"),
        ("stat, entry", fakes.FILE_STAT, u32(0)),
        ("stat, index", fakes.FILE_STAT, u32(4000000000)),
        ("stats, process", fakes.PROC_STATS, u32(9)),
        ("notify, NUL", fakes.NOTIFY, text("READY=1\0x")),
        ("syslog, NUL", fakes.SYSLOG, text("<30>musterd[1]: a\0b")),
        ("syslog, long", fakes.SYSLOG, text("x" * 5000)),
        ("syslog, short", fakes.SYSLOG, u32(9) + b"<30>"),
        ("log, level", fakes.LOG, u8(9) + text("x") + text("y")),
        ("adopted, no reload", fakes.ADOPTED, b""),
        ("quit, long", fakes.QUIT, u8(0) + b"x"),
        ("daemon ready, empty", fakes.DAEMON_READY, b""),
    ]


@pytest.mark.parametrize("kind, payload", [
    pytest.param(k, p, id=n) for n, k, p in bad_manager_messages()])
def test_manager(muster, kind, payload):
    m = muster()
    manager = m.ready(SPEC, (fakes.E_LISTEN, fakes.listener(
        2, path=str(m.dir / "s"))), (fakes.E_FILE, text("/etc/passwd")
                                     + text("") + text("")))
    pid = manager.run(1)
    manager.send(kind, 0, payload)
    assert manager.ended()
    manager, (procs, _, highest) = m.again(3)
    assert procs[1]["pid"] == pid and procs[1]["state"] == fakes.RUNNING
    assert highest == 1 and harness.alive(pid)
    manager.signal(1, signal.SIGTERM)
    manager.exited(1)


def header(kind, size, number=0):
    return fakes.HEADER.pack(kind, size, number, 0)


@pytest.mark.parametrize("raw", [
    pytest.param(header(160, 0), id="length 0"),
    pytest.param(header(160, 15), id="shorter than its header"),
    pytest.param(header(160, 0x7fffffff), id="huge"),
    pytest.param(header(160, 65537), id="a byte too long"),
    pytest.param(os.urandom(4096), id="noise"),
])
def test_framing(muster, raw):
    m = muster()
    manager = m.ready(SPEC)
    pid = manager.run(1)
    manager.raw(raw)
    assert manager.ended()
    m.again(1)
    assert harness.alive(pid)


def bad_others():
    return [
        ("relay", 9999, b""),
        ("relay", fakes.SPAWN, u32(2, 1, 0, 0, 0, 0) + text("")),
        ("relay", fakes.QUIT, u8(0)),
        ("relay", fakes.JOURNAL_WANTED, u32(1) + u8(3)),
        ("relay", fakes.JOURNAL_WANTED, u32(1) + u8(0)),
        ("relay", fakes.STREAM_CLOSED, u32(1, 1)),
        ("relay", fakes.STREAM_CLOSED, u32(1, 1) + u8(9)),
        ("httpd", fakes.SPAWN, u32(2, 1, 0, 0, 0, 0) + text("")),
        ("httpd", fakes.QUIT, u8(0)),
        ("verifier", fakes.UNIX_CONNECT, u32(0)),
        ("verifier", fakes.UNIX_CONNECT, u32(1 << 31)),
        ("verifier", fakes.KILL, u32(1, 1)),
        ("verifier", fakes.RESOLVER_WANTED, b""),
    ]


@pytest.mark.parametrize("role, kind, payload", bad_others())
def test_others(muster, role, kind, payload):
    m = muster()
    manager = m.ready(SPEC, flags=1, workers=1)
    pid = manager.run(1)
    peer = m.accept(role)
    peer.send(kind, 0, payload)
    assert peer.ended()
    m.accept(role)
    lost = manager.receive(fakes.COMPONENT_LOST)
    assert lost.take("BII")[2] == 1 and harness.alive(pid)


@pytest.mark.timeout(120)
def test_noise(muster):
    """Random messages of the right types, with nearly right content."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    kinds = ([160, 161, 162, 163, 164, 165, 166] * 3
             + [200, 201, 205, 206, 208, 209, 210, 260, 261, 3, 120, 123])
    m = muster()
    manager = m.ready(sh("sleep 0.01; exit 1"), SPEC)
    for _ in range(6):
        for _ in range(rng.randrange(1, 60)):
            payload = b"".join(
                u32(rng.choice([0, 1, 2, 3, 7, 0x80000000, 0xffffffff]))
                for _ in range(rng.randrange(0, 7)))
            payload += rng.choice([b"", text(""), text("x"), u8(1),
                                   rng.randbytes(rng.randrange(30))])
            manager.send(rng.choice(kinds), rng.randrange(9), payload)
        manager.die()
        manager, _ = m.again(2)
    assert harness.alive(m.parent)
    manager.quit(0)
    assert m.wait() == 0


def test_frozen_component(muster):
    m = muster()
    manager = m.ready(SPEC)
    manager.run(1)
    relay = m.accept("relay")
    os.kill(relay.pid, signal.SIGSTOP)
    assert relay.ended()
    m.accept("relay")


def test_log_flood(muster):
    m = muster()
    manager = m.ready()
    relay = m.accept("relay")
    for _ in range(5000):
        relay.send(fakes.LOG, 0, u8(1) + text("relay") + text("noise"))
    assert relay.ended()
    assert len([k for k in manager.kept if k.kind == fakes.LOG]) <= 2100


def test_log_is_handed_on(muster):
    m = muster()
    manager = m.ready()
    relay = m.accept("relay")
    relay.send(fakes.LOG, 0, u8(1) + text("relay") + text("line"))
    while True:     # the parent says something, too
        got = manager.receive(fakes.LOG)
        line = (got.take("B"), got.text(), got.text())
        if line[1] != b"parent":
            break
    assert line == (1, b"relay", b"line")


def test_channels_between(muster):
    """Who is connected with whom, again after a loss."""
    m = muster()
    manager = m.ready(flags=3, workers=2)

    def peers(c, count):
        found = []
        for _ in range(count):
            got = c.receive(fakes.PEER)
            found.append(got.take("BI"))
            os.close(got.fd)
        return sorted(found)

    everything = [(3, 0), (5, 0), (6, 0), (6, 1)]
    assert peers(manager, 4) == everything
    relay = m.accept("relay")
    assert peers(relay, 3) == [(2, 0), (6, 0), (6, 1)]
    verifier = m.accept("verifier")
    assert peers(verifier, 1) == [(2, 0)]
    worker = m.accept("httpd", 1)
    assert peers(worker, 2) == [(2, 0), (5, 0)]
    relay.die()
    relay = m.accept("relay")
    assert peers(relay, 3) == [(2, 0), (6, 0), (6, 1)]
    assert peers(manager, 1) == [(5, 0)] and peers(worker, 1) == [(5, 0)]
    verifier.send(fakes.RESOLVER_WANTED)
    resolver = m.accept("resolver")
    assert peers(resolver, 1) == [(3, 0)]
    assert peers(verifier, 1) == [(4, 0)]
    manager.die()
    manager, _ = m.again(0)
    assert peers(manager, 4) == everything
    assert peers(relay, 1) == [(2, 0)] and peers(worker, 1) == [(2, 0)]


def test_unused_components_are_not_kept(muster):
    m = muster()
    manager = m.manager()
    worker = m.accept("httpd")
    manager.seal()
    assert worker.ended()


def test_listeners_and_pages(muster):
    m = muster()
    path = str(m.dir / "api.sock")
    m.ready((fakes.E_LISTEN, fakes.listener(1, "127.0.0.1")),
            (fakes.E_LISTEN, fakes.listener(2, path=path)), workers=1)
    for _ in range(2):
        worker = m.accept("httpd")
        got = {}
        for _ in range(2):
            got.update([(x.take("BH"), x.fd) for x in
                        [worker.receive(fakes.LISTENER)]])
        (kind, port), fd = [x for x in got.items() if x[0][0] == 1][0]
        assert port > 0 and (2, 0) in got
        cells = worker.receive(fakes.CELLS)
        page = worker.receive(fakes.SEQUENCE_PAGE)
        for fd in (cells.fd, page.fd):
            with pytest.raises(OSError):
                os.pwrite(fd, b"x", 0)
        worker.die()
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_backoff(muster):
    m = muster()
    m.ready()
    times = []
    for _ in range(5):
        relay = m.accept("relay")
        times.append(time.monotonic())
        relay.send(9999)
    pauses = [b - a for a, b in zip(times, times[1:])]
    assert pauses[0] < 0.5 * harness.patience(), pauses
    for pause, least in zip(pauses[1:], (0.1, 0.2, 0.4)):
        assert pause > 0.9 * least, pauses


def test_no_backoff_for_victims(muster):
    """Who is killed by somebody else is needed at once."""
    m = muster()
    m.ready()
    times = []
    for _ in range(8):
        relay = m.accept("relay")
        times.append(time.monotonic())
        relay.die()
    pauses = [b - a for a, b in zip(times, times[1:])]
    # With a backoff each of these would be longer (see above).
    assert min(pauses[4:]) < 0.6, pauses
