"""What happens when something runs out: descriptors, processes, memory, room
on a disk, or somebody who reads.

Each shortage is survived and told in few words, and when it ends all goes on
as if it had not been.
"""

import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

import harness
from harness import PYTHON, SLOW, job, python, sh, wait_for

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
TALK = sh("echo hello; exec sleep 4000")
MIB = 1 << 20


def users():
    if os.geteuid() != 0:
        return [pytest.param(None, id="user")]
    return [pytest.param(None, id="root"),
            pytest.param(harness.NOBODY, id="user")]


@pytest.fixture(params=users())
def user(request):
    return request.param


# Root may have no power over limits; a process of the same user always has.
PRLIMIT = "import resource, sys\n" \
    "pid, what, soft = map(int, sys.argv[1:])\n" \
    "old, hard = resource.prlimit(pid, what)\n" \
    "resource.prlimit(pid, what, (soft, hard))\nprint(old)"


def prlimit(pid, what, soft):
    """Sets it; returns what it was."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        text = f.read()
    owner = int(re.search(r"^Uid:\t(\d+)", text, re.M)[1])
    group = int(re.search(r"^Gid:\t(\d+)", text, re.M)[1])
    extra = {} if owner == os.geteuid() else {
        "user": owner, "group": group, "extra_groups": []}
    return int(subprocess.run(
        [PYTHON, "-Sc", PRLIMIT, str(pid), str(what), str(soft)],
        check=True, stdout=subprocess.PIPE, **extra).stdout)


@contextlib.contextmanager
def limited(pids, what, soft):
    """These processes have less of something for a while."""
    before = {pid: prlimit(pid, what, soft(pid)) for pid in pids}
    try:
        yield
    finally:
        for pid, limit in before.items():
            if harness.alive(pid):
                prlimit(pid, what, limit)


def next_descriptor(pid):
    """The number of the next one that it opens."""
    taken = {int(n) for n in os.listdir(f"/proc/{pid}/fd")}
    return min(set(range(len(taken) + 1)) - taken)


def said(m):
    """Its own messages of what went wrong."""
    return [line for line in (m.stdout_text() + m.stderr_text()).splitlines()
            if re.search(r"\[(WARNING|ERROR|CRITICAL)\]", line)]


def components(m):
    # Each has the name of what started it for an instant.
    wait_for("all components", lambda: {
        "muster-manager", "muster-relay", "muster-httpd"} <= {
            p.name for p in m.descendants()} and
        len(m.component("muster-httpd")) == 2)
    return {p.pid: p.name for p in m.descendants()
            if p.name.startswith("muster-")}


def restart(m, number=1, timeout=10):
    return m.post(f"/restart/{number}", timeout=timeout).json()


def output(m, number=1):
    return m.get(f"/v1/processes/{number}/streams/stdout").text


# --- descriptors ---


def test_worker_without_descriptors(musterd):
    """Idle connections give way; a few words, and nobody is replaced."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}})
    m.wait_status()
    before = components(m)
    workers = [p.pid for p in m.component("muster-httpd")]
    with limited(workers, resource.RLIMIT_NOFILE,
                 lambda pid: next_descriptor(pid) + 10):
        socks = [socket.create_connection(("127.0.0.1", m.port))
                 for _ in range(100)]
        for _ in range(20):
            assert m.status() == "running"
        for s in socks:
            s.close()
    assert m.status() == "running"
    assert 1 <= len(said(m)) <= 2
    assert components(m) == before


def test_parent_without_descriptors(musterd, user):
    """What cannot be started says why, what runs is not touched."""
    m = musterd({**KEEP, "processes": {"a": TALK, "b": SLEEP}}, user=user)
    m.wait_status()
    parent = m.parent().pid
    before = components(m)
    b = m.all()["b"]["pid"]
    for room in range(0, 32, 5):
        with limited([parent], resource.RLIMIT_NOFILE,
                     lambda pid: next_descriptor(pid) + room):
            answer = restart(m)
        assert answer["success"] is False
        assert "Too many open files" in answer["error"]["message"]
        assert m.state("a") == "failed"
        assert m.all()["b"]["pid"] == b
        answer = restart(m)
        assert answer["success"] is True
        wait_for("its output", lambda: output(m).endswith("hello\n"))
    assert components(m) == before
    assert len(said(m)) == 7


