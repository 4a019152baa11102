"""An owned manager: before the seal, after it, and over a crash of its own.

What the parent guarantees.  A manager that has seen nothing but the
configuration's bytes decides what is in the table; whoever owns it then owns
the table (the snapshot is all that could have done it).  From the seal on
nothing new is ever run, opened, connected or bound, for this manager and for
all after it.
"""

import array
import concurrent.futures
import os
import signal
import socket
import sys
import time

import pytest

import fakes
import harness
import peers
from fakes import E_FILE, E_SPEC, i32, text, u8, u32, u64
from harness import job
from peers import frame
from test_httpd import flood, groups

LOGFILE_WRITE, FEED_GONE, FEED_SEQUENCE = 266, 324, 325


def config(**more):
    return {"keep_alive": True, "http": {"workers": 1}, "processes": {
        "a": job("sleep", "4000", stdin="pipe"), "b": job("sleep", "4000")},
        **more}


# Of this configuration: musterd's own log file, a, b, two listeners.
ENTRIES = 5
A = 1


def after_a_crash(before, _):
    """The first one works until it dies, the second is ours."""
    return ("proxy", "own", "real")[min(before, 2)]


def evil(o):
    """`sh -c id` as whoever musterd is, in other words."""
    return fakes.sh("id >canary", directory=str(o.m.dir))


def start(owned, count=9, what="proxy", **more):
    o = owned(config(**more), {"manager": peers.first(count, what)})
    o.m.wait_status()
    return o, peers.Witness(o.m), o.next("manager")


def spawn(process=9, generation=1, entry=A, about=0, announce=""):
    return u32(process, generation, entry, 0, 0, about) + text(announce)


def after_the_seal():
    """Each costs the manager its life; {evil} is the bytes of evil()."""
    def entry(index):
        return lambda o: frame(fakes.ENTRY, u32(index) + u8(E_SPEC)
                               + text(evil(o)))
    return peers.framing()[:8] + [
        ("entry 0", entry(0)), ("the next entry", entry(ENTRIES)),
        ("a far entry", entry(65535)),
        ("entry in pieces", lambda o: frame(
            fakes.ENTRY_BEGIN, u32(ENTRIES) + u8(1) + u32(len(evil(o))))
            + frame(fakes.ENTRY_DATA, evil(o))),
        ("only the piece", lambda o: frame(fakes.ENTRY_DATA, evil(o))),
        ("second seal", frame(fakes.SEAL, u32(ENTRIES, 0, 1))),
        ("seal of nothing", frame(fakes.SEAL, u32(0, 0, 0))),
        ("include", frame(fakes.CFG_INCLUDE, text("/etc/shadow"))),
        ("verdict", frame(fakes.CFG_VERDICT, u8(0) + u8(1) + text("x"))),
        ("adopted", frame(fakes.ADOPTED)),
        ("spawn, no entry", frame(fakes.SPAWN, spawn(entry=999))),
        ("spawn, largest", frame(fakes.SPAWN, spawn(entry=0xffffffff))),
        ("spawn, a listener", frame(fakes.SPAWN, spawn(entry=3))),
        ("spawn, words", frame(fakes.SPAWN, spawn() + text("sh"))),
        ("spawn, of what lives", frame(
            fakes.SPAWN, spawn(1, 0xffffffff))),
        ("spawn, process 0", frame(fakes.SPAWN, spawn(0))),
        ("spawn, last numbers", frame(fakes.SPAWN, spawn(0x7fffffff))),
        ("spawn, announced", frame(
            fakes.SPAWN, u32(9, 1, 0, 0, 0, 0, 0xffffffff))),
        ("forget what lives", frame(fakes.FORGET, u32(1))),
        ("ack of what lives", frame(fakes.ACK, u32(1, 1))),
        ("signal 0", frame(fakes.SIGNAL, u32(1, 1) + i32(0) + u8(0))),
        ("signal -9", frame(fakes.SIGNAL, u32(1, 1) + i32(-9) + u8(0))),
        ("signal to a pid", frame(
            fakes.SIGNAL, u32(os.getpid(), 1) + i32(9) + u8(0))),
        ("signal, scope", frame(fakes.SIGNAL, u32(1, 1) + i32(9) + u8(7))),
        ("kill, generation", frame(fakes.KILL, u32(1, 0xffffffff))),
        ("stat, no entry", frame(fakes.FILE_STAT, u32(999))),
        ("stat, a spec", frame(fakes.FILE_STAT, u32(A))),
        ("stat, a path", frame(fakes.FILE_STAT, text("/etc/shadow"))),
        ("connect", frame(fakes.UNIX_CONNECT, u32(0))),
        ("stdin of nobody", frame(fakes.STDIN, u32(77) + text("x"))),
        ("stdin, length", frame(fakes.STDIN, u32(1) + u32(9) + b"x")),
        ("stats of a pid", frame(fakes.PROC_STATS, u32(os.getpid()))),
        ("blob, length", frame(fakes.BLOB_SET, u64(1) + u32(65536))),
        ("blob, too large", frame(
            fakes.BLOB_SET, u64(1) + u32(65537) + bytes(65000))),
        ("notify, NUL", frame(fakes.NOTIFY, text("A=1\0B=2"))),
        ("notify, long", frame(fakes.NOTIFY, text("x" * 5000))),
        ("stream of the relay", frame(
            fakes.STREAM_CLOSED, u32(1, 1) + u8(1))),
        ("accuses itself", frame(5, u8(peers.MANAGER) + u32(0))),
        ("accuses the parent", frame(5, u8(1) + u32(0))),
        ("blobs", b"".join(frame(fakes.BLOB_SET, u64(n << 33) + text("x"))
                           for n in range(65600))),
        ("many bytes of blobs", b"".join(
            frame(fakes.BLOB_SET, u64(n << 33) + text(bytes(60000)))
            for n in range(160))),
        ("barriers", frame(fakes.BARRIER) * 100 + frame(
            fakes.BARRIER, b"x")),
    ]


