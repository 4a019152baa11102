"""Fixtures: musterctl, and a musterd that it talks to."""

import os
import pathlib
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios

import fcntl
import pytest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import fakemusterd  # noqa: E402


@pytest.fixture
def place():
    """A directory whose path is short enough for sockets."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="ctl-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def fake(place):
    servers = []

    def start(name="m.sock", family=socket.AF_UNIX):
        servers.append(fakemusterd.Fake(place / name, family))
        return servers[-1]

    first = start()
    first.another = start
    yield first
    for server in servers:
        server.close()


def environment(place, more):
    env = {"PATH": "/usr/bin:/bin", "HOME": str(place), "TERM": "xterm",
           "LC_ALL": "C.UTF-8"}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    env.update(more or {})
    return {k: v for k, v in env.items() if v is not None}


class Ctl:
    """Runs musterctl; called, it runs it on the fake."""

    def __init__(self, place, fake):
        self.place = place
        self.fake = fake
        self.running = []

    def __call__(self, *args, **more):
        return self.bare("-s", self.fake.path, *args, **more)

    def bare(self, *args, env=None, cwd=None, timeout=30, text=True,
             **more):
        result = subprocess.run(
            [harness.MUSTERCTL, *map(str, args)],
            cwd=cwd or self.place, env=environment(self.place, env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=timeout * harness.patience(),
            check=False, **more)
        assert not harness.REPORT.search(
            result.stderr.decode(errors="replace")), result.stderr.decode()
        assert result.returncode >= 0, result.stderr
        if text:
            result.stdout = result.stdout.decode()
            result.stderr = result.stderr.decode()
        return result

    def start(self, *args, env=None, **more):
        """Runs on; its stdout and stderr are pipes."""
        p = subprocess.Popen(
            [harness.MUSTERCTL, "-s", self.fake.path, *map(str, args)],
            cwd=self.place, env=environment(self.place, env),
            stdin=subprocess.DEVNULL, stdout=more.pop(
                "stdout", subprocess.PIPE), stderr=subprocess.PIPE, **more)
        self.running.append(p)
        return p

    def terminal(self, *args, columns=80, env=None, timeout=20):
        """On a terminal: exit code, and all that it showed."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 24, columns, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        p = subprocess.Popen(
            [harness.MUSTERCTL, "-s", self.fake.path, *map(str, args)],
            cwd=self.place, env=environment(self.place, env),
            stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.running.append(p)
        shown = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        os.close(master)
        code = p.wait(timeout * harness.patience())
        shown = shown.decode()
        assert not harness.REPORT.search(shown), shown
        return code, shown

    def close(self):
        for p in self.running:
            if p.poll() is None:
                p.send_signal(signal.SIGKILL)
            p.wait()
            for f in (p.stdout, p.stderr):
                if f:
                    f.close()


@pytest.fixture
def ctl(place, fake):
    c = Ctl(place, fake)
    yield c
    c.close()
