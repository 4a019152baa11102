"""What the tests of the whole program share.

    def test_status(musterd):
        m = musterd({"processes": {"a": {"executable": "sleep",
                                         "arguments": ["100"]}}})
        m.wait_status("running")
        assert m.get("/").json()["count"] == 1
        assert m.ctl("status").returncode == 0

The fixture `musterd` starts as many as a test wants and ends them. At its end
each must stop when told so, leave no process behind, and have printed no
report of a sanitizer; else the test fails.
"""

import ctypes
import dataclasses
import fcntl
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
OBJ = (ROOT / os.environ.get("OBJ", "obj")).resolve()
MUSTERD = os.environ.get("MUSTERD_BIN", str(OBJ / "sbin/musterd"))
MUSTERCTL = os.environ.get("MUSTERCTL_BIN", str(OBJ / "bin/musterctl"))
# The distribution's Python: another may come first in PATH.
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
os.environ.pop("PYTHONUNBUFFERED", None)    # print() in two pieces
os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin:" + \
    os.environ.get("PATH", "")
SAN = os.environ.get("SAN", "")


def crowded():
    """Do many others want the processors?"""
    return os.getloadavg()[0] > 4 * len(os.sched_getaffinity(0))


# Limits of time are multiplied by this; a sanitizer is slow.
SLOW = 3 if SAN or crowded() else 1
# A user who owns nothing: `nobody`.
NOBODY = 65534
REPORT = re.compile(r"ERROR: (?:Address|Leak)Sanitizer|runtime error:"
                    r"|AddressSanitizer:DEADLYSIGNAL"
                    r"|(?:Address|Leak|UndefinedBehavior)Sanitizer has enc")