def descriptors_of(m):
    """A worker's listener, a file's writer: who has them is new."""
    for name in "httpd", "relay":
        for p in m.component(f"muster-{name}"):
            harness.kill(p)
    components(m)


def test_component_without_descriptors(musterd):
    """One that lacks a channel, or a file, is replaced until it lacks none;
    that is told, with the reason."""
    m = musterd({**KEEP, "processes": {
        "a": TALK, "b": sh("while :; do date; sleep 0.02; done",
                           redirect_output="b.log")}})
    m.wait_status()
    parent = m.parent().pid
    for room in range(16):
        with limited([parent], resource.RLIMIT_NOFILE,
                     lambda pid: next_descriptor(pid) + room):
            harness.kill(m.component("muster-relay")[0])
            time.sleep(0.4)
        begin = time.monotonic()
        components(m)
        assert time.monotonic() - begin < 2 * SLOW
        length = (m.dir / "b.log").stat().st_size
        wait_for("more in its file",
                 lambda: (m.dir / "b.log").stat().st_size > length)
        assert restart(m)["success"] is True
        wait_for("its output", lambda: output(m).endswith("hello\n"))
    text = "\n".join(said(m))
    assert "muster-relay 0 lacks a descriptor: Too many open files" in text
    assert "muster-relay cannot be started: Too many open files" in text
    assert "no word of its last output" not in text


def test_reload_without_descriptors(musterd):
    """It is refused, or done; nothing of what was there is lost."""
    m = musterd({**KEEP, "processes": {
        "a": sh("while :; do date; sleep 0.02; done",
                redirect_output="a.log")}})
    m.wait_status()
    parent = m.parent().pid
    pid = m.all()["a"]["pid"]
    for room in range(0, 24, 2):
        with limited([parent], resource.RLIMIT_NOFILE,
                     lambda pid: next_descriptor(pid) + room):
            m.signal(signal.SIGHUP)
            time.sleep(0.3)
        descriptors_of(m)
        m.wait_status()
        length = (m.dir / "a.log").stat().st_size
        wait_for("more in its file",
                 lambda: (m.dir / "a.log").stat().st_size > length)
        assert m.all()["a"]["pid"] == pid
    assert "Too many open files" in "\n".join(said(m))


@pytest.mark.needs_cgroup
@pytest.mark.needs_root
def test_leftover_without_descriptors(musterd):
    """What cannot be seen is not taken for gone."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "setsid sleep 4001 & until [ -f go ]; do sleep 0.02; done"),
        "b": SLEEP}})
    m.wait_status()
    left = wait_for("the grandchild", lambda: [
        p for p in m.jobs() if p.command == ["sleep", "4001"]])[0]
    with limited([m.parent().pid], resource.RLIMIT_NOFILE,
                 next_descriptor):
        (m.dir / "go").touch()
        time.sleep(0.5)
    wait_for("its end", lambda: not harness.alive(left.pid), 4)
    m.wait_state("a", "exited")


def test_output_without_descriptors(musterd):
    """One that runs and has not said anything yet can say it later."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "while ! [ -f go ]; do sleep 0.02; done; echo hello; sleep 4000")}})
    m.wait_status()
    before = components(m)
    with limited([m.parent().pid], resource.RLIMIT_NOFILE,
                 next_descriptor):
        (m.dir / "go").touch()
        time.sleep(2.5)
        assert m.status() == "running"
    wait_for("its output", lambda: output(m) == "hello\n")
    assert components(m) == before
    assert 1 <= len(said(m)) <= 2


# --- processes ---


