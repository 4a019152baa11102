"""Clients that have gone keep nothing, whatever they said before they went."""

import os
import socket
import time

import pytest

import harness
from harness import job, wait_for

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
HEAD = b"%s HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n\r\n"
FOLLOW = b"GET /v1/processes/1/streams/1?follow=1"


@pytest.fixture(params=["tcp", "unix"])
def over(request):
    return request.param


def descriptors(m):
    return sum(len(os.listdir(f"/proc/{p.pid}/fd"))
               for p in m.component("muster-httpd"))


def opened(m, over):
    c = m.connect(over, 20)
    c.connect()
    return c.sock


@pytest.mark.parametrize("form", [b"application/x-ndjson", b"text/plain",
                                  b"text/event-stream"])
@pytest.mark.parametrize("last", [b"", b"x", HEAD % (b"GET /status", b"*/*")],
                         ids=["nothing", "a byte", "a request"])
def test_followers(musterd, over, form, last):
    """Of one that writes nothing."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    wait_for("two workers", lambda: len(m.component("muster-httpd")) == 2)
    for _ in range(10):     # both have all their channels
        assert m.status(over) == "running"
    before = descriptors(m)
    for _ in range(30):
        with opened(m, over) as s:
            s.sendall(HEAD % (FOLLOW, form))
            assert s.recv(100).startswith(b"HTTP/1.1 200 ")
            s.sendall(last)
    wait_for("their end", lambda: descriptors(m) <= before + 15, 10)


def test_those_who_wait_make_room(musterd):
    """Who asked for a state to come, and did not wait for it."""
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", verify={"file": "never", "timeout": 0})},
        "http": {"workers": 1}})
    m.wait_status("launching processes")
    for n in range(1100):
        with opened(m, "unix" if n % 2 else "tcp") as s:
            s.sendall(HEAD % (b"GET /v1/ready?wait=600", b"*/*"))
            s.sendall(b"x" * (n % 3 == 0))
    for over in "tcp", "unix":
        assert m.status(over) == "launching processes"
    # Who is there is answered.
    with opened(m, "tcp") as s:
        s.sendall(HEAD % (b"GET /v1/ready?wait=600", b"*/*"))
        s.shutdown(socket.SHUT_WR)
        (m.dir / "never").touch()
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_reader_who_pauses(musterd):
    """Nobody else wants his place: he goes on where he was."""
    m = musterd({**KEEP, "processes": {"a": job(
        "yes", "x" * 100, suppress_output=True, capture=65536)}})
    m.wait_status()
    with opened(m, "tcp") as s:
        s.sendall(HEAD % (FOLLOW, b"text/plain"))
        time.sleep(33)
        got = 0
        while got < 8 << 20:
            more = s.recv(65536)
            assert more
            got += len(more)
