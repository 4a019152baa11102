"""Many checks at once: nobody waits for those that never answer."""

import os
import signal
import socket
import subprocess
import time

import pytest

import harness
import imsgpeer
from imsgpeer import CHECK_TCP, IMSG_CHECK_ATTEMPT, MS
from servers import answers, response

LISTENERS = 8


@pytest.fixture
def blackholes():
    """Ports that take connections into their queue and never answer."""
    mine = []
    for _ in range(LISTENERS):
        s = socket.socket()
        s.bind(("0.0.0.0", 0))
        s.listen(4096)
        mine.append(s)
    yield [s.getsockname()[1] for s in mine]
    for s in mine:
        s.close()


def dead_urls(ports, count):
    return [f"http://127.1.{i // 250}.{1 + i % 250}:{ports[i % len(ports)]}/"
            for i in range(count)]


def latency(verifier, url, tries):
    """Sorted milliseconds from asking to knowing, for a good URL."""
    found = []
    for _ in range(tries):
        start = time.monotonic()
        a = verifier.once(url)
        assert a.passed
        found.append((a.time - start) * 1000)
        time.sleep(0.02)
    return sorted(found)


@pytest.mark.timeout(120)
def test_dead_urls_delay_nobody(verifier, serve, blackholes):
    good = serve(answers(response(200)))
    alone = latency(verifier, good.url(), 20)
    for url in dead_urls(blackholes, 2000):
        verifier.start(url, timeout=1000 * MS, interval=100 * MS)
    time.sleep(1)
    # All of them hang, time out and begin anew meanwhile.
    among = latency(verifier, good.url(), 60)
    # The machine's own noise is in both.
    assert among[len(among) // 2] < alone[len(alone) // 2] + 50 * harness.patience()
    assert among[-6] < alone[-2] + 100 * harness.patience()
    assert len({a.id for a in verifier.waiting}) > 1000


def test_few_descriptors(components, serve, blackholes):
    """Where they are few, URLs that answer come before those that do not."""
    v = components.start(LimitedVerifier, "muster-verifier")
    server = serve(answers(response(200)))
    number = v.start(server.url(), forever=True, interval=50 * MS)
    assert v.attempt(number).passed
    for url in dead_urls(blackholes, 500):
        v.start(url, timeout=500 * MS, interval=50 * MS)
    time.sleep(1)
    v.waiting.clear()
    end = time.monotonic() + 2
    count = 0
    while time.monotonic() < end:
        assert v.attempt(number).passed
        count += 1
    assert count > 10 / harness.SLOW
    # The others have their turn as well, all of them.
    seen = set()
    end = time.monotonic() + 20 * harness.patience()
    while len(seen) < 500 and time.monotonic() < end:
        v.attempt(number)
        seen |= {a.id for a in v.waiting}
        assert all("timed out" in a.detail for a in v.waiting)
        v.waiting.clear()
    assert len(seen) == 500


class LimitedVerifier(imsgpeer.Verifier):
    """A verifier with 256 descriptors."""

    def __init__(self, binary, **options):
        script = os.path.join(os.path.dirname(options["stderr"].name), "few")
        with open(script, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nulimit -n 256\nexec {binary} "$@"\n')
        os.chmod(script, 0o755)
        super().__init__(script, **options)


@pytest.mark.timeout(120)
def test_storms(verifier, serve):
    """Starts and stops as fast as they can be sent."""
    server = serve(answers(response(200)))
    closed = harness.free_port()
    for round_ in range(5):
        numbers = []
        for i in range(2000):
            numbers.append(verifier.start(
                server.url() if i % 50 == 0 else f"http://127.0.0.1:{closed}/",
                interval=5 * MS, forever=i % 3 == 0))
            if i % 2:
                verifier.stop(numbers[i // 2])
        for n in numbers:
            verifier.stop(n)
        while verifier.manager.receive(0.01):
            pass
    verifier.waiting.clear()
    assert verifier.once(server.url()).passed
    while verifier.manager.receive(0.2):
        pass
    # All of them are forgotten.
    cpu = verifier.cpu()
    time.sleep(1)
    assert verifier.cpu() - cpu < 0.05
    assert len(os.listdir(f"/proc/{verifier.pid}/fd")) < 200


def test_idle(verifier, serve):
    """No check is due: no wakeup."""
    server = serve(answers(response(200)))
    for _ in range(100):
        verifier.start(server.url(), forever=True, interval=86400000 * MS)
    number = verifier.start(server.url(), forever=True, interval=2000 * MS)
    assert verifier.attempt(number).passed
    verifier.stop(number)
    time.sleep(1.5)

    def switches():
        with open(f"/proc/{verifier.pid}/status", encoding="ascii") as f:
            return int(f.read().split("\nvoluntary_ctxt_switches:")[1].split()[0])

    def rests():
        before = switches()
        time.sleep(1.5)
        return switches() == before

    # What the start has needed is given back in the first seconds.
    harness.wait_for("a rest", rests)
    assert rests()


def test_thousand_at_once(verifier, serve):
    server = serve(answers(response(200)))
    numbers = [verifier.start(server.url()) for _ in range(1000)]
    for n in numbers:
        assert verifier.attempt(n, 40).passed
    for _ in range(300):
        verifier.start(kind=CHECK_TCP, host="127.0.0.1", port=server.port)
    for _ in range(300):
        m = verifier.manager.receive(10)
        assert m.kind == IMSG_CHECK_ATTEMPT and imsgpeer.Attempt(m).passed


def test_frozen_server(verifier):
    """One that is stopped (SIGSTOP) is seen; and that it goes on."""
    program = ("import http.server as h\n"
               "s = h.HTTPServer(('127.0.0.1', 0), h.BaseHTTPRequestHandler)\n"
               "h.BaseHTTPRequestHandler.do_GET = lambda s: "
               "(s.send_response(200), s.end_headers())\n"
               "print(s.server_port, flush=True)\ns.serve_forever()\n")
    with subprocess.Popen([harness.PYTHON, "-c", program], text=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        port = int(p.stdout.readline())
        number = verifier.start(f"http://127.0.0.1:{port}/", forever=True,
                                interval=100 * MS,
                                timeout=300 * harness.patience() * MS)
        assert verifier.attempt(number).passed
        p.send_signal(signal.SIGSTOP)
        harness.wait_for("a failed attempt", lambda: "timed out" in
                         verifier.attempt(number).detail)
        p.send_signal(signal.SIGCONT)
        harness.wait_for("a passed attempt",
                         lambda: verifier.attempt(number).passed)
        p.kill()