def test_clone_is_refused(musterd, as_user):
    m = musterd({**KEEP, "processes": {"a": TALK, "b": SLEEP}}, user=as_user)
    m.wait_status()
    before = components(m)
    b = m.all()["b"]["pid"]
    with limited([m.parent().pid], resource.RLIMIT_NPROC, lambda pid: 1):
        for _ in range(3):
            answer = restart(m)
            assert answer["success"] is False
            assert "Resource temporarily unavailable" in \
                answer["error"]["message"]
    assert m.all()["b"]["pid"] == b
    assert restart(m)["success"] is True
    wait_for("its output", lambda: output(m).endswith("hello\n"))
    assert components(m) == before
    assert len(said(m)) <= 3


def test_component_cannot_be_started(musterd, as_user):
    """It is when it can: soon, and that is told once."""
    m = musterd({**KEEP, "processes": {"a": TALK}}, user=as_user)
    m.wait_status()
    components(m)
    pid = m.all()["a"]["pid"]
    with limited([m.parent().pid], resource.RLIMIT_NPROC, lambda pid: 1):
        for name in "manager", "relay":
            # What is said to a manager that dies meanwhile dies with it.
            harness.kill(m.component(f"muster-{name}")[0])
            m.wait_text(f"muster-{name} cannot be started: "
                        "Resource temporarily unavailable")
        time.sleep(1)
    begin = time.monotonic()
    components(m)
    assert time.monotonic() - begin < 2 * SLOW
    wait_for("the manager", lambda: m.all()["a"]["pid"] == pid)
    assert restart(m)["success"] is True
    text = m.stdout_text() + m.stderr_text()
    assert text.count("cannot be started") == 2


# --- memory ---


@pytest.mark.skipif(bool(harness.SAN), reason="takes all there is")
@pytest.mark.parametrize("name", ["manager", "relay", "httpd"])
def test_component_without_memory(musterd, name):
    """It makes do, or it is replaced; no process notices."""
    m = musterd({**KEEP, "processes": {
        "a": TALK, "b": SLEEP, "c": sh(
            "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.01; done",
            redirect_output="c.log")}})
    m.wait_status()
    b = m.all()["b"]
    pids = [p.pid for p in m.component(f"muster-{name}")]
    with limited(pids, resource.RLIMIT_AS, lambda pid: 1):
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError,
                                     harness.http.client.HTTPException):
                m.get("/v1/processes", timeout=1)
                restart(m, timeout=1)
    m.wait_status()
    wait_for("a restart", lambda: restart(m).get("success"))
    wait_for("its output", lambda: output(m).endswith("hello\n"))
    assert m.all()["b"]["pid"] == b["pid"]
    length = (m.dir / "c.log").stat().st_size
    wait_for("more in its file",
             lambda: (m.dir / "c.log").stat().st_size > length)
    lines = (m.dir / "c.log").read_text().splitlines()
    # The last may be on its way.
    assert lines[:-1] == [str(n + 1) for n in range(len(lines) - 1)]
    assert len(said(m)) <= 12


# --- room on a disk ---


# It writes numbered lines, slowly enough for all to be kept, or fast.
NUMBERS = "import os, sys, time\n" \
    "for n in range(int(sys.argv[1])):\n" \
    "    os.write(1, b'%07d\\n' % n)\n" \
    "    if n % 1000 == 0: time.sleep(float(sys.argv[2]))\n" \
    "open('done', 'w').close()\ntime.sleep(4000)"