PR_SET_CHILD_SUBREAPER = 36
_ports = itertools.count()
# free_port(): how many are ours, and where they begin.
PORTS = 20000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS_BEGIN = os.getppid() * 101 + PORTS * int(
    os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


class Failure(AssertionError):
    """A test went wrong in a way that the harness can tell."""


# --- the configuration, in short ---


def job(*words, **more):
    """A process as pymanager writes it; `more` are further keys of it."""
    return {"executable": words[0], "arguments": list(words[1:]), **more}


def sh(script, *args, **more):
    return job("sh", "-c", script, *args, **more)


def python(script, *args, **more):
    return job(PYTHON, "-Sc", script, *args, **more)


# --- processes ---


@dataclasses.dataclass(frozen=True)
class Process:
    """One line of the system's process table."""

    pid: int
    ppid: int
    sid: int
    name: str
    state: str
    start: int      # clock ticks since boot: with the pid, an identity

    def __str__(self):
        return f"{self.pid} {self.name} ({self.state}, child of {self.ppid})"

    @property
    def command(self):
        """The words of its command line; empty if it is a zombie."""
        try:
            raw = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return []
        return raw.decode(errors="replace").split("\0")[:-1]


def process(pid):
    """The Process of a pid, or None if there is none."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(file, 4096).decode(errors="replace")
    except OSError:     # it has just ended
        return None
    finally:
        os.close(file)
    # The name may hold blanks and parentheses.
    name = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split(" ", 20)
    return Process(int(pid), int(rest[1]), int(rest[3]), name, rest[0],
                   int(rest[19]))


def processes():
    """All processes of the machine."""
    found = (process(int(p)) for p in os.listdir("/proc") if p.isdigit())
    return [p for p in found if p]


def anonymous(pid):
    """Bytes of a process's memory that are its own."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0


def descendants(pid, table=None):
    """All that descends from pid, parents first; without pid itself."""
    table = processes() if table is None else table
    children = {}
    for p in table:
        children.setdefault(p.ppid, []).append(p)
    found = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += [p.pid for p in below]
    return found


def alive(pid):
    """Whether pid runs; a zombie does not."""
    p = process(pid)
    return p is not None and p.state not in "ZX"


def become_subreaper():
    """From now on we inherit what outlives its parent, and can find it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def kill(p, number=signal.SIGKILL):
    """Signal a Process, unless its pid is another's by now."""
    now = process(p.pid)
    if now and now.start == p.start:
        try:
            os.kill(p.pid, number)
        except ProcessLookupError:
            pass


def reap(p):
    """Take the status of a dead orphan that we inherited."""
    try:
        os.waitpid(p.pid, os.WNOHANG)
    except ChildProcessError:
        pass


# --- control groups ---


def default_socket(file, uid, runtime, suffix=None):
    """The Unix socket of the musterd of a file, or what lies beside it."""
    place = pathlib.Path("/run" if uid == 0 else runtime) / "muster"
    number = 0xcbf29ce484222325     # FNV-1a
    for byte in bytes(file.resolve()):
        number = (number ^ byte) * 0x100000001b3 % 2**64
    name = f"{file.name}-{number:016x}.sock"
    return place / (f"{name}.{suffix}" if suffix else name)


def cgroup_root():
    """A directory below which we may make control groups, or None."""
    own = "/"
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            own = line[3:]
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind != "cgroup2":
            continue
        path = pathlib.Path(place + own)
        probe = path / f"muster-probe-{os.getpid()}"
        try:
            probe.mkdir()
            probe.rmdir()
            return path
        except OSError:
            continue
    return None


# --- waiting ---


def patience():
    """SLOW, as things are now."""
    return 3 if crowded() else SLOW


def wait_for(what, test, timeout=10, interval=0.01):
    """Call test() until it gives something true, and return that."""
    timeout *= patience()
    end = time.monotonic() + timeout
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {timeout} s in vain for {what}")
        time.sleep(interval)


def free_port():
    """A TCP port of 127.0.0.1 that nothing listens on.

    Below the range from which the system takes ports by itself. Those that
    run side by side have a part of it each, so that none takes the port that
    another has found and not bound yet; two runs begin at other places.
    """
    for _ in range(1000):
        port = 10000 + (PORTS_BEGIN + next(_ports) % PORTS) % 20000
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("there is no free port")


# --- HTTP ---


@dataclasses.dataclass
class Response:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


# --- musterd ---


class Musterd:
    """A musterd in a directory of its own.

    config   a dict, written as JSON; it gets `http` with a free port and a
             Unix socket, unless it says otherwise (http=False: leave it as it
             is). Or text, written as it is but for @PORT@, @SOCKET@ and @DIR@.
    args     more arguments, after -f FILE
    name     of the file
    find     it is started without -f, and has to find its file
    user     a uid to run as; only for root
    env      changes to the environment; None as a value takes one out
    daemon   it is started with -d: what goes on in the background is watched
    strict   whether it is an error to stop late or to leave something behind
    grace    how many seconds it may take to stop
    stdin, stdout, stderr   instead of /dev/null and the files `stdout` and
             `stderr` in its directory
    terminal it gets one: all it writes there is read by terminal_text()
    prefix   words in front of its command line: of a program that has it as
             its only child, waits for it and ends as it did
    """

    # What was started in this test: conftest.py shows it when the test fails.
    started = []
    # Copy of the programs that any user can reach.
    reachable = None

    def __init__(self, config, *args, name="muster.json", find=False,
                 user=None, env=None, http=True, daemon=False, strict=True,
                 grace=15, stdin=None, stdout=None, stderr=None,
                 terminal=False, prefix=()):
        # Not pytest's tmp_path: a Unix socket's path has 107 bytes at most,
        # and another user must be able to come here.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="muster-",
                                                 dir="/tmp"))
        self.port = free_port()
        self.socket = self.dir / "muster.sock"
        self.user = user
        self.daemon = daemon
        self.strict = strict
        self.grace = grace
        self.streams = (stdin, stdout, stderr)
        self.terminal = terminal
        self.master = None      # our side of its terminal
        self.printed = b""      # on it
        self.args = list(args)
        self.prefix = list(prefix)
        self.popen = None
        self.pid = None
        self.returncode = None
        self.stdout = self.dir / "stdout"
        self.stderr = self.dir / "stderr"
        self.file = self.dir / name
        self.find = find
        self.file.write_text(self._config(config, http), encoding="utf-8")
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("MUSTER", "PYTEST_", "LISTEN_"))
                    and k not in ("NOTIFY_SOCKET", "OBJ", "SAN")}
        self.env.update(HOME=str(self.dir), XDG_RUNTIME_DIR=str(self.dir))
        self.env.update(env or {})
        self.env = {k: v for k, v in self.env.items() if v is not None}
        if user is not None:
            os.chown(self.dir, user, user)
            os.chown(self.file, user, user)
        self._others = set()
        Musterd.started.append(self)

    def _config(self, config, with_http):
        if isinstance(config, dict):
            if with_http:
                mine = {"enabled": True, "port": self.port,
                        "unix": str(self.socket)}
                config = {**config, "http": {**mine,
                                             **config.get("http", {})}}
                self.port = int(config["http"]["port"])
                self.socket = pathlib.Path(config["http"]["unix"])
            return json.dumps(config, indent=1) + "\n"
        for key, value in (("@PORT@", self.port), ("@SOCKET@", self.socket),
                           ("@DIR@", self.dir)):
            config = config.replace(key, str(value))
        return config

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.close(check=kind is None)

    def start(self):
        """Start it (again, if it has ended)."""
        become_subreaper()
        self._others = {p.pid for p in processes() if p.ppid == os.getpid()}
        self.returncode = None
        bin_ = MUSTERD if self.user is None else self._reachable()
        extra = {}
        if self.user is not None:
            extra = {"user": self.user, "group": self.user,
                     "extra_groups": []}
        words = [bin_] if self.find else [bin_, "-f", str(self.file)]
        slave = self._open_terminal()
        with open(self.stdout, "ab") as out, open(self.stderr, "ab") as err:
            streams = [slave if slave is not None else own or default
                       for own, default in zip(self.streams, (
                           subprocess.DEVNULL, out, err))]
            if slave is not None:
                extra["preexec_fn"] = lambda: fcntl.ioctl(
                    0, termios.TIOCSCTTY, 0)
            self.popen = subprocess.Popen(
                [*self.prefix, *words, *self.args], cwd=self.dir, env=self.env,
                stdin=streams[0], stdout=streams[1], stderr=streams[2],
                start_new_session=True, **extra)
        if slave is not None:
            os.close(slave)
        self.pid = self.popen.pid
        if self.prefix:
            below = wait_for("the child", lambda: self.poll() is not None or [
                p for p in processes() if p.ppid == self.popen.pid])
            self.pid = below[0].pid if isinstance(below, list) else self.pid
        if self.daemon:
            self._find_daemon()
        return self

    @classmethod
    def _reachable(cls):
        """The tree may lie where another user cannot come: use a copy."""
        if cls.reachable is None:
            cls.reachable = pathlib.Path(tempfile.mkdtemp(prefix="muster-",
                                                          dir="/tmp"))
            cls.reachable.chmod(0o755)
            for part in ("sbin", "bin", "libexec"):
                if (OBJ / part).is_dir():
                    shutil.copytree(OBJ / part, cls.reachable / part)
        return str(cls.reachable / "sbin/musterd")

    def _open_terminal(self):
        if not self.terminal:
            return None
        self.hang_up()
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        return slave

    def hang_up(self):
        """Take its terminal away."""
        if self.master is not None:
            os.close(self.master)
        self.master = None

    def _find_daemon(self):
        self.returncode = self.popen.wait(30 * SLOW)
        # Its own child, which it does not wait for, may be here as well.
        left = sorted(self._orphans(), key=lambda p: (p.state != "Z", p.start))
        for p in left[:-1]:
            if p.state == "Z":
                reap(p)
        if self.returncode == 0 and not left:
            raise Failure(f"there is no daemon\n{self.tail()}")
        if self.returncode == 0:
            self.pid = left[-1].pid
            self.returncode = None
            return
        # The code was told; the last of it may still be on its way out.
        end = time.monotonic() + SLOW
        while self.leftovers() and time.monotonic() < end:
            time.sleep(0.01)

    # --- its life ---

    def poll(self):
        """Its exit code (-N for signal N), or None while it runs."""
        if self.returncode is None and self.popen:
            if not self.daemon:
                self.returncode = self.popen.poll()
            elif self.popen.returncode is not None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def running(self):
        return self.popen is not None and self.poll() is None

    def wait(self, timeout=15):
        """Wait for its end; returns its exit code."""
        wait_for("the end of musterd", lambda: not self.running(), timeout,
                 0.002)
        return self.returncode

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, timeout=15):
        """Ask it to end, as an operator would; returns its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def descendants(self):
        """Its components and jobs, and theirs."""
        return descendants(self.pid)

    def parent(self):
        """The process that starts all others."""
        return wait_for("the parent", lambda: [
            p for p in processes()
            if p.ppid == self.pid and p.name == "musterd"])[0]

    def jobs(self):
        """The live processes that are not muster's own."""
        return [p for p in self.descendants() if p.state not in "ZX"
                and not p.name.startswith("muster")]

    def component(self, name):
        """The Processes of a program of its own, such as muster-httpd."""
        return [p for p in self.descendants()
                if p.name == name[:15] and p.state != "Z"]

    def _orphans(self, table=None):
        # What descends from musterd has left our session: the children that a
        # test starts by itself have not.
        live = {m.pid for m in Musterd.started if m.running()}
        table = processes() if table is None else table
        return [p for p in table if p.ppid == os.getpid() and
                p.sid != os.getsid(0) and p.pid not in self._others | live]

    def leftovers(self):
        """All that has outlived it and runs now. Zombies are reaped."""
        table = processes()
        found = []
        for p in self._orphans(table):
            if p.state == "Z":
                reap(p)
            else:
                found += [p] + descendants(p.pid, table)
        return [p for p in found if alive(p.pid)]

    def _destroy(self):
        """Kill it and all that is its own, whatever happens meanwhile."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            victims = self.leftovers()
            if self.running():
                victims += [p for p in [process(self.pid)] if p]
                victims += self.descendants()
            if not victims:
                return
            for p in victims:
                kill(p)
            time.sleep(0.005)

    def close(self, check=True):
        """End it and clean up. With check, complain about what is wrong."""
        problems = []
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.wait(self.grace if check and self.strict else 2)
            except Failure:
                tree = "\n".join(map(str, self.descendants()))
                problems.append(f"musterd does not stop; below it:\n{tree}")
        elif self.popen is None:
            check = False
        left = [] if self.running() else self.leftovers()
        if left:
            problems.append("musterd left behind:\n" + "\n".join(
                f"{p}: {' '.join(p.command)}" for p in left))
        if left or self.running():
            self._destroy()
        self.terminal_text()
        self.hang_up()
        if not self.strict:
            problems = []
        if REPORT.search(self.stderr_text() + self.stdout_text()
                         + self.terminal_text()):
            problems.append("a sanitizer has reported something")
        if check and problems:
            raise Failure("\n".join(problems + [self.tail()]))

    def remove(self, keep=None):
        """Remove its directory; with keep, copy its files there before."""
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            for path in self.dir.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    to = keep / self.dir.name / path.relative_to(self.dir)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, to)
        shutil.rmtree(self.dir, ignore_errors=True)
        # It stays when musterd was killed.
        self.default_socket("lock").unlink(missing_ok=True)

    def default_socket(self, suffix=None):
        """Where its Unix socket is if nothing else is said; its lock file."""
        return default_socket(self.file, self.user or os.geteuid(), self.dir,
                              suffix)

    # --- what it says ---

    def stdout_text(self):
        return self._text(self.stdout)

    def stderr_text(self):
        return self._text(self.stderr)

    @staticmethod
    def _text(path):
        if not path.exists():
            return ""
        return path.read_text(encoding="utf-8", errors="replace")

    def terminal_text(self):
        """All that was written to its terminal."""
        while self.master is not None:
            try:
                data = os.read(self.master, 65536)
            except BlockingIOError:
                break
            except OSError:     # nobody has the other side open
                break
            self.printed += data
        return self.printed.decode(errors="replace")

    def tail(self, lines=40):
        """The end of what it printed, for messages."""
        parts = []
        for title, text in (("stdout", self.stdout_text()),
                            ("stderr", self.stderr_text()),
                            ("terminal", self.terminal_text())):
            text = text.splitlines()[-lines:]
            if text:
                parts.append("\n".join([f"--- {title} of musterd"] + text))
        return "\n".join(parts)

    def wait_text(self, pattern, timeout=10):
        """Wait until it has printed what the pattern matches; the match."""
        return wait_for(f"the output {pattern!r}", lambda: re.search(
            pattern, self.stdout_text() + self.stderr_text()
            + self.terminal_text(), re.M), timeout)

    # --- what it answers ---

    def connect(self, over="tcp", timeout=10):
        """A connection, for what the calls below do not do (streams, ...)."""
        timeout *= SLOW
        if over == "unix":
            return UnixConnection(self.socket, timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port,
                                          timeout=timeout)

    def request(self, method, path, body=None, headers=None, over="tcp",
                timeout=10):
        """One request on a connection of its own; a dict is sent as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = self.connect(over, timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def raw(self, data, over="tcp", timeout=10, end=None):
        """Send bytes as they are; all that comes back until the connection is
        closed, or until `end` has come."""
        connection = self.connect(over, timeout)
        connection.connect()
        with connection.sock as s:
            s.sendall(data)
            got = b""
            while end is None or end not in got:
                more = s.recv(65536)
                if not more:
                    break
                got += more
        return got

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def put(self, path, body=None, **more):
        return self.request("PUT", path, body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    def status(self, over="tcp"):
        """What GET /status says, or None while nothing answers."""
        try:
            return self.get("/status", over=over).json()["status"]
        except (OSError, http.client.HTTPException):
            return None

    def wait_status(self, status="running", timeout=20, over="tcp"):
        """Wait until GET /status says so; returns self."""
        def test():
            if not self.running():
                raise Failure(f"musterd ended with {self.returncode}\n"
                              f"{self.tail()}")
            return self.status(over) == status
        wait_for(f"status {status!r}", test, timeout)
        return self

    def processes(self, over="tcp"):
        """pymanager's list: GET /."""
        return self.get("/", over=over).json()["processes"]

    def all(self, over="tcp"):
        """Those of /v1, which tells all of them, by the names of their jobs;
        of several instances the last."""
        return {p["name"].removeprefix("default."): p for p in self.get(
            "/v1/processes", over=over).json()["processes"]}

    def state(self, name):
        return self.all()[name]["state"]

    def wait_state(self, name, state, timeout=10):
        """Wait until the process of that job is in that state; returns it."""
        def test():
            try:
                found = self.all()[name]
            except (OSError, http.client.HTTPException):
                return None     # it is not there yet
            return found if found["state"] == state else None
        return wait_for(f"{name} to be {state}", test, timeout)

    def ctl(self, *args, check=False, stdin=None, timeout=30, env=None):
        """Run musterctl on it; stdin is text."""
        return subprocess.run(
            [MUSTERCTL, "-s", str(self.socket), *map(str, args)],
            cwd=self.dir, env={**self.env, **(env or {})}, input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, encoding="utf-8", errors="replace",
            timeout=timeout * SLOW, check=check)