@pytest.mark.parametrize("attacks", groups(after_the_seal()))
def test_after_the_seal(owned, attacks):
    """Ended and replaced; the next one finds all as it was."""
    o, witness, manager = start(owned, len(attacks))
    for _, raw in attacks:
        manager.raw(raw(o) if callable(raw) else raw)
        assert manager.ended()
        if raw is not attacks[-1][1]:
            manager = o.next("manager")
            # It has taken over: what is said is meant for that phase.
            harness.wait_for("its world", lambda: o.m.post(
                "/restart/99").status == 404)
    o.said(r"muster-manager 0: ")
    witness.untouched()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    witness.over()


@pytest.mark.parametrize("attack", [
    lambda o: frame(fakes.ENTRY, u32(0) + u8(E_SPEC) + text(evil(o))),
    lambda o: frame(fakes.ENTRY_BEGIN, u32(0) + u8(E_SPEC) + u32(10)),
    lambda o: frame(fakes.SEAL, u32(0, 0, 0)),
    lambda o: frame(fakes.SEAL, u32(99, 0, 0)),
    lambda o: frame(fakes.SPAWN, spawn(9, 1, 0)),
    lambda o: frame(fakes.CFG_INCLUDE, text("/etc/shadow")),
    lambda o: frame(fakes.CFG_VERDICT, u8(0) + u8(1) + text("x")),
    lambda o: frame(fakes.QUIT) ,
], ids=["entry", "pieces", "seal 0", "seal 99", "spawn", "include", "verdict",
        "quit, short"])
def test_over_a_crash_of_its_own(owned, attack):
    """Born again it knows the sealed table, and may add nothing to it."""
    o = owned(config(), {"manager": after_a_crash})
    o.m.wait_status()
    witness = peers.Witness(o.m)
    o.next("manager").die()
    again = o.next("manager")
    assert again.receive(fakes.CFG_SNAPSHOT).take("B") == fakes.CRASH
    again.raw(attack(o))
    assert again.ended()
    witness.untouched()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    witness.over()


@pytest.mark.parametrize("attack", [
    lambda o: frame(fakes.SPAWN, spawn(1, 1, 0)),
    lambda o: frame(fakes.ENTRY, u32(0) + u8(E_SPEC) + text(evil(o)))
    + frame(fakes.SPAWN, spawn(1, 1, 0)),
    lambda o: frame(fakes.ENTRY, u32(0) + u8(E_FILE) + text("/etc/shadow")
                    + text("")) ,
    lambda o: frame(fakes.BLOB_SET, u64(0) + text("x")),
    lambda o: frame(fakes.NOTIFY, text("READY=1")),
    lambda o: frame(fakes.RELOAD),
    lambda o: frame(fakes.REOPEN),
    lambda o: frame(fakes.SEAL, u32(0, 0, 0)) + frame(
        fakes.ENTRY, u32(0) + u8(E_SPEC) + text(evil(o))),
    lambda o: frame(fakes.ENTRY, u32(0) + u8(E_SPEC) + text(evil(o)))
    + frame(fakes.SEAL, u32(1, 0, 0)) + frame(
        fakes.ENTRY, u32(1) + u8(E_SPEC) + text(evil(o))),
], ids=["spawn", "staged and spawned", "entry too long", "blob", "notify",
        "reload", "reopen", "entry after seal 0", "entry after seal 1"])