@pytest.fixture
def small_disk(tmp_path):
    """A directory with room for 64 KiB, and how to make it larger."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options):
        return subprocess.run(["mount", *options, str(place)], check=False,
                              capture_output=True).returncode

    if mount("-t", "tmpfs", "-o", "size=64k", "tmpfs") != 0:
        pytest.skip("nothing can be mounted here")
    yield place, lambda: mount("-o", "remount,size=8m")
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("count, lost", [(12000, False), (120000, True)])
def test_full_disk(musterd, small_disk, count, lost):
    """The log goes on when there is room; what no longer was kept is told."""
    place, enlarge = small_disk
    log = place / "log"
    m = musterd({**KEEP, "processes": {"a": python(
        NUMBERS, str(count), "0.001", redirect_output=str(log))}})
    m.wait_status()
    before = components(m)
    wait_for("the writer's end", (m.dir / "done").exists)
    wait_for("a word", lambda: said(m))
    time.sleep(0.5)
    assert [("No space left on device" in line) for line in said(m)] == [True]
    full = log.read_bytes()
    assert len(full) == 64 << 10
    assert enlarge() == 0
    wait_for("the rest", lambda: log.read_bytes().endswith(
        b"%07d\n" % (count - 1)))
    text = log.read_bytes()
    told = m.wait_text(r"can be written again, (\d+) bytes were lost")
    assert len(text) == count * 8 - int(told[1])
    assert (int(told[1]) > 0) == lost
    assert text.startswith(full)
    if not lost:
        assert text == b"".join(b"%07d\n" % n for n in range(count))
    assert len(said(m)) == 2
    assert components(m) == before


def test_device_that_is_full(musterd):
    """Neither the process nor the API minds, and it is said once."""
    m = musterd({**KEEP, "processes": {"a": python(
        NUMBERS, "300000", "0", redirect_output="/dev/full")}})
    m.wait_status()
    wait_for("the writer's end", (m.dir / "done").exists)
    time.sleep(0.5)
    assert len(said(m)) == 1
    assert restart(m)["success"] is True
    time.sleep(0.5)
    assert len(said(m)) == 1


def test_own_log_file_is_full(musterd):
    """What cannot be written there is shown."""
    m = musterd({**KEEP, "processes": {"a": SLEEP}}, "-l", "/dev/full")
    m.wait_status()
    for _ in range(3):
        assert restart(m)["success"] is True
    text = m.wait_text("the log file cannot be written.*").group()
    assert text.endswith("No space left on device")
    assert len([line for line in said(m) if "log file" in line]) == 1


@pytest.fixture
def broken_disk(tmp_path):
    """A directory on a disk, and how to take the disk away: EIO."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not shutil.which("mkfs.ext4"):
        pytest.skip("there is no mkfs.ext4")
    place, image = tmp_path / "disk", tmp_path / "image"
    place.mkdir()
    with open(image, "wb") as f:
        f.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True,
                   capture_output=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)],
                      check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")

    def shut_down():
        """EXT4_IOC_SHUTDOWN: nothing of it can be written any more."""
        fd = os.open(place, os.O_RDONLY)
        fcntl.ioctl(fd, 0x8004587d, struct.pack("I", 2))
        os.close(fd)

    yield place, shut_down
    # Below it the test may have mounted nothing, but taken it away.
    subprocess.run(["umount", "-l", str(place)], check=False,
                   capture_output=True)


def test_broken_disk(musterd, broken_disk):
    """EIO is said once, costs no process its time, and ends with the disk."""
    place, shut_down = broken_disk
    log = place / "log"
    m = musterd({**KEEP, "processes": {"a": sh(
        "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.01; done",
        redirect_output=str(log))}})
    m.wait_status()
    wait_for("its output", lambda: log.exists() and log.stat().st_size > 100)
    before = m.all()["a"]["pid"], components(m)
    shut_down()
    wait_for("a word", lambda: said(m))
    have = len(output(m))
    wait_for("more of it", lambda: len(output(m)) > have + 100)
    assert ["Input/output error" in line for line in said(m)] == [True]
    # Another disk in its place.
    subprocess.run(["umount", "-l", str(place)], check=True)
    m.signal(signal.SIGUSR1)
    wait_for("the log", lambda: log.exists() and log.stat().st_size > 100)
    lines = log.read_text().splitlines()[:-1]
    assert lines == [str(int(lines[0]) + i) for i in range(len(lines))]
    assert (m.all()["a"]["pid"], components(m)) == before


# --- nobody who reads ---


