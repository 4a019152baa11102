"""An owned verifier, resolver or relay, beside a real manager and httpd."""

import os
import signal
import socket
import threading
import time

import pytest

import fakes
import harness
import peers
from fakes import text, u8, u16, u32, u64
from harness import job
from peers import HTTPD, MANAGER, RESOLVER, frame
from test_httpd import flood, groups

START, STOP, ATTEMPT, TRYING = range(360, 364)
READ_DONE = 281
DRAINED, TAIL, TAIL_DONE = range(263, 266)
FLUSHED = 262


def attempt(number=1, passed=0, detail="x"):
    return u32(number) + u8(passed) + u64(5) + u16(0) + text(detail)


def rubbish():
    return [(n, frame(k, p)) for n, k, p in [
        ("unknown type", 9999, b""),
        ("of the parent", fakes.WORLD_END, u32(1)),
        ("request", 340, u8(2)),
    ]] + peers.framing()[:6]


# --- the verifier ---


def verified(**more):
    """b waits to be verified for ever; a is checked over a listed socket."""
    return {"keep_alive": True, "http": {"workers": 1}, "processes": {
        "a": job("sleep", "4000"),
        "b": job("sleep", "4000", after=[], verify={
            "unix": "listed.sock", "timeout": "1h"}, **more)}}


def start_verifier(owned, count=9, **more):
    o = owned(verified(**more), {"verifier": peers.first(count)})
    o.m.wait_state("b", "starting")
    witness = peers.Witness(o.m, len(o.m.all()))
    return o, witness, o.next("verifier")


def verifier_to_parent():
    return peers.framing()[:8] + [
        (name, frame(kind, payload)) for name, kind, payload in [
            ("connect, no entry", fakes.UNIX_CONNECT, u32(99)),
            ("connect, largest", fakes.UNIX_CONNECT, u32(0xffffffff)),
            ("connect, a spec", fakes.UNIX_CONNECT, u32(0)),
            ("connect, short", fakes.UNIX_CONNECT, b"\0\0\0"),
            ("connect, a path", fakes.UNIX_CONNECT, text("docker.sock")),
            ("connect, long", fakes.UNIX_CONNECT, u32(0) + b"docker.sock"),
            ("resolver, not sealed", fakes.RESOLVER_WANTED, b""),
            ("spawn", fakes.SPAWN, u32(9, 1, 0, 0, 0, 0) + text("")),
            ("stat", fakes.FILE_STAT, u32(0)),
            ("include", fakes.CFG_INCLUDE, text("/etc/shadow")),
            ("accuses the manager", 5, u8(MANAGER) + u32(0)),
            ("accuses httpd", 5, u8(HTTPD) + u32(0)),
        ]]


@pytest.mark.parametrize("attacks", groups(verifier_to_parent()))
def test_verifier_and_parent(owned, attacks):
    o, witness, verifier = start_verifier(owned, len(attacks))
    for _, raw in attacks:
        verifier.raw(raw)
        assert verifier.ended()
        if raw is not attacks[-1][1]:
            verifier = o.next("verifier")
    o.said(r"\[WARNING\].*muster-verifier 0: \w")
    witness.over()


@pytest.mark.parametrize("attacks", groups(rubbish() + [
    ("empty", frame(ATTEMPT)),
    ("one byte less", frame(ATTEMPT, attempt()[:-1])),
    ("one byte more", frame(ATTEMPT, attempt() + b"x")),
    ("neither passed nor not", frame(ATTEMPT, attempt(passed=2))),
    ("lines", frame(ATTEMPT, attempt(detail="x\n[ERROR] forged"))),
    ("terminal", frame(ATTEMPT, attempt(detail="\x1b[2J"))),
]))
def test_verifier_and_manager(owned, attacks):
    o, witness, verifier = start_verifier(owned, len(attacks))
    for _, raw in attacks:
        o.peer(verifier, MANAGER).raw(raw)
        assert verifier.ended()
        if raw is not attacks[-1][1]:
            verifier = o.next("verifier")
    o.said(r"muster-verifier 0: muster-manager complains of it")
    witness.over()


def test_docker(owned):
    """It may connect to what is listed, and to nothing else."""
    o, witness, verifier = start_verifier(owned, 99)
    listed = socket.socket(socket.AF_UNIX)
    listed.bind(str(o.m.dir / "listed.sock"))
    listed.listen()
    manager = o.peer(verifier, MANAGER)
    start = manager.receive(START)
    entry = int.from_bytes(start.payload[20:24], "little")
    verifier.send(fakes.UNIX_CONNECT, 1, u32(entry))
    got = verifier.receive(fakes.UNIX_CONNECTED)
    assert got.take("i") == 0
    os.close(got.fd)
    for other in [*range(entry), *range(entry + 1, entry + 3)]:
        verifier.send(fakes.UNIX_CONNECT, 1, u32(other))
        assert verifier.ended()
        witness.untouched()
        verifier = o.next("verifier")
    witness.over()