def test_before_the_seal(owned, attack):
    """It can stage, and nothing else; the third such one is the last."""
    o = owned(config(), {"manager": peers.always("own")}, strict=False)
    for _ in range(3):
        manager = o.next("manager")
        if manager.receive(fakes.CFG_SNAPSHOT).take("B") == fakes.CRASH:
            break       # an empty table was sealed, as it may
        manager.raw(attack(o))
        assert manager.ended()
    if o.births["manager", 0] and "entry after" not in str(attack):
        o.m.signal(signal.SIGTERM)
    harness.wait_for("its end", lambda: not o.m.running())
    assert not (o.m.dir / "canary").exists()


def test_what_it_may(owned):
    """Listed things, at any time: their stdin, their signals; no harm."""
    o, witness, manager = start(owned)
    for raw in [
            frame(fakes.STDIN, u32(1) + text("x" * 60000)) * 40,
            frame(fakes.SIGNAL, u32(1, 1) + i32(signal.SIGCONT) + u8(2)),
            frame(fakes.SIGNAL, u32(1, 0) + i32(9) + u8(2)),
            frame(fakes.NOTIFY, text("READY=1\nMAINPID=1\nSTATUS=\x1b[2J")),
            frame(fakes.REOPEN) * 100,
            frame(fakes.DAEMON_READY, u8(1)) * 100,
            frame(fakes.BLOB_SET, u64(0xffffffffffffffff) + text("")) * 9]:
        manager.raw(raw)
    # What comes last is done last.
    b = o.m.all()["b"]["pid"]
    for number, state in [(signal.SIGSTOP, "T"), (signal.SIGCONT, "S")]:
        manager.raw(frame(fakes.SIGNAL, u32(2, 1) + i32(number) + u8(0)))
        harness.wait_for(f"state {state}", lambda state=state:
                         harness.process(b).state == state)
    assert len(o.births["manager", 0]) == 1
    witness.untouched()
    # The real one has not asked for these, and ends when they come.
    manager.raw(frame(fakes.PROC_STATS, u32(1)) * 500)
    harness.wait_for("the next one",
                     lambda: len(o.births["manager", 0]) == 2)
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    witness.over()


@pytest.mark.parametrize("blobs", [
    [(0, b"")], [(0, b"rubbish")], [(0, bytes(18))],
    # Another version; asked to end a thousand times; a phase of none.
    [(0, b"\1" + bytes(17))], [(0, b"\2\4" + bytes(4) + u32(999) + bytes(8))],
    [(0, b"\2\0" + bytes(16))],
    [(1 << 32 | 1, b"rubbish"), (1 << 32 | 2, b"\2\x63" + bytes(64))],
    [(1 << 32 | n, b"\2") for n in range(3, 300)],
    [(1 << 32 | 0x7fffffff, b""), (1 << 32, b"x"), (1 << 63 | 1, b"x")],
], ids=["none", "rubbish", "zeros", "version", "signals", "phase",
        "of a process", "of many", "of none"])
def test_what_it_leaves(owned, blobs):
    """Its blobs are read by the next one, who must survive them."""
    o, witness, manager = start(owned, 1)
    for key, data in blobs:
        manager.send(fakes.BLOB_SET, 0, u64(key) + text(data))
    manager.send(9999)
    assert manager.ended()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    assert {n: p["state"] for n, p in o.m.all().items()} == {
        "a": "running", "b": "running"}
    assert len(o.births["manager", 0]) == 2
    witness.over()


