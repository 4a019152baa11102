"""A real musterd whose components are this test.

MUSTER_LIBEXEC names a directory of bridges: each is started as a component
and hands on what musterd says to the test, descriptors included, and back. So
the test plays manager, relay, httpd, verifier and resolver, well or badly.

See common/message.h and common/spec.h for the formats.
"""

import array
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import harness

HEADER = struct.Struct("=IIII")
FD_MARK = 1 << 31
NONE = 0xffffffff       # NO_ENTRY, NO_UMASK
NO_NICE = 0x7fffffff
MS = 1000000

LOG, PEER, CELLS, SEQUENCE_PAGE = range(1, 5)
CFG_SNAPSHOT, CFG_INCLUDE, CFG_INCLUDED, CFG_VERDICT = range(100, 104)
ENTRY, ENTRY_BEGIN, ENTRY_DATA, SEAL, SEALED, SEAL_REFUSED = range(120, 126)
WORLD_PROC, WORLD_BLOB, WORLD_END = range(140, 143)
(SPAWN, SIGNAL, KILL, ACK, FORGET, BARRIER, STDIN) = range(160, 167)
(STARTED, SPAWN_FAILED, EXITED, GONE, BARRIER_DONE, SIGNALLED,
 COMPONENT_LOST) = range(180, 187)
(BLOB_SET, FILE_STAT, FILE_STAT_DONE, QUIT, DAEMON_READY, REOPEN, RELOAD,
 RELOAD_DONE, ADOPTED, NOTIFY, PROC_STATS, SYSLOG) = range(200, 212)
(STREAM_OPEN, STREAM_JOURNAL, STREAM_EXIT, STREAM_FORGET, SINK_OPEN,
 SINK_CLOSE, CONSOLE_OPEN) = range(220, 227)
JOURNAL_WANTED, STREAM_CLOSED = 240, 241
CONSOLE_WRITE, CONSOLE_FLUSH = 260, 261
LISTENER = 300
UNIX_CONNECT, UNIX_CONNECTED, RESOLVER_WANTED = range(380, 383)

E_SPEC, E_LOGFILE, E_UNIX, E_FILE, E_LISTEN, E_SOCKET = range(1, 7)
BOOT, CRASH, CHECK = 1, 2, 3
(S_NONE, S_SKIPPED, S_RESOURCE, S_LOGFILE, S_CGROUP, S_CLONE, S_SETSID,
 S_STDIO, S_LIMIT, S_NICE, S_GROUPS, S_USER, S_CHDIR, S_EXEC, S_ENVIRONMENT,
 S_SOCKET, S_ENTRY) = range(17)
LEADER, GROUP, ALL, REST = range(4)
NULL, PIPE, INHERIT, JOIN = range(4)
CLEAR_ENV, GROUPS, FOREGROUND, REPORT, PROBE, ABOUT = 1, 2, 4, 8, 16, 32
(TEXT, INSTANCE, NAME, FILENO, PORT, PATH, PID_OF, REPORT_FD) = range(8)
SPAWNING, RUNNING, ENDED, IDLE, LEFT = 1, 2, 3, 4, 5

BRIDGE = """#!/usr/bin/python3 -SE
import array, os, select, socket, sys
up = socket.socket(fileno=3)
down = socket.socket(socket.AF_UNIX)
down.connect({path!r})
name = os.path.basename(sys.argv[0]) + " " + " ".join(sys.argv[1:])
down.sendall((str(os.getpid()) + " " + name + "\\n").encode())
while True:
    for s in select.select([up, down], [], [])[0]:
        data, extra, _, _ = s.recvmsg(1 << 18, 256)
        fds = array.array("i")
        for _, _, raw in extra:
            fds.frombytes(raw)
        if not data:
            os._exit(0)
        other = down if s is up else up
        n = other.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                    fds)] if fds else [])
        other.sendall(data[n:])
        for fd in fds:
            os.close(fd)
"""


def u8(value):
    return struct.pack("=B", value)


def u16(value):
    return struct.pack("=H", value)


def u32(*values):
    return struct.pack(f"={len(values)}I", *values)


def i32(value):
    return struct.pack("=i", value)


def u64(value):
    return struct.pack("=Q", value)


def text(value):
    raw = value if isinstance(value, bytes) else str(value).encode()
    return u32(len(raw)) + raw


def listed(items):
    return u32(len(items)) + b"".join(items)