def test_lies_of_a_verifier(owned):
    """Of checks that are not; twice; and what it says passes once."""
    o, witness, verifier = start_verifier(owned)
    manager = o.peer(verifier, MANAGER)
    start = manager.receive(START)
    for number in (0, 1, 99, 0x7fffffff, 0x80000000, 0xffffffff):
        if number != start.id:
            manager.send(ATTEMPT, number, attempt(passed=1))
            manager.send(TRYING, number, text("x"))
    manager.send(ATTEMPT, start.id, attempt(0xffffffff))
    assert o.m.state("b") == "starting"
    manager.raw(frame(ATTEMPT, attempt(passed=1), number=start.id) * 100)
    o.m.wait_state("b", "running")
    manager.send(ATTEMPT, start.id, attempt())
    assert o.m.state("b") == "running" and not verifier.closed
    witness.over()


def test_floods_of_a_verifier(owned):
    """Of connects, whose descriptors it never takes; of attempts."""
    o, witness, verifier = start_verifier(owned, 2)
    listed = socket.socket(socket.AF_UNIX)
    listed.bind(str(o.m.dir / "listed.sock"))
    listed.listen(4096)
    manager = o.peer(verifier, MANAGER)
    start = manager.receive(START)
    entry = int.from_bytes(start.payload[20:24], "little")
    most = []
    done = threading.Event()
    thread = threading.Thread(target=lambda: most.extend(iter(
        lambda: done.is_set() or len(os.listdir(
            f"/proc/{witness.parent}/fd")), True)))
    thread.start()
    flood(verifier, frame(fakes.UNIX_CONNECT, u32(entry)) * 1000)
    done.set()
    thread.join()
    assert 10 < max(most) < 2000
    verifier = o.next("verifier")
    manager = o.peer(verifier, MANAGER)
    begun = time.monotonic()
    manager.raw(frame(ATTEMPT, attempt(), number=77) * 100000)
    assert o.m.get("/").status == 200
    assert time.monotonic() - begun < 10 * harness.patience()
    witness.over()


def test_resolver(owned):
    """It is believed by nobody, and ended when the verifier complains."""
    o = owned({"keep_alive": True, "http": {"workers": 1}, "processes": {
        "b": job("sleep", "4000", verify={
            "http": "http://name.invalid:1/", "timeout": "1h",
            "interval": "100ms"})}}, {"resolver": peers.first(4)})
    o.m.wait_state("b", "starting")
    witness = peers.Witness(o.m, len(o.m.all()))
    for payload in (b"", fakes.i32(0) + u32(17), fakes.i32(0) + u32(1)
                    + u8(5) + text(b"\0\0\0\0")):
        resolver = o.next("resolver")
        verifier = o.peer(resolver, peers.VERIFIER)
        question = verifier.receive(400)
        verifier.send(401, question.id, payload)
        assert resolver.ended()
    o.said(r"muster-resolver 0: muster-verifier complains of it")
    resolver = o.next("resolver")
    resolver.send(fakes.UNIX_CONNECT, 0, u32(0))
    assert resolver.ended()
    witness.over()


# --- the relay ---


def start_relay(owned, count=9, policy=None, **more):
    o = owned({"keep_alive": True, "http": {"workers": 1}, "processes": {
        "a": job("sleep", "4000"), "b": job("sleep", "4000")}, **more},
        {"relay": policy or peers.first(count)})
    o.m.wait_status()
    return o, peers.Witness(o.m), o.next("relay")


def relay_to_parent():
    return peers.framing()[:8] + [
        (name, frame(kind, payload)) for name, kind, payload in [
            ("journal, stream 0", fakes.JOURNAL_WANTED, u32(1) + u8(0)),
            ("journal, stream 3", fakes.JOURNAL_WANTED, u32(1) + u8(3)),
            ("journal, short", fakes.JOURNAL_WANTED, u32(1)),
            ("closed, stream 0", fakes.STREAM_CLOSED, u32(1, 1) + u8(0)),
            ("closed, long", fakes.STREAM_CLOSED, u32(1, 1) + b"\1\1"),
            ("open", fakes.STREAM_OPEN, u32(1, 1) + bytes(40)),
            ("connect", fakes.UNIX_CONNECT, u32(0)),
            ("spawn", fakes.SPAWN, u32(9, 1, 0, 0, 0, 0) + text("")),
            ("accuses the manager", 5, u8(MANAGER) + u32(0)),
            ("accuses nobody", 5, u8(HTTPD) + u32(99)),
        ]]


