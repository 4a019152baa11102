"""Peers that say nonsense: the channel is lost, or we end; never more."""

import os
import random
import socket
import struct

import pytest

import harness
import imsgpeer
from imsgpeer import (CHECK_TCP, IMSG_CHECK_ATTEMPT, IMSG_CHECK_START,
                      IMSG_CHECK_STOP, IMSG_PEER, IMSG_RESOLVED, MS,
                      ROLE_MANAGER, ROLE_RESOLVER, ROLE_VERIFIER, check,
                      text, u8, u16, u32, u64)
from servers import answers, response

GOOD = check("http://127.0.0.1:1/", interval=60000 * MS)
HEAD = u8(1) + u8(0) + u8(0) + u8(0) + u64(MS) + u64(MS) + u32(0)
TAIL = u32(0) + u32(0) + text("") + u32(0) + u8(0) + u8(0) + text("")


def ask_again(verifier, serve):
    """A new manager is served as if nothing had been."""
    verifier.manager = verifier.connect(ROLE_MANAGER)
    server = serve(answers(response(200)))
    assert verifier.once(server.url()).passed


@pytest.mark.parametrize("payload", [
    b"", GOOD[:-1], GOOD + b"\0", u8(0) + GOOD[1:], u8(5) + GOOD[1:],
    u8(1) + u8(2) + GOOD[2:], u8(1) + u8(0) + u8(2) + GOOD[3:],
    check("http://127.0.0.1/\0"), check("x" * 8193),
    check(kind=CHECK_TCP, host="h" * 1025, port=1),
    check("http://h/", method="M" * 33),
    check("http://h/", fields=["a: b"] * 65),
    check("http://h/", wanted=["a"] * 65),
    check("http://h/", statuses=[(99, 200)]),
    check("http://h/", statuses=[(200, 1000)]),
    check("http://h/", statuses=[(300, 200)]),
    check("http://h/", statuses=[(200, 200)] * 65),
    HEAD + text("") + u16(0) + text("http://h/") + text("") +
    u32(0xffffffff) + TAIL,
    HEAD + text("") + u16(0) + u32(0xffffffff) + b"http",
    HEAD + text("") + u16(0) + text("http://h/") + text("") + u32(0) +
    u32(0xffffffff),
], ids=range(20))
def test_malformed_check(verifier, serve, payload):
    verifier.manager.send(IMSG_CHECK_START, 1, payload)
    assert verifier.manager.ended()
    ask_again(verifier, serve)


def test_number_that_is_in_use(verifier, serve):
    verifier.manager.send(IMSG_CHECK_START, 1, GOOD)
    verifier.manager.send(IMSG_CHECK_STOP, 1)
    verifier.manager.send(IMSG_CHECK_START, 1, GOOD)
    assert verifier.manager.receive().kind == IMSG_CHECK_ATTEMPT
    verifier.manager.send(IMSG_CHECK_START, 1, GOOD)
    assert verifier.manager.ended()
    ask_again(verifier, serve)


@pytest.mark.timeout(120)
def test_too_many_checks(verifier, serve):
    one = check(kind=CHECK_TCP, host="127.0.0.1", port=1, forever=True,
                interval=86400000 * MS)
    for i in range(16384):
        verifier.manager.send(IMSG_CHECK_START, i, one)
    assert not verifier.manager.ended(1)
    verifier.manager.send(IMSG_CHECK_START, 16384, one)
    assert verifier.manager.ended(20 * harness.patience())
    ask_again(verifier, serve)


@pytest.mark.parametrize("kind", [0, IMSG_PEER, IMSG_CHECK_ATTEMPT,
                                  IMSG_RESOLVED, 0xffffffff])
def test_message_of_others(verifier, serve, kind):
    verifier.manager.send(kind, 1, b"abcd")
    assert verifier.manager.ended()
    ask_again(verifier, serve)


def test_stop_with_payload(verifier, serve):
    verifier.manager.send(IMSG_CHECK_STOP, 1, b"x")
    assert verifier.manager.ended()
    ask_again(verifier, serve)