def word(value):
    """A text, or a list of (kind, text)."""
    segments = [(TEXT, value)] if isinstance(value, (str, bytes)) else value
    return listed([u8(kind) + text(t) for kind, t in segments])


def spec(*words, flags=0, name="job", user="", group="", groups=(),
         umask=NONE, nice=NO_NICE, limits=(), directory="/", launch="/",
         environment=(), stdin=NULL, stdout=PIPE, stderr=JOIN,
         out=(0, 65536, NONE, ""), err=(0, 65536, NONE, ""), sockets=()):
    """The bytes of an ENTRY_SPEC."""
    return b"".join([
        u32(flags), text(name), text(user), text(group),
        listed([text(g) for g in groups]), u32(umask), i32(nice),
        listed([u8(r) + u64(s) + u64(h) for r, s, h in limits]),
        text(directory), text(launch), listed([word(w) for w in words]),
        listed([word(w) for w in environment]), u8(stdin), u8(stdout),
        u8(stderr),
        *[u32(o[0]) + u64(o[1]) + u32(o[2]) + text(o[3]) for o in (out, err)],
        listed([u32(s) for s in sockets])])


def sh(script, **options):
    return spec("/bin/sh", "-c", script, **options)


def logfile(path, append=0, mode=0o644, user="", group=""):
    return text(path) + u8(append) + u32(mode) + text(user) + text(group)


def listener(kind, address="", port=0, path="", mode=0o600, backlog=16):
    return (u8(kind) + text(address) + u16(port) + text(path)
            + u32(mode, backlog))


def named(name, family=4, kind=1, address="127.0.0.1", port=0, path="",
          mode=0o600, backlog=16, reuseport=0):
    return (text(name) + u8(family) + u8(kind) + text(address) + u16(port)
            + text(path) + u32(mode, backlog) + u8(reuseport))


class Message:
    """A message that has come."""

    def __init__(self, kind, number, payload, fd):
        self.kind = kind
        self.id = number
        self.payload = payload
        self.fd = fd

    def take(self, form):
        size = struct.calcsize("=" + form)
        values = struct.unpack("=" + form, self.payload[:size])
        self.payload = self.payload[size:]
        return values[0] if len(values) == 1 else values

    def text(self):
        size = self.take("I")
        raw, self.payload = self.payload[:size], self.payload[size:]
        return raw

    def texts(self):
        return [self.text() for _ in range(self.take("I"))]

    def __repr__(self):
        return f"<{self.kind} id={self.id} {self.payload!r} fd={self.fd}>"