FLOOD = "import os, time\nn = 0\nend = {0} << 20\n" \
    "data = {1}\n" \
    "while n < end:\n    n += os.write(1, data)\n" \
    "open('done', 'w').close()\ntime.sleep(4000)"


@pytest.mark.parametrize("data, more", [
    ("b'x' * 65536", {}),                       # one line without an end
    ("b'x' * 99 + b'\\n'", {"size": 16}),       # short lines
    ("bytes(range(256)) * 256", {}),            # no text
    ("bytes(range(256)) * 256", {"show": True}),
    ("b'\\n' * 65536", {"show": True, "size": 64}),
])
def test_flood(musterd, data, more):
    """256 MiB that nobody reads; little is kept, and the end of it."""
    size = more.get("size", 256)
    m = musterd({**KEEP, "processes": {
        "a": python(FLOOD.format(size, data),
                    suppress_output=not more.get("show")),
        "b": SLEEP}}, stdout=-1 if more.get("show") else None)
    m.wait_status()
    before = components(m)
    relay = m.component("muster-relay")[0].pid
    begin = time.monotonic()
    peak = 0
    while not (m.dir / "done").exists():
        peak = max(peak, harness.anonymous(relay))
        assert time.monotonic() < begin + 30 * SLOW
        time.sleep(0.02)
    print(f"{size} MiB in {time.monotonic() - begin:.2f} s, "
          f"{peak >> 10} KiB of the relay")
    # All it keeps: pages of the journal, which are nobody's own.
    kept = 0
    for fd in os.listdir(f"/proc/{relay}/fd"):
        path = f"/proc/{relay}/fd/{fd}"
        with contextlib.suppress(OSError):
            if "journal" in os.readlink(path):
                kept += os.stat(path).st_blocks * 512
    assert 0 < kept <= 2 * MIB
    if not harness.SAN:
        assert peak <= 4 * MIB
    got = m.get("/v1/processes/1/streams/stdout?tail=65536").body
    # Some of it may still have been on its way when the tail was measured.
    assert 65536 <= len(got) <= 65536 + MIB
    assert components(m) == before
    if m.popen.stdout:
        m.popen.stdout.close()


def test_exact_bytes(musterd):
    """A log file is what was written, whatever that was."""
    m = musterd({**KEEP, "processes": {"a": python(
        "import os, random\nrandom.seed(1)\n"
        "for n in range(64): os.write(1, random.randbytes(65536))",
        redirect_output="log")}})
    m.wait_status()
    m.wait_state("a", "exited")
    import random
    random.seed(1)
    assert (m.dir / "log").read_bytes() == b"".join(
        random.randbytes(65536) for _ in range(64))


def test_closed_output(musterd):
    """Who closes his output is not taken for one who has ended."""
    m = musterd({**KEEP, "processes": {
        "a": python("import os, time\nos.write(1, b'bye')\nos.close(1)\n"
                    "os.close(2)\ntime.sleep(4000)"),
        "b": python("import os\nos.close(1)\nos.close(2)\n")}})
    m.wait_status()
    m.wait_state("b", "exited")
    wait_for("its output", lambda: output(m) == "bye")
    assert m.state("a") == "running"
    assert restart(m)["success"] is True
    wait_for("more of it", lambda: output(m) == "byebye")
    assert said(m) == []


def test_own_output_is_closed(musterd):
    """Nobody reads musterd's own output any more: all else goes on."""
    with subprocess.Popen([PYTHON, "-Sc", "import time; time.sleep(4000)"],
                          stdin=subprocess.PIPE) as reader:
        m = musterd({**KEEP, "processes": {"a": sh(
            "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.01; done")}},
            stdout=reader.stdin, stderr=reader.stdin)
        m.wait_status()
        before = components(m)
        reader.send_signal(signal.SIGKILL)
        reader.stdin.close()
        reader.wait()
    length = len(output(m))
    wait_for("more output", lambda: len(output(m)) > length + 50)
    assert restart(m)["success"] is True
    assert components(m) == before