@pytest.mark.parametrize("header", [
    struct.pack("=IIII", IMSG_CHECK_START, 0, 1, 0),
    struct.pack("=IIII", IMSG_CHECK_START, 15, 1, 0),
    struct.pack("=IIII", IMSG_CHECK_START, 0x7fffffff, 1, 0),
    struct.pack("=IIII", IMSG_CHECK_STOP, 0x80000010, 1, 0),
    b"\xff" * 64,
])
def test_malformed_header(verifier, serve, header):
    verifier.manager.send_raw(header)
    # A descriptor that is announced and not there is ignored on a channel
    # that takes none.
    if header[4:8] == struct.pack("=I", 0x80000010):
        assert not verifier.manager.ended(0.3)
        return
    assert verifier.manager.ended()
    ask_again(verifier, serve)


def test_descriptors_of_the_manager_are_not_taken(verifier, serve):
    server = serve(answers(response(200)))
    assert verifier.once(server.url()).passed
    fds = len(os.listdir(f"/proc/{verifier.pid}/fd"))
    for i in range(50):
        verifier.manager.send(IMSG_CHECK_STOP, i + 1000, b"", 0)
    assert verifier.once(server.url()).passed
    assert len(os.listdir(f"/proc/{verifier.pid}/fd")) < fds + 5


def test_manager_goes_and_comes(verifier, serve):
    server = serve(answers(response(200)))
    for _ in range(20):
        for _ in range(20):
            verifier.start(server.url(), forever=True, interval=3 * MS)
        verifier.manager.close()
        verifier.manager = verifier.connect(ROLE_MANAGER)
    # What the earlier ones had asked for is forgotten.
    number = verifier.start(server.url(), forever=True, interval=30 * MS)
    for _ in range(10):
        assert verifier.manager.receive().id == number


def test_manager_that_does_not_read(verifier, serve):
    """Its queue is bounded: it is given up, the next one is served."""
    for i in range(2000):
        verifier.manager.send(IMSG_CHECK_START, i, check(
            "http://127.0.0.1:1/" + "x" * 200, interval=1 * MS,
            forever=True))
    with open(f"/proc/{verifier.pid}/statm", encoding="ascii") as f:
        assert int(f.read().split()[1]) * 4096 < 300 << 20
    ask_again(verifier, serve)


@pytest.mark.parametrize("kind, payload, with_fd", [
    (IMSG_PEER, b"", True), (IMSG_PEER, u8(ROLE_MANAGER) + u32(0), False),
    (IMSG_PEER, u8(ROLE_VERIFIER) + u32(0), True),
    (IMSG_PEER, u8(0) + u32(0), True), (IMSG_PEER, u8(255) + u32(0), True),
    (IMSG_PEER, u8(ROLE_MANAGER) + u32(0) + b"x", True),
    (IMSG_CHECK_START, GOOD, False), (0, b"", False), (4711, b"x" * 9000,
                                                       True),
])
def test_malformed_parent(verifier, kind, payload, with_fd):
    """Without a parent that can be trusted there is nothing to do."""
    with socket.socket(socket.AF_UNIX) as s:
        verifier.parent.send(kind, 0, payload, s.fileno() if with_fd else None)
    assert verifier.wait() == 0


def test_peer_that_is_no_socket(verifier, serve):
    with open("/dev/null", "rb") as f:
        for role in ROLE_MANAGER, ROLE_RESOLVER:
            verifier.parent.send(IMSG_PEER, 0, u8(role) + u32(0), f.fileno())
    ask_again(verifier, serve)


def test_parent_goes(verifier, serve):
    server = serve(answers(response(200)))
    for _ in range(50):
        verifier.start(server.url(), forever=True, interval=5 * MS)
    verifier.parent.close()
    assert verifier.wait() == 0


@pytest.mark.timeout(120)
def test_random_messages(components):
    """Whatever comes, the end is an orderly one."""
    dice = random.Random(4711)
    for _ in range(15):
        v = components.start(imsgpeer.Verifier, "muster-verifier")
        try:
            for i in range(200):
                payload = bytearray(GOOD)
                for _ in range(dice.randrange(4)):
                    payload[dice.randrange(len(payload))] = dice.randrange(256)
                if dice.random() < 0.1:
                    payload = payload[:dice.randrange(len(payload))]
                peer = v.parent if dice.random() < 0.002 else v.manager
                peer.send(dice.choice([IMSG_CHECK_START, IMSG_CHECK_STOP]),
                          i, bytes(payload))
                if v.manager.closed or dice.random() < 0.05:
                    v.manager = v.connect(ROLE_MANAGER)
        except (BrokenPipeError, ConnectionResetError):
            pass
        v.parent.close()
        assert v.wait() == 0
