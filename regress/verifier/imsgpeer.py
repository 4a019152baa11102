"""Plays musterd's parent and manager to a real component, over imsg.

Header of a message: type, length with the header (bit 31: a descriptor comes
along), id, pid; four u32 in host order. See common/imsg.h, common/message.h.
"""

import array
import os
import select
import signal
import socket
import struct
import subprocess
import time

HEADER = struct.Struct("=IIII")
FD_MARK = 1 << 31
COMPONENT_FD = 3

IMSG_LOG, IMSG_PEER = 1, 2
IMSG_CHECK_START, IMSG_CHECK_STOP, IMSG_CHECK_ATTEMPT, IMSG_CHECK_TRYING = \
    range(360, 364)
IMSG_UNIX_CONNECT, IMSG_UNIX_CONNECTED, IMSG_RESOLVER_WANTED = range(380, 383)
IMSG_RESOLVE, IMSG_RESOLVED = 400, 401
ROLE_MANAGER, ROLE_VERIFIER, ROLE_RESOLVER = 2, 3, 4
CHECK_HTTP, CHECK_TCP, CHECK_UNIX, CHECK_HTTP_UNIX = 1, 2, 3, 4
MS = 1000000


def u8(value):
    return struct.pack("=B", value)


def u16(value):
    return struct.pack("=H", value)


def u32(value):
    return struct.pack("=I", value)


def i32(value):
    return struct.pack("=i", value)


def u64(value):
    return struct.pack("=Q", value)


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return u32(len(raw)) + raw


def texts(values):
    return u32(len(values)) + b"".join(map(text, values))


class Message:
    """A message that has come."""

    def __init__(self, kind, number, payload, fd):
        self.kind = kind
        self.id = number
        self.payload = payload
        self.fd = fd
        self.time = time.monotonic()

    def take(self, form):
        size = struct.calcsize("=" + form)
        values = struct.unpack("=" + form, self.payload[:size])
        self.payload = self.payload[size:]
        return values[0] if len(values) == 1 else values

    def text(self):
        size = self.take("I")
        raw, self.payload = self.payload[:size], self.payload[size:]
        return raw.decode()


