"""Nothing that musterd started outlives it by more than the graceful time and
a second, however it ends and whatever its processes do to get away."""

import os
import pathlib
import signal
import socket
import time

import pytest

import harness
from harness import job, sh

GRACE = 0.5
EXITED = {"type": "pymutils.exited_verifier.ExitedVerifier"}

# A family: each ignores what can be ignored, and notes its pid. `ways` are
# those to hide. The first process waits, or ends with a code.
FAMILY = r"""
import os, signal, sys, time

def note():
    with open("family", "ab", 0) as f:
        f.write(b"%d\n" % os.getpid())

def child(*ways):
    if os.fork():
        return
    if "session" in ways:
        os.setsid()
    if "group" in ways:
        os.setpgid(0, 0)
    if "orphan" in ways and os.fork():
        os._exit(0)
    if "closed" in ways:
        os.closerange(0, 20)
        os.chdir("/")
    if "storm" in ways:     # another pid again and again
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.005)
    if "closed" not in ways:
        note()
    if "bare" in ways:      # no environment tells where it comes from
        os.execve("/bin/sleep", ["sleep", "4000"], {})
    time.sleep(4000)
    os._exit(0)

for name in "TERM", "INT", "HUP", "QUIT", "USR1":
    signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN)
code, polite, *kinds = sys.argv[1:]
for kind in kinds:
    child(*kind.split("+"))
if polite == "polite":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
note()
while len(open("family").read().split()) < int(os.environ["COUNT"]):
    time.sleep(0.01)
open("ready", "w").close()
if code != "wait":
    sys.exit(int(code))
time.sleep(4000)
"""
KINDS = ["plain", "session", "group", "orphan", "session+orphan",
         "session+orphan+bare"]


def family(code="wait", polite="stubborn", kinds=KINDS, count=None, **more):
    count = len(kinds) + 1 if count is None else count
    return job(harness.PYTHON, "-S", "family.py", str(code), polite, *kinds,
               environment={"COUNT": str(count)}, **more)


def modes():
    """All that makes a difference to how processes are kept together."""
    if os.geteuid() != 0:
        return [pytest.param({}, id="user")]
    no_cgroup = {"env": {"MUSTER_NO_CGROUP": "1"}}
    return [pytest.param({}, id="root-cgroup",
                         marks=pytest.mark.needs_cgroup),
            pytest.param(no_cgroup, id="root"),
            pytest.param({"user": harness.NOBODY}, id="user")]


@pytest.fixture(params=modes())
def start(request):
    mine = []

    def start_(processes, *args, **more):
        config = {"graceful_time": GRACE, "processes": processes, **more}
        m = harness.Musterd(config, *args, **request.param)
        m.cgroup = groups(request.param)
        (m.dir / "family.py").write_text(FAMILY)
        (m.dir / "command.py").write_text(FAMILY.replace(
            '"family"', '"command"').replace('"ready"', '"over"'))
        mine.append(m)
        return m.start()

    yield start_
    for m in mine:
        m.close()


def groups(mode):
    """The directory that holds musterd's control groups, if it has any."""
    if mode or os.geteuid() != 0:
        return None
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            own = [line[3:] for line in pathlib.Path(
                "/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::")][0]
            return pathlib.Path(line.split()[1] + own)
    return None


def members(m, count=len(KINDS) + 1):
    """The family, once it is complete."""
    harness.wait_for("the family", (m.dir / "ready").exists)
    pids = [int(n) for n in (m.dir / "family").read_text().split()]
    assert len(pids) == count
    # Who has closed all cannot tell.
    return {p.pid: p for p in m.jobs()} | {
        pid: harness.process(pid) for pid in pids}


def gone(people, within):
    """All of them have gone so soon."""
    def is_left(p):
        now = harness.process(p.pid)
        return now and now.start == p.start and now.state not in "ZX"

    def left():
        return [p for p in people.values() if p and is_left(p)]

    end = time.monotonic() + within * harness.patience()
    while left() and time.monotonic() < end:
        time.sleep(0.01)
    assert not left(), "\n".join(f"{p}: {p.command}" for p in left())


def clean(m, killed=None):
    """No file of musterd's is left, either. What the parent alone knew of
    when it was killed, a socket in a place of its own, is replaced by the
    next one."""
    files = [m.default_socket(), m.default_socket("lock")]
    if killed != "parent":
        files.append(m.socket)
    if m.cgroup:
        files.append(m.cgroup / f"muster-{m.pid}")
    assert [str(f) for f in files if f.exists()] == []


def ended(m, code, people, within):
    gone(people, within)
    assert m.wait(2) == code
    assert m.leftovers() == []
    clean(m)


# --- the ways to end ---


def test_all_processes_have_ended(start):
    """What the first processes leave behind goes before musterd does."""
    m = start({"a": family(code=0)})
    ended(m, 0, members(m), GRACE + 1)


