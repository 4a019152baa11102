"""A real musterd of which some programs are in an attacker's hands.

MUSTER_LIBEXEC names a private tree: links to the real programs, but for those
that are owned.  Each of these asks the test, whenever it is started, what it
is to be: "real", "own" (the test itself speaks on its channels) or "proxy"
(the real one works, and the test can say something in its name).
"""

import os
import pathlib
import queue
import shutil
import socket
import struct
import tempfile
import threading
import time

import fakes
import harness
from fakes import i32, text, u16, u32, u64, u8  # noqa: F401

ROLES = {2: "manager", 3: "verifier", 4: "resolver", 5: "relay", 6: "httpd"}
MANAGER, VERIFIER, RESOLVER, RELAY, HTTPD = range(2, 7)

# Descriptors come from musterd alone, and go to the real one in proxy mode.
STUB = """#!/usr/bin/python3 -SE
import array, os, select, socket, sys
name = os.path.basename(sys.argv[0])
real = {real!r} + "/" + name
down = socket.socket(socket.AF_UNIX)
down.connect({path!r})
down.sendall((" ".join([str(os.getpid()), name, *sys.argv[1:]])
              + "\\n").encode())
what = down.recv(1)
if what == b"r":
    os.execv(real, [real, *sys.argv[1:]])
if what == b"o":
    # The test has the channel, as long as we live.
    socket.send_fds(down, [b"x"], [3])
    os.close(3)
    down.recv(1)
    os._exit(0)
up = socket.socket(fileno=3)
ours, theirs = socket.socketpair()
if os.fork() == 0:
    up.detach()
    os.dup2(theirs.detach(), 3)
    os.execv(real, [real, *sys.argv[1:]])
theirs.close()
whole = b""

while True:
    for s in select.select([up, ours, down], [], [])[0]:
        if s is up:
            data, extra, _, _ = up.recvmsg(1 << 18, 2048)
            if not data:
                os._exit(0)
            fds = array.array("i")
            for _, _, raw in extra:
                fds.frombytes(raw)
            n = ours.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                       fds)] if fds else [])
            ours.sendall(data[n:])
            for fd in fds:
                os.close(fd)
        elif s is down:
            # What is said at once stays together: 8 bytes, its length.
            data = down.recv(8, socket.MSG_WAITALL)
            if not data:
                os._exit(0)
            left = int.from_bytes(data, "little")
            while left > 0:
                data = down.recv(min(left, 1 << 18))
                up.sendall(data)
                left -= len(data)
        else:
            # Only whole messages: something may be said in between.
            data = ours.recv(1 << 18)
            if not data:
                os._exit(0)
            whole += data
            while len(whole) >= 16:
                size = int.from_bytes(whole[4:8], sys.byteorder) & 0x7fffffff
                if len(whole) < size:
                    break
                up.sendall(whole[:size])
                whole = whole[size:]
"""


class Channel(fakes.Component):
    """A channel to another program, that a component was given."""

    def __init__(self, parent, fd, name):    # pylint: disable=W0231
        self.parent = parent
        self.sock = socket.socket(fileno=fd)
        self.name = name
        self.pid = 0
        self.buffer = b""
        self.fds = []
        self.closed = False
        self.kept = []


class Proxy(fakes.Component):
    """A real one, in whose name we can speak."""

    def raw(self, data):
        super().raw(len(data).to_bytes(8, "little") + data)