def left_verdict(kind, last, end=b""):
    """A blob of a running process, as put_process() of blob.c writes it."""
    return (bytes([2, 2, 1, 1, 1, 0, 0, 0]) + i32(0) + u32(1) + i32(0)
            + u32(0) + bytes(4) + u64(0) * 3 + text("") + u32(0) + u64(0)
            + u64(0) + u32(0) + u32(0) + u64(0) + text(kind) + u32(7) + u64(5000000) + text(last) + end)


@pytest.mark.parametrize("data, told", [
    (left_verdict("tcp", "fine"), ("tcp", "fine")),
    (left_verdict("\x1b[2J", "a\nb\x1b"), (
        "\\033[2J", "a\\012b\\033")),
    (left_verdict("x" * 128, b"\xff" * 39), ("x" * 128, "\\377" * 39)),
    (left_verdict("x" * 129, "x"), None),
    (left_verdict("x", "y" * 160), None),
    (left_verdict("x", "y\0"), None),
    (left_verdict("x", "y", b"z"), None),
    (left_verdict("x", "y")[:-1], None),
    (left_verdict("", "")[:-4], None),
], ids=["good", "escapes", "bytes", "long kind", "long text", "NUL", "longer",
        "shorter", "half"])
def test_what_it_leaves_of_a_verifier(owned, data, told):
    """It is cleaned; of what cannot be read nothing is believed."""
    o, witness, manager = start(owned, 1, processes={
        "a": job("sleep", "4000", stdin="pipe"),
        "b": job("sleep", "4000", verify={"file": "/dev/null"})})
    manager.send(fakes.BLOB_SET, 0, u64(1 << 32 | 2) + text(data))
    manager.send(9999)
    assert manager.ended()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    b = o.m.wait_state("b", "running")
    assert b["verified"]
    if told:
        assert b["verifier"] == {"kind": told[0], "attempts": 7,
                                 "last": told[1], "elapsed_ms": 5}
    else:   # it was verified again
        assert (b["verifier"]["kind"], b["verifier"]["attempts"]) == \
            ("file", 1)
    witness.over()


def test_a_full_world(owned):
    """As many blobs as there can be: the next manager is told them all."""
    o, witness, manager = start(owned, 1)
    size = 8 * 1024 * 1024 // 65536 - 1
    flags = b"".join(frame(fakes.BLOB_SET, u64(n << 33 | 1)
                           + text(bytes(size))) for n in range(65000))
    manager.raw(flags)
    manager.raw(b"".join(frame(fakes.SPAWN, spawn(n, 1, A))
                         for n in range(10, 40)))
    manager.raw(b"".join(frame(fakes.KILL, u32(n, 1))
                         for n in range(10, 40)))
    manager.send(9999)
    assert manager.ended()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404, 20)
    assert len(o.births["manager", 0]) == 2
    assert not witness.canary.exists() and o.m.stop() == 0


def test_floods(owned):
    """Of texts for the console: the relay does not pay for them."""
    o, witness, manager = start(owned, 1)
    relay = [p.pid for p in o.m.component("muster-relay")]
    line = u8(1) + text("x" * 16000 + "\n")
    manager.raw(frame(fakes.CONSOLE_WRITE, line) * 800)
    manager.raw(frame(LOGFILE_WRITE, text("y" * 100)) * 20000)
    manager.raw(frame(fakes.CONSOLE_FLUSH) * 20000)
    assert o.m.get("/").status == 200
    assert [p.pid for p in o.m.component("muster-relay")] == relay
    manager.die()
    witness.over()


def test_answers_that_it_does_not_read(owned):
    """Half of a crash's manager: it seals what stands, then only asks."""
    o = owned(config(), {"manager": after_a_crash})
    o.m.wait_status()
    witness = peers.Witness(o.m)
    o.next("manager").die()
    again = o.next("manager")
    again.send(fakes.SEAL, 0, u32(ENTRIES, 0, 1))
    again.receive(fakes.WORLD_END)
    flood(again, frame(fakes.PROC_STATS, u32(1)) * 500, 40)
    assert again.ended()
    o.said("muster-manager 0: peer does not read")
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    witness.over()