@pytest.mark.parametrize("way", ["INT", "TERM", "QUIT", "DELETE"])
def test_graceful(start, way):
    m = start({"a": family(), "b": sh("exec sleep 4000")})
    people = members(m)
    m.wait_status()
    if way == "DELETE":
        assert m.delete("/").status == 200
    else:
        m.signal(getattr(signal, "SIG" + way))
    ended(m, 0, people, GRACE + 1)


def test_polite_first_process(start):
    """It obeys at once; its children get the graceful time, too."""
    m = start({"a": family(polite="polite")})
    people = members(m)
    m.signal(signal.SIGTERM)
    ended(m, 0, people, GRACE + 1)


def test_another_session_is_asked_to_end_as_well(start):
    """When the first process has gone; its group is asked just once."""
    m = start({"a": sh(
        "setsid sh -c 'trap \"echo x >>session; exit\" TERM; touch one; "
        "while :; do sleep 0.1; done' & "
        "sh -c 'trap \"echo x >>group\" TERM; touch two; "
        "until [ -s session ]; do sleep 0.02; done; sleep 0.02' & "
        "until [ -f one ] && [ -f two ]; do sleep 0.02; done; "
        "touch up; exec sleep 4000", verify={"file": "up"})},
        graceful_time=30)
    m.wait_status()
    m.signal(signal.SIGTERM)
    assert m.wait(10) == 0
    assert (m.dir / "session").read_text() == "x\n"
    assert (m.dir / "group").read_text() == "x\n"


def test_interrupted_twice(start):
    m = start({"a": family()}, graceful_time=30)
    people = members(m)
    m.signal(signal.SIGINT)
    harness.wait_for("the shutdown", lambda: m.status() == "shutdown")
    m.signal(signal.SIGINT)
    ended(m, 0, people, 1)


def test_failed_launch(start):
    m = start({"a": family(), "bad": sh(
        "until [ -f ready ]; do sleep 0.02; done; exit 1", verify="exited")})
    people = members(m)
    ended(m, 5, people, GRACE + 1)


def test_failed_launch_of_the_family(start):
    """The one that fails has a family of its own."""
    m = start({"a": family(code=3, verifier=EXITED)})
    ended(m, 5, members(m), GRACE + 1)


def test_on_exit_shutdown(start):
    m = start({"a": family(), "main": sh(
        "until [ -f ready ]; do sleep 0.02; done; exit 9",
        on_exit="shutdown")})
    ended(m, 9, members(m), GRACE + 1)


@pytest.mark.parametrize("who", ["guard", "parent"])
def test_killed(start, who):
    m = start({"a": family(), "b": sh("exec sleep 4000")}, keep_alive=True)
    people = members(m)
    m.wait_status()
    people.update({p.pid: p for p in m.descendants()})
    own = {name: len(m.component(f"muster-{name}"))
           for name in ("manager", "relay", "httpd")}
    assert own == {"manager": 1, "relay": 1, "httpd": 2}
    victim = m.pid if who == "guard" else m.parent().pid
    os.kill(victim, signal.SIGKILL)
    gone(people, GRACE + 1)
    assert m.wait(2) == (-9 if who == "guard" else 128 + 9)
    assert m.leftovers() == []
    clean(m, who)


@pytest.mark.parametrize("who", ["guard", "parent"])
def test_killed_while_it_launches(start, who):
    m = start({"a": family(), "b": sh("exec sleep 4000",
                                      verify={"file": "/no/such"})})
    people = members(m)
    m.wait_state("b", "starting")
    people.update({p.pid: p for p in m.descendants()})
    os.kill(m.pid if who == "guard" else m.parent().pid, signal.SIGKILL)
    gone(people, GRACE + 1)
    m.wait(2)
    clean(m, who)


@pytest.mark.parametrize("who", ["guard", "parent"])
def test_killed_while_it_ends(start, who):
    m = start({"a": family()}, graceful_time=30)
    people = members(m)
    m.signal(signal.SIGTERM)
    harness.wait_for("the shutdown", lambda: m.status() == "shutdown")
    people.update({p.pid: p for p in m.descendants()})
    os.kill(m.pid if who == "guard" else m.parent().pid, signal.SIGKILL)
    gone(people, 1)
    m.wait(2)
    clean(m, who)


def test_all_that_decides_is_killed(start):
    """No manager, and then a signal: the parent ends alone."""
    m = start({"a": family()}, keep_alive=True)
    people = members(m)
    m.wait_status()
    for p in m.component("muster-manager"):
        os.kill(p.pid, signal.SIGKILL)
    m.signal(signal.SIGTERM)
    ended(m, 0, people, GRACE + 2)


def test_storm(start):
    """Each is another process every few milliseconds."""
    m = start({"a": family(kinds=["storm+closed"] * 4, count=1)})
    members(m, 1)
    time.sleep(0.2)
    m.signal(signal.SIGTERM)
    assert m.wait(GRACE + 2) == 0
    assert m.leftovers() == []
    clean(m)