class Peer:
    """Our end of a channel."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.buffer = b""
        self.fds = []
        self.closed = False

    def send(self, kind, number=0, payload=b"", fd=None):
        size = HEADER.size + len(payload)
        raw = HEADER.pack(kind, size | (FD_MARK if fd is not None else 0),
                          number, 0) + payload
        self.send_raw(raw, fd)

    def send_raw(self, raw, fd=None):
        extra = []
        if fd is not None:
            extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                      array.array("i", [fd]))]
        while raw:
            try:
                sent = self.sock.sendmsg([raw], extra)
            except BlockingIOError:
                select.select([], [self.sock], [], 5)
                continue
            raw, extra = raw[sent:], []

    def _fill(self):
        try:
            raw, extra, _, _ = self.sock.recvmsg(1 << 20, 4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            raw, extra = b"", []
        for level, kind, data in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                got = array.array("i")
                got.frombytes(data[:len(data) // 4 * 4])
                self.fds += got
        self.closed = self.closed or not raw
        self.buffer += raw

    def _next(self):
        if len(self.buffer) < HEADER.size:
            return None
        kind, size, number, _ = HEADER.unpack_from(self.buffer)
        length = size & ~FD_MARK
        if len(self.buffer) < length:
            return None
        payload = self.buffer[HEADER.size:length]
        self.buffer = self.buffer[length:]
        fd = self.fds.pop(0) if size & FD_MARK else None
        return Message(kind, number, payload, fd)

    def receive(self, timeout=5):
        """The next message; None after the timeout or at the end."""
        end = time.monotonic() + timeout
        while True:
            message = self._next()
            if message or self.closed:
                return message
            left = end - time.monotonic()
            if not select.select([self.sock], [], [], max(0, left))[0]:
                return None
            self._fill()

    def ended(self, timeout=5):
        """Whether the other end is closed within the time."""
        end = time.monotonic() + timeout
        while not self.closed and time.monotonic() < end:
            self.receive(end - time.monotonic())
        return self.closed

    def close(self):
        self.sock.close()


class Component:
    """A program of muster with us as its parent."""

    def __init__(self, binary, *args, stderr=None, env=None):
        ours, theirs = socket.socketpair()
        self.stderr = stderr
        self.popen = subprocess.Popen(
            [str(binary), "-i", "0", "-t", *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=stderr,
            pass_fds=(COMPONENT_FD,), env={"PATH": "/usr/bin:/bin", **(env or {})},
            # The Popen of this Python has no other way to a given number.
            preexec_fn=lambda: os.dup2(theirs.fileno(), COMPONENT_FD))
        theirs.close()
        self.parent = Peer(ours)
        self.pid = self.popen.pid

    def connect(self, role, instance=0):
        """A channel to it as another program; also replaces an earlier."""
        ours, theirs = socket.socketpair()
        self.parent.send(IMSG_PEER, 0, u8(role) + u32(instance),
                         theirs.fileno())
        theirs.close()
        return Peer(ours)

    def asks(self, timeout=5):
        """The next message to the parent that is not a line for the log."""
        end = time.monotonic() + timeout
        while True:
            m = self.parent.receive(max(0, end - time.monotonic()))
            if m is None or m.kind != IMSG_LOG:
                return m

    def wait(self, timeout=10):
        return self.popen.wait(timeout)

    def running(self):
        return self.popen.poll() is None

    def cpu(self):
        """Seconds of CPU that it has used."""
        with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9

    def close(self):
        self.parent.close()
        try:
            return self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()
            raise


def check(url="", kind=CHECK_HTTP, host="", port=0, interval=1000 * MS,
          timeout=5000 * MS, method="", fields=(), statuses=(), body="",
          wanted=(), redirects=0, insecure=False, ca=b"", forever=False,
          verbose=False, fixed=False, entry=0xffffffff):
    """The payload of IMSG_CHECK_START, see common/check.h."""
    ranges = b"".join(u16(a) + u16(b) for a, b in statuses)
    return b"".join([
        u8(kind), u8(forever), u8(verbose), u8(fixed), u64(int(interval)),
        u64(int(timeout)), u32(entry), text(host), u16(port), text(url),
        text(method), texts(fields), u32(len(statuses)), ranges, text(body),
        texts(wanted), u8(redirects), u8(insecure), text(ca)])


class Attempt:
    """IMSG_CHECK_ATTEMPT."""

    def __init__(self, message):
        self.id = message.id
        self.time = message.time
        self.number, self.passed, self.elapsed, self.status = \
            message.take("IBQH")
        self.detail = message.text()
        assert not message.payload
        assert len(self.detail) < 256 and self.detail.isprintable()

    def __repr__(self):
        return (f"<{self.id} attempt {self.number} passed={self.passed} "
                f"http={self.status} {self.elapsed / 1e6:.1f} ms "
                f"{self.detail!r}>")


class Verifier(Component):
    """muster-verifier with us as its parent and manager."""

    def __init__(self, binary, *args, **options):
        super().__init__(binary, *args, **options)
        self.manager = self.connect(ROLE_MANAGER)
        self.last = 0
        self.waiting = []

    def start(self, *args, **options):
        self.last += 1
        self.manager.send(IMSG_CHECK_START, self.last, check(*args, **options))
        return self.last

    def stop(self, number):
        self.manager.send(IMSG_CHECK_STOP, number)

    def attempt(self, number, timeout=15):
        """The next attempt of this check; the others' are kept."""
        end = time.monotonic() + timeout
        for a in self.waiting:
            if a.id == number:
                self.waiting.remove(a)
                return a
        while True:
            message = self.manager.receive(max(0, end - time.monotonic()))
            assert message, f"no attempt of {number} within {timeout} s"
            if message.kind != IMSG_CHECK_ATTEMPT:
                continue
            a = Attempt(message)
            if a.id == number:
                return a
            self.waiting.append(a)

    def once(self, *args, **options):
        """Starts a check and returns its first attempt."""
        number = self.start(*args, **options)
        first = self.attempt(number)
        if not first.passed:
            self.stop(number)
        return first

    def until_passed(self, number, timeout=15):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            a = self.attempt(number, end - time.monotonic())
            if a.passed:
                return a
        raise AssertionError(f"{number} did not pass within {timeout} s")