def test_descriptors_that_nobody_asked_for(owned):
    """They are not even received: the parent takes none from a child."""
    o = owned(config(), {"manager": after_a_crash})
    o.m.wait_status()
    witness = peers.Witness(o.m)
    before = len(os.listdir(f"/proc/{witness.parent}/fd"))
    o.next("manager").die()
    again = o.next("manager")
    again.receive(fakes.CFG_SNAPSHOT)
    fds = array.array("i", [os.open("/dev/null", os.O_RDONLY)
                            for _ in range(100)])
    for mark in (False, True):
        again.sock.sendmsg([frame(fakes.LOG, u8(3) + text("manager")
                                  + text("x"), mark=mark)],
                           [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    for fd in fds:
        os.close(fd)
    assert again.nothing()
    assert len(os.listdir(f"/proc/{witness.parent}/fd")) <= before + 2
    again.die()
    witness.over()


def feed_lies():
    """(name, messages on the manager's channel to httpd)"""
    return [
        ("unknown", frame(9999)), ("proc, empty", frame(323)),
        ("proc, half", frame(323, u32(1, 1, 0))),
        ("config, half", frame(321, text("1") + text("x") + bytes(20))),
        ("proc 0 is gone", frame(324, u32(0)) + frame(9999)),
        ("another state", frame(320, u64(1)) + frame(325)),
        ("length 0", frame(325, size=0)),
        ("answer to nobody", frame(341, fakes.u16(99) + bytes(20))),
        ("many", frame(320, u64(1)) * 20000 + frame(322)),
    ]


@pytest.mark.parametrize("raw", [pytest.param(r, id=n)
                                 for n, r in feed_lies()])
def test_lies_to_httpd(owned, raw):
    """The worker believes none of it, and answers what it knew before."""
    o = owned(config(), {"manager": after_a_crash})
    o.m.wait_status()
    witness = peers.Witness(o.m)
    worker = [p.pid for p in o.m.component("muster-httpd")]
    before = o.m.processes()
    o.next("manager").die()
    again = o.next("manager")
    again.send(fakes.SEAL, 0, u32(ENTRIES, 0, 1))
    again.receive(fakes.WORLD_END)
    peer = o.peer(again, peers.HTTPD)
    peer.raw(raw)
    assert peer.ended()
    assert o.m.processes() == before
    assert o.m.get("/v1/info").status in (200, 404)
    assert [p.pid for p in o.m.component("muster-httpd")] == worker
    again.die()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    witness.over()


# --- a manager between two workers ---


def test_what_another_worker_may_have_told(owned):
    """A change that one worker has got is waited for by the others, not for
    long: the manager may have been stopped in the middle."""
    jobs = {f"p{i:02}": job("true", autostart=False) for i in range(12)}
    o = owned({"keep_alive": True, "http": {"workers": 1},
               "processes": jobs}, {"manager": after_a_crash})
    o.m.wait_status()
    witness = peers.Witness(o.m, 0)
    o.next("manager").die()
    manager = o.next("manager")
    manager.send(fakes.SEAL, 0, u32(len(jobs) + 3, 0, 1))
    number = manager.receive(fakes.SEQUENCE_PAGE).fd
    manager.receive(fakes.WORLD_END)
    worker = o.peer(manager, peers.HTTPD)
    sequence = 1 << 40

    def ask():
        begin = time.monotonic()
        rows = o.m.all()
        return len(rows), time.monotonic() - begin

    def publish():
        nonlocal sequence
        sequence += 1
        os.pwrite(number, sequence.to_bytes(8, sys.byteorder), 0)

    # The worker listens to it.
    worker.raw(frame(FEED_GONE, u32(len(jobs))) +
               frame(FEED_SEQUENCE, u64(sequence)))
    harness.wait_for("one less", lambda: ask()[0] == len(jobs) - 1)
    # One that says nothing: what was known is told after a moment, and then
    # at once.
    publish()
    assert ask()[1] > 0.04
    assert min(ask()[1] for _ in range(5)) < 0.04
    # One that was between two workers.
    waited = 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for left in range(len(jobs) - 2, 0, -1):
            worker.raw(frame(FEED_SEQUENCE, u64(sequence)))
            harness.wait_for("what was told", lambda: ask()[1] < 0.04)
            publish()
            answer = pool.submit(ask)
            time.sleep(0.01)
            sequence += 1
            worker.raw(frame(FEED_GONE, u32(left + 1)) +
                       frame(FEED_SEQUENCE, u64(sequence)))
            waited += answer.result()[0] == left
    print(f"{waited} of {len(jobs) - 2} were waited for")
    assert waited > len(jobs) // 2 / harness.SLOW
    manager.die()
    harness.wait_for("a manager", lambda: o.m.post(
        "/restart/99").status == 404)
    witness.over()