class Component:
    """One started component, in our hands."""

    def __init__(self, parent, sock):
        self.parent = parent
        self.sock = sock
        line = b""
        while not line.endswith(b"\n"):
            byte = sock.recv(1)
            line += byte or b"0 killed-at-its-start\n"
        pid, self.name, *self.args = line.decode().split()
        self.pid = int(pid)
        self.buffer = b""
        self.fds = []
        self.closed = False
        self.kept = []

    def send(self, kind, number=0, payload=b""):
        self.raw(HEADER.pack(kind, HEADER.size + len(payload), number, 0)
                 + payload)

    def raw(self, data):
        """Reads on meanwhile: nobody must wait for the other."""
        while data and not self.closed:
            readable, writable, _ = select.select([self.sock], [self.sock],
                                                  [])
            if readable:
                self._fill(0)
            if writable:
                try:
                    data = data[self.sock.send(data, socket.MSG_DONTWAIT):]
                except BlockingIOError:
                    pass
                except OSError:
                    return

    def _fill(self, timeout):
        if not select.select([self.sock], [], [], max(0, timeout))[0]:
            return
        try:
            data, extra, _, _ = self.sock.recvmsg(1 << 18, 256)
        except OSError:
            data, extra = b"", []
        for _, _, raw in extra:
            fds = array.array("i")
            fds.frombytes(raw)
            self.fds += fds
        self.closed = not data
        self.buffer += data

    def _next(self):
        if len(self.buffer) < HEADER.size:
            return None
        kind, size, number, _ = HEADER.unpack_from(self.buffer)
        length = size & ~FD_MARK
        if len(self.buffer) < length:
            return None
        payload = self.buffer[HEADER.size:length]
        self.buffer = self.buffer[length:]
        return Message(kind, number, payload,
                       self.fds.pop(0) if size & FD_MARK else None)

    def receive(self, *kinds, timeout=10, keep=True):
        """The next message of these kinds (any); others are kept."""
        for m in self.kept:
            if not kinds or m.kind in kinds:
                self.kept.remove(m)
                return m
        end = time.monotonic() + timeout * harness.patience()
        while True:
            m = self._next()
            if m is not None:
                if not kinds or m.kind in kinds:
                    return m
                if keep:
                    self.kept.append(m)
                continue
            left = end - time.monotonic()
            if self.closed or left <= 0:
                raise harness.Failure(
                    f"{self.name}: no message {kinds}, closed={self.closed}, "
                    f"others {self.kept[-5:]}\n{self.parent.tail()}")
            self._fill(left)

    def nothing(self, *kinds, seconds=0.2):
        """Whether no message of these kinds comes for a while."""
        try:
            self.receive(*kinds, timeout=seconds / harness.SLOW)
        except harness.Failure:
            return True
        return False

    def ended(self, timeout=10):
        """Whether musterd ends it within the time."""
        end = time.monotonic() + timeout * harness.patience()
        while not self.closed and time.monotonic() < end:
            self._fill(end - time.monotonic())
            while self._next():
                pass
        return self.closed

    def die(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    # --- as manager ---

    def entry(self, index, kind, data):
        if len(data) > 60000:
            self.send(ENTRY_BEGIN, 0, u32(index) + u8(kind) + u32(len(data)))
            for i in range(0, len(data), 60000):
                self.send(ENTRY_DATA, 0, data[i:i + 60000])
        else:
            self.send(ENTRY, 0, u32(index) + u8(kind) + text(data))

    def seal(self, entries=(), flags=0, workers=0):
        """Stages entries (kind, bytes) and waits for the answer."""
        for i, (kind, data) in enumerate(entries):
            self.entry(i, kind, data)
        self.send(SEAL, 0, u32(len(entries), flags, workers))
        return self.receive(SEALED, SEAL_REFUSED)

    def refused(self, entries, **options):
        """entry, stage, errno of a refusal."""
        m = self.seal(entries, **options)
        assert m.kind == SEAL_REFUSED
        return m.take("IBi")

    def world(self):
        """What is told after the seal: {process: dict}, {key: blob}."""
        procs, blobs = {}, {}
        while True:
            m = self.receive(WORLD_PROC, WORLD_BLOB, WORLD_END)
            if m.kind == WORLD_END:
                return procs, blobs, m.take("I")
            if m.kind == WORLD_BLOB:
                key = m.take("Q")
                blobs[key] = m.text()
                continue
            v = m.take("IIIIBiQiQBiBI")
            procs[v[0]] = dict(zip(
                ("generation", "entry", "instance", "state", "pid", "started",
                 "status", "ended", "stage", "error", "leftover", "slot"),
                v[1:]))

    def spawn(self, process, generation=1, entry=0, instance=0, group=0,
              about=0, announce=""):
        self.send(SPAWN, 0, u32(process, generation, entry, instance, group,
                                about) + text(announce))

    def started(self, process, generation=1, timeout=10):
        """Waits for STARTED of this one; returns its pid."""
        m = self.receive(STARTED, timeout=timeout)
        p, g, pid, _, slot = m.take("IIiQI")
        assert (p, g) == (process, generation) and not m.payload
        self.slot = slot
        return pid

    def run(self, process, generation=1, **options):
        self.spawn(process, generation, **options)
        return self.started(process, generation)

    def failed(self, process, generation=1):
        """stage and errno of its SPAWN_FAILED."""
        m = self.receive(SPAWN_FAILED)
        p, g, stage, error = m.take("IIBi")
        assert (p, g) == (process, generation) and not m.payload
        return stage, error

    def exited(self, process, generation=1, ack=True, timeout=10):
        """wait status and leftover of its EXITED."""
        m = self.receive(EXITED, timeout=timeout)
        p, g, status, _, leftover = m.take("IIiQB")
        assert (p, g) == (process, generation) and not m.payload
        if ack:
            self.ack(process, generation)
        return status, leftover

    def ack(self, process, generation=1):
        self.send(ACK, 0, u32(process, generation))

    def gone(self, process, generation=1, timeout=10):
        assert self.receive(GONE, timeout=timeout).take("II") == \
            (process, generation)

    def signal(self, process, number, scope=LEADER, generation=1):
        self.send(SIGNAL, 0, u32(process, generation) + i32(number)
                  + u8(scope))

    def kill(self, process, generation=1):
        self.send(KILL, 0, u32(process, generation))

    def quit(self, code=0):
        self.send(QUIT, 0, u8(code))


class Parent:
    """A musterd with us as its components."""

    def __init__(self, *args, user=None, cgroup=True, config="x: 1\n",
                 env=None, stdin=None, binary=None, before=(), **popen):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="muster-",
                                                 dir="/tmp"))
        self.dir.chmod(0o755)
        self.libexec = self.dir / "libexec"
        self.libexec.mkdir()
        self.file = self.dir / "muster.yaml"
        self.file.write_text(config)
        path = str(self.dir / "bridge")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        for name in ("manager", "relay", "httpd", "verifier", "resolver"):
            bridge = self.libexec / f"muster-{name}"
            bridge.write_text(BRIDGE.format(path=path))
            bridge.chmod(0o755)
        self.user = user
        more = {}
        if user is not None:
            for p in (self.dir, self.file, pathlib.Path(path)):
                os.chown(p, user, user)
            more = {"user": user, "group": user, "extra_groups": []}
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("MUSTER", "PYTEST_", "LISTEN_"))
                    and k not in ("NOTIFY_SOCKET", "OBJ", "SAN")}
        self.env.update(XDG_RUNTIME_DIR=str(self.dir),
                        MUSTER_LIBEXEC=str(self.libexec))
        if not cgroup:
            self.env["MUSTER_NO_CGROUP"] = "1"
        self.env.update(env or {})
        self.waiting = []
        self.out = self.dir / "stdout"
        self.err = self.dir / "stderr"
        harness.become_subreaper()
        binary = binary or (harness.MUSTERD if user is None else
                            harness.Musterd._reachable())
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.popen = subprocess.Popen(
                [*before, binary, "-f", str(self.file), *args], cwd=self.dir,
                env=self.env, stdin=stdin or subprocess.DEVNULL, stdout=out,
                stderr=err, start_new_session=True, **more, **popen)
        self.pid = self.popen.pid

    def tail(self):
        return self.err.read_text(errors="replace")[-2000:]

    @property
    def parent(self):
        """The pid of the guard's child."""
        return harness.wait_for("the parent", lambda: harness.descendants(
            self.pid))[0].pid

    def accept(self, name, instance=0, timeout=10):
        """The next component of this name that is started."""
        end = time.monotonic() + timeout * harness.patience()
        while True:
            for c in self.waiting:
                if c.name == f"muster-{name}" and f"-i{instance}" in c.args:
                    self.waiting.remove(c)
                    return c
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.listener], [], [],
                                              left)[0]:
                raise harness.Failure(f"no {name} was started\n{self.tail()}")
            sock, _ = self.listener.accept()
            self.waiting.append(Component(self, sock))

    def manager(self, birth=BOOT):
        m = self.accept("manager")
        snapshot = m.receive(CFG_SNAPSHOT)
        assert snapshot.take("B") == birth
        m.snapshot = snapshot.fd
        return m

    def ready(self, *entries, **options):
        """A manager that has sealed these (specs if bytes) and may act."""
        m = self.manager()
        answer = m.seal([(E_SPEC, e) if isinstance(e, bytes) else e
                         for e in entries], **options)
        assert answer.kind == SEALED, answer.take("IBi")
        m.world()
        return m

    def again(self, count):
        """The next manager after a crash of the last, with its world."""
        m = self.manager(CRASH)
        m.send(SEAL, 0, u32(count, 0, 0))
        m.receive(SEALED)
        return m, m.world()

    def wait(self, timeout=10):
        return self.popen.wait(timeout * harness.patience())

    def end(self):
        """Ends it hard."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()

    def close(self):
        """After all have ended: what they have left is reported."""
        left = []
        end = time.monotonic() + 5 * harness.patience()
        while time.monotonic() < end:
            left = [p for p in harness.descendants(os.getpid())
                    if p.state not in "ZX" and p.sid != os.getsid(0)]
            for p in harness.descendants(os.getpid()):
                harness.reap(p)
            if not left:
                break
            time.sleep(0.02)
        for p in left:
            harness.kill(p)
        self.listener.close()
        report = harness.REPORT.search(self.tail())
        # Nobody removes it when both guard and parent were killed.
        uid = os.geteuid() if self.user is None else self.user
        harness.default_socket(self.file, uid, self.dir, "lock").unlink(
            missing_ok=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        if report:
            raise harness.Failure(report.string)
        return left
