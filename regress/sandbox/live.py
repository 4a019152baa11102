"""The components of a musterd that runs, and calls that they would not do."""

import ctypes
import itertools
import os
import pathlib
import socket
import subprocess

import pytest

import harness
from harness import job, sh

ROLES = ["manager", "relay", "httpd", "verifier", "resolver"]
INJECT = harness.OBJ / "regress/sandbox/prog_inject"
UNSUPPORTED = 77
LIBC = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_GETFD = 438
SYS_LANDLOCK_CREATE_RULESET = 444


def landlock():
    """The version of the kernel's Landlock; 0: there is none."""
    return max(0, LIBC.syscall(SYS_LANDLOCK_CREATE_RULESET, None, 0, 1))


class Everything:
    """A musterd with a process for each thing that a component does; with
    `tls`, a certificate and its key, its workers are those that can TLS."""

    def __init__(self, user, *args, tls=None, **options):
        self.user = user
        self.tls = tls
        self.options = (args, options)
        self.listener = socket.socket()
        self.m = None
        self.injectors = []

    def __enter__(self):
        name = socket.gethostname()
        try:
            self.listener.bind((socket.gethostbyname(name), 0))
        except OSError:
            self.listener.close()
            pytest.skip(f"nobody knows the address of {name}")
        self.listener.listen()
        port = self.listener.getsockname()[1]
        args, options = self.options
        self.m = harness.Musterd({
            "keep_alive": True, "graceful_time": 1, "http": {
                "tls": dict(zip(("certificate", "key"), self.tls))}
            if self.tls else {}, "processes": {
                "shown": sh("echo a; exec sleep 4000"),
                "file": sh("echo b; exec sleep 4000", redirect_output="log"),
                "kept": sh("echo c; exec sleep 4000", suppress_output=True,
                           capture="4m"),
                "checked": job("sleep", "4000",
                               verify={"tcp": f"{name}:{port}"})}},
            *args, user=self.user, **options)
        self.m.start().wait_status(over="unix")
        self.all_there()
        return self

    def __exit__(self, *unused):
        for i in self.injectors:
            i.close()
        self.listener.close()
        self.m.close()

    @property
    def dropped(self):
        """Whether it is root's: then its components change their user."""
        return self.user is None and os.geteuid() == 0

    def pids(self):
        """Of all components, by their roles; of httpd there are several."""
        names = {role: f"muster-{role}" for role in ROLES}
        if self.tls:
            names["httpd"] += "-tls"
        return {role: sorted(p.pid for p in self.m.component(name))
                for role, name in names.items()}

    def jobs(self):
        """The processes of the configuration, with their pids."""
        return self.m.processes("unix")

    def all_there(self):
        """Wait until each of them has entered the sandbox; returns pids()."""
        counts = {role: 2 if role == "httpd" else 1 for role in ROLES}

        def there():
            pids = self.pids()
            if {r: len(p) for r, p in pids.items()} != counts:
                return None
            try:
                modes = {status(p)["Seccomp"] for r in ROLES for p in pids[r]}
            except (OSError, KeyError):     # one has just ended
                return None
            return pids if modes == {"2"} else None
        return harness.wait_for("all components", there)

    def replaced(self, before, *lost):
        """Wait until others are there for those that were lost."""
        def there():
            pids = self.pids()
            return all(len(pids[r]) == len(before[r]) and not set(pids[r]) &
                       set(lost) for r in ROLES)
        harness.wait_for("the replacements", there)
        harness.wait_for("an answer", lambda: self.m.status("unix"))
        return self.all_there()

    def inject(self, pid):
        self.injectors.append(Injector(pid))
        return self.injectors[-1]


class Injector:
    """prog_inject: makes a process do system calls."""

    def __init__(self, pid):
        self.pid = pid
        self.program = subprocess.Popen(
            [INJECT, str(pid)], stdin=subprocess.PIPE, encoding="ascii",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def calls(self, lines):
        """Tells the outcomes of many calls, as (name, outcome)."""
        out, err = self.program.communicate("".join(
            f"{line}\n" for line in lines))
        if self.program.returncode == UNSUPPORTED:
            pytest.skip(err.strip())
        assert self.program.returncode == 0, err
        return [tuple(line.split(" ", 1)) for line in out.splitlines()]

    def call(self, how, abi, name, *args):
        """One call; its result as a number, or what else became of it."""
        try:
            print(how, abi, name, *map(word, args), file=self.program.stdin,
                  flush=True)
        except BrokenPipeError:
            pass
        line = self.program.stdout.readline()
        if not line:
            code = self.program.wait()
            err = self.program.stderr.read().strip()
            if code == UNSUPPORTED:
                pytest.skip(err)
            raise harness.Failure(f"{name} in {self.pid}: {err}")
        outcome = line.rstrip("\n").split(" ", 1)[1]
        return int(outcome) if outcome.lstrip("-").isdigit() else outcome

    def close(self):
        for stream in (self.program.stdin, self.program.stdout,
                       self.program.stderr):
            stream.close()
        self.program.wait()


def word(arg):
    """An argument for prog_inject: a number, or the bytes it points to."""
    if isinstance(arg, str):
        arg = arg.encode() + b"\0"
    return "%" + arg.hex() if isinstance(arg, bytes) else str(arg)


def filter_of(*args):
    """The seccomp filter of a process: its instructions and its pid, which
    one of them compares with."""
    done = subprocess.run([INJECT, *map(str, args)], capture_output=True,
                          encoding="ascii", check=False)
    if done.returncode == UNSUPPORTED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    pid, *instructions = done.stdout.splitlines()
    return instructions, f" {int(pid):08x}"


def different(one, other):
    """Where two filters differ in more than the pids of their processes. A
    pid may be the number of a system call as well."""
    (a, own), (b, its) = one, other
    return [(n, x, y) for n, (x, y) in enumerate(
        itertools.zip_longest(a, b, fillvalue="")) if x != y and
            (x[:-9], x[-9:], y[-9:]) != (y[:-9], own, its)]


# --- what /proc tells ---


def status(pid):
    """/proc/PID/status as a dict."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


def limits(pid):
    """(soft, hard) of each limit of /proc/PID/limits."""
    lines = pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): tuple(line[26:].split()[:2])
            for line in lines[1:]}


def descriptor(pid, fd):
    """What a descriptor of another process is, in a few words."""
    link = os.readlink(f"/proc/{pid}/fd/{fd}")
    info = pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    flags = int(info.split("flags:")[1].split()[0], 8)
    access = ["r", "w", "rw"][flags & os.O_ACCMODE]
    if link.startswith("anon_inode:"):
        return link.removeprefix("anon_inode:").strip("[]")
    if not link.startswith("socket:"):
        return f"{link.split(':[')[0].removesuffix(' (deleted)')} {access}"
    pidfd = os.pidfd_open(pid)
    copy = LIBC.syscall(SYS_PIDFD_GETFD, pidfd, int(fd), 0)
    os.close(pidfd)
    if copy == -1:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    with socket.socket(fileno=copy) as s:
        words = [socket.AddressFamily(s.family).name,
                 socket.SocketKind(s.type).name]
        if s.family == socket.AF_NETLINK:
            words.append(str(s.proto))
        elif s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            words.append("listens")
    return " ".join(words)


def descriptors(pid):
    """How many of each kind."""
    counts = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        kind = descriptor(pid, fd)
        counts[kind] = counts.get(kind, 0) + 1
    return counts