class Owned:
    """who: {role: policy}; a policy gets (how many before, instance) and says
    what the next one is to be."""

    def __init__(self, musterd, config, who, **options):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="muster-",
                                                 dir="/tmp"))
        self.dir.chmod(0o755)
        libexec = self.dir / "libexec"
        libexec.mkdir()
        real = harness.OBJ / "libexec/muster"
        path = str(self.dir / "ask")
        self.who = who
        self.births = {}        # when each of them was started
        self.channels = []
        self.queues = {name: queue.Queue() for name in who}
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        for program in real.iterdir():
            link = libexec / program.name
            if program.name.removeprefix("muster-") in who:
                link.write_text(STUB.format(real=str(real), path=path))
                link.chmod(0o755)
            else:
                link.symlink_to(program)
        self.thread = threading.Thread(target=self._answer, daemon=True)
        self.thread.start()
        env = {"MUSTER_LIBEXEC": str(libexec), **options.pop("env", {})}
        self.m = musterd(config, env=env, **options)

    def _answer(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            c = Proxy(self, sock)
            name = c.name.removeprefix("muster-")
            instance = next((int(a[2:]) for a in c.args
                             if a.startswith("-i")), 0)
            births = self.births.setdefault((name, instance), [])
            what = self.who[name](len(births), instance)
            births.append(time.monotonic())
            if what != "proxy":
                c.__class__ = fakes.Component
            try:
                sock.sendall(what[:1].encode())
            except OSError:
                continue
            if what == "own":
                _, fds, _, _ = socket.recv_fds(sock, 1, 1)
                c.alive, c.sock = sock, socket.socket(fileno=fds[0])
            if what == "real":
                sock.close()
            else:
                self.channels.append(c)
                self.queues[name].put(c)

    def next(self, name, timeout=10):
        """The next one of this role that is ours."""
        try:
            return self.queues[name].get(timeout=timeout * harness.patience())
        except queue.Empty:
            raise harness.Failure(f"no {name} was started\n{self.tail()}") \
                from None

    def peer(self, component, role, timeout=10):
        """The channel to another program that the component is given."""
        while True:
            m = component.receive(fakes.PEER, timeout=timeout)
            if m.take("BI")[0] == role:
                self.channels.append(Channel(self, m.fd, ROLES[role]))
                return self.channels[-1]
            os.close(m.fd)

    def tail(self):
        return self.m.tail()

    def said(self, pattern, timeout=10):
        return self.m.wait_text(pattern, timeout)

    def end(self):
        self.listener.close()
        for c in self.channels:
            c.sock.close()
            if hasattr(c, "alive"):
                c.alive.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# What an owned program does.


def always(what):
    return lambda before, instance: what


def first(count, what="own", of=None):
    """The first `count` of each instance (of one) are ours, then real."""
    return lambda before, instance: what if before < count and (
        of is None or instance == of) else "real"


def frame(kind, payload=b"", size=None, number=0, mark=False):
    size = 16 + len(payload) if size is None else size
    return struct.pack("=IIII", kind, size | (1 << 31 if mark else 0), number,
                       0) + payload


def framing():
    """Bytes that are no messages: (name, bytes)."""
    return [
        ("length 0", frame(1, size=0)),
        ("shorter than its header", frame(1, size=15)),
        ("a byte too long", frame(1, size=65537)),
        ("huge", frame(1, size=0x7fffffff)),
        ("a descriptor that is none", frame(1, mark=True)),
        ("noise", bytes(range(255, -1, -1)) * 16),
        ("empty", frame(9999)),
        ("16 KiB", frame(9999, bytes(16384))),
        ("another's", frame(fakes.PEER, u8(MANAGER) + u32(0))),
        ("log, short", frame(fakes.LOG, u8(1) + text("httpd"))),
        ("log, level", frame(fakes.LOG, u8(4) + text("") + text(""))),
        ("log of another", frame(fakes.LOG, u8(1) + text("parent")
                                 + text("all is well"))),
        ("log, huge string", frame(fakes.LOG, u8(1) + u32(0xffffffff))),
    ]


class Witness:
    """What must be as before, whatever the attack."""

    def __init__(self, m, jobs=2):
        self.m = m
        self.guard = m.pid
        self.parent = m.parent().pid
        # All have reached their exec.
        harness.wait_for("its jobs", lambda: len(m.jobs()) == jobs)
        self.jobs = sorted((p.pid, p.start) for p in m.jobs())
        self.canary = m.dir / "canary"
        self.docker = socket.socket(socket.AF_UNIX)
        self.docker.bind(str(m.dir / "docker.sock"))
        self.docker.listen()
        self.docker.setblocking(False)

    def untouched(self):
        """Nothing was run, opened or connected; all lives."""
        assert not self.canary.exists()
        try:
            self.docker.accept()
            raise AssertionError("somebody has connected")
        except BlockingIOError:
            pass
        assert self.m.running() and self.m.parent().pid == self.parent
        assert sorted((p.pid, p.start) for p in self.m.jobs()) == self.jobs

    def over(self, code=0):
        """As untouched; it still answers, and ends when it is told to."""
        self.untouched()
        harness.wait_for("an answer", lambda: self.m.status() is not None)
        begun = time.monotonic()
        assert self.m.stop() == code
        assert time.monotonic() - begun < 10 * harness.patience()
        self.docker.close()