@pytest.mark.parametrize("way", ["by itself", "TERM"])
def test_runner(start, way):
    """The command of -x, and what it has started, as well."""
    m = start({"a": family(kinds=["session+orphan"], count=2)}, "-q", "-x",
              "--", "env", "COUNT=4", harness.PYTHON, "-S", "command.py",
              "3" if way == "by itself" else "wait", "polite", "session",
              "session+orphan", "plain")
    people = members(m, 2)
    harness.wait_for("the command", (m.dir / "over").exists)
    people.update({int(n): harness.process(int(n)) for n in (
        m.dir / "command").read_text().split()})
    if way == "TERM":
        m.signal(signal.SIGTERM)
    gone(people, GRACE + 1)
    assert m.wait(2) == (3 if way == "by itself" else 128 + 15)
    assert m.leftovers() == []


# --- while musterd goes on ---


def others(m, people):
    return {p.pid: p for p in m.jobs() if p.pid not in people}


def test_restart(start):
    """The next generation comes when nothing of the last is left."""
    m = start({"a": family()}, keep_alive=True)
    people = members(m)
    m.wait_status()
    (m.dir / "family").unlink()
    (m.dir / "ready").unlink()
    assert m.post("/restart/1").status == 200
    # One that has no mark cannot be told from a foreign orphan without a
    # control group; it goes with musterd.
    if m.cgroup is None:
        people = {pid: p for pid, p in people.items()
                  if harness.process(pid) is None or p.name != "sleep"}
    gone(people, 0)
    assert len(members(m)) >= len(KINDS) + 1
    assert m.all()["a"]["generation"] == 2


def test_restart_by_policy(start):
    kinds = ["plain", "session", "session+orphan"]
    m = start({"a": family(code=1, kinds=kinds, restart="always",
                           backoff={"initial": 60})}, keep_alive=True)
    people = members(m, 4)
    harness.wait_for("generation 2", lambda: m.status() == "running" and
                     m.all()["a"]["generation"] == 2)
    gone(people, 0)


def test_what_takes_long_to_die_is_waited_for(start):
    """It has no environment any more that would tell whose it is, while the
    kernel takes back the file that nobody else has."""
    m = start({"a": job(harness.PYTHON, "-c", """
import os, time
if os.fork() == 0:
    os.setsid()
    fd = os.memfd_create("large")
    os.posix_fallocate(fd, 0, 512 << 20)
    open("ready", "w").write(str(os.getpid()))
time.sleep(4000)
""")}, keep_alive=True)
    m.wait_status()
    pid = int(harness.wait_for("the large one", lambda: (
        m.dir / "ready").exists() and (m.dir / "ready").read_text()))
    large = harness.process(pid)
    (m.dir / "ready").unlink()
    assert m.post("/restart/1").status == 200
    gone({pid: large}, 0)


def test_stop_takes_its_own_alone(start):
    """The family of another process is not touched."""
    m = start({"a": family(), "b": sh(
        "setsid sleep 4000 & exec setsid -f sleep 4000"), "c": sh(
            "(setsid sleep 4000 &) & exec sleep 4000")}, keep_alive=True)
    people = members(m)
    m.wait_status()
    harness.wait_for("the sleeps", lambda: len(
        [p for p in m.jobs() if p.name == "sleep"]) >= 3)
    c = m.all()["c"]["pid"]
    mine = [p for p in m.jobs() if p.name == "sleep" and
            environment(p.pid).endswith("-3")]
    assert len(mine) == 2
    assert m.post("/restart/1").status == 200
    assert m.all()["c"]["pid"] == c
    assert all(harness.alive(p.pid) for p in mine)
    del people


def environment(pid):
    """The mark of a process."""
    try:
        raw = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    for variable in raw.split(b"\0"):
        if variable.startswith(b"MUSTER_PROCESS="):
            return variable.decode()
    return ""


def test_verifier_command(start):
    """What a probe starts goes with it."""
    m = start({"a": job("sleep", "4000", verify={"command": [
        "sh", "-c", "setsid -f sleep 4321; setsid sleep 4321 & exit 0"]})},
        keep_alive=True)
    m.wait_status()
    harness.wait_for("their end", lambda: not [
        p for p in m.jobs() if "4321" in p.command], 2)


def test_zombies_are_reaped(start):
    """musterd takes all orphans, and does not keep them."""
    m = start({"a": sh("for i in 1 2 3 4 5 6 7 8 9; do (setsid -f true); "
                       "done; touch done; exec sleep 4000")},
              keep_alive=True)
    harness.wait_for("all of them", (m.dir / "done").exists)
    harness.wait_for("no zombies", lambda: not [
        p for p in m.descendants() if p.state == "Z"])


def test_socket_of_a_killed_parent(musterd):
    """The guard removes what it had bound, and nothing else."""
    m = musterd({"processes": {"a": job("sleep", "4000")}})
    m.wait_status()
    assert m.socket.is_socket()
    os.kill(m.parent().pid, signal.SIGKILL)
    m.wait()
    assert not m.socket.exists()
    m.start()
    m.wait_status()
    m.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(m.socket))
        os.kill(m.parent().pid, signal.SIGKILL)
        m.wait()
        assert m.socket.is_socket()