@pytest.mark.parametrize("attacks", groups(relay_to_parent()))
def test_relay_and_parent(owned, attacks):
    o, witness, relay = start_relay(owned, len(attacks))
    for _, raw in attacks:
        relay.raw(raw)
        assert relay.ended()
        if raw is not attacks[-1][1]:
            relay = o.next("relay")
    o.said(r"\[WARNING\].*muster-relay 0: \w")
    witness.over()


@pytest.mark.parametrize("attacks", groups(rubbish() + [
    ("drained, empty", frame(DRAINED)),
    ("drained, long", frame(DRAINED, u32(1, 1, 1))),
    ("tail, length", frame(TAIL_DONE, u32(9) + b"x")),
]))
def test_relay_and_manager(owned, attacks):
    o, witness, relay = start_relay(owned, len(attacks))
    for _, raw in attacks:
        o.peer(relay, MANAGER).raw(raw)
        assert relay.ended()
        if raw is not attacks[-1][1]:
            relay = o.next("relay")
    o.said(r"muster-relay 0: muster-manager complains of it")
    witness.over()


def test_lies_of_a_relay(owned):
    """About what is not, what has not ended, what nobody has asked."""
    o, witness, relay = start_relay(owned, 1)
    manager = o.peer(relay, MANAGER)
    for payload in (u32(0, 0), u32(1, 1), u32(1, 2), u32(99, 1),
                    u32(0xffffffff, 0xffffffff)):
        manager.send(DRAINED, 0, payload)
        relay.send(fakes.STREAM_CLOSED, 0, payload + u8(1))
    for number in (0, 1, 2, 99):
        manager.send(FLUSHED, number)
        manager.send(TAIL_DONE, number, text("a\nb"))
    for process in (0, 99, 0xffffffff):
        relay.send(fakes.JOURNAL_WANTED, 0, u32(process) + u8(1))
    assert o.m.get("/").status == 200 and not relay.closed
    witness.untouched()
    assert {p["state"] for p in o.m.all().values()} == {"running"}
    relay.die()
    witness.over()


def test_floods_of_a_relay(owned):
    """Of journals, whose descriptors it never takes."""
    o, witness, relay = start_relay(owned, 1)
    raw = b"".join(frame(fakes.JOURNAL_WANTED, u32(p) + u8(s))
                   for p in (1, 2) for s in (1, 2)) * 25000
    relay.raw(raw)
    o.m.get("/")
    assert len(os.listdir(f"/proc/{witness.parent}/fd")) < 200
    o.peer(relay, MANAGER).raw(frame(DRAINED, u32(1, 1)) * 100000)
    assert o.m.get("/").status == 200
    relay.die()
    witness.over()


@pytest.mark.parametrize("what", [
    dict(offset=2**64 - 1), dict(offset=2**63), dict(lost=2**64 - 1),
    dict(generation=0xffffffff), dict(error=5), dict(end=2),
    dict(size=0xffffffff), dict(data=b"x" * 32769), dict(number=77),
], ids=str)
def test_lies_about_output(owned, what):
    """A reader may be told rubbish; he and the worker survive it."""
    o, witness, relay = start_relay(owned, 1)
    worker = o.peer(relay, HTTPD)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(o.m.raw(
        b"GET /v1/processes/1/streams/stdout?follow=1 HTTP/1.0\r\n\r\n",
        over="unix")))
    thread.start()
    question = worker.receive(280)
    data = what.get("data", b"x")
    worker.send(READ_DONE, what.get("number", question.id),
                fakes.i32(what.get("error", 0))
                + u64(what.get("offset", 0)) + u64(what.get("lost", 0))
                + u32(what.get("generation", 1)) + u8(what.get("end", 0))
                + u32(what.get("size", len(data))) + data)
    assert o.m.get("/").status == 200
    relay.die()
    # Whoever follows waits for the next relay.
    witness.over()
    thread.join()
    assert answers and answers[0].startswith(b"HTTP/1.1 200")


def test_silent_relay(owned):
    """It reads and says nothing: all else goes on, and comes to an end."""
    o, witness, relay = start_relay(owned)
    for _ in range(3):
        assert o.m.get("/").status == 200
    assert not relay.closed
    witness.untouched()
    os.kill(o.m.pid, signal.SIGTERM)
    assert o.m.wait(30) == 0
