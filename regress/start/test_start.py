"""musterd where things are not as usual: it works, or says why in one line."""

import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

import harness

CONFIG = '{"processes": {"a": {"command": "/bin/sleep 1000"}}}\n'
COMMAND = ["-x", "-q", "--", "/bin/sh", "-c", "echo up; exit 7"]


@pytest.fixture(name="start")
def fixture_start(tmp_path):
    """Runs musterd to its end, after `words`; its code and what it says."""
    (tmp_path / "c.json").write_text(CONFIG)

    def start(*words, fork=None, env=None, command=None, cwd=None):
        done = subprocess.run(
            [*words, harness.MUSTERD, "-f", str(tmp_path / "c.json"),
             *(command or COMMAND)], preexec_fn=fork, env=env, cwd=cwd,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            check=False, timeout=30 * harness.patience())
        return done.returncode, done.stdout + done.stderr

    return start


def test_no_environment(start):
    code, text = start(env={})
    assert (code, text) == (7, "up\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_that_are_closed(start, closed):
    code, text = start("sh", "-c", f'exec "$@" {closed}', "sh")
    assert code == 7
    assert text == ("" if ">&-" in closed.split() else "up\n")


def test_standard_output_that_takes_nothing(start):
    code, text = start("sh", "-c", 'exec "$@" >/dev/full', "sh")
    assert code == 7 and "up" not in text


def test_a_directory_that_is_gone(start, tmp_path):
    (tmp_path / "gone").mkdir()
    code, text = start("sh", "-c", 'rmdir ../gone; exec "$@"', "sh",
                       cwd=tmp_path / "gone")
    assert code == 1
    assert text == ("musterd: current directory: "
                    "No such file or directory\n")


def test_no_name(start):
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    assert start("bash", "-c", 'exec -a "" "$@"', "sh") == (7, "up\n")


def test_signals_that_are_ignored_or_blocked(start):
    code, text = start(
        harness.PYTHON, "-Sc", "import os, signal, sys\n"
        "for s in signal.valid_signals() - {9, 19, 1}:\n"
        "    if s < 32: signal.signal(s, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "os.execv(sys.argv[1], sys.argv[1:])",
        command=["-x", "-q", "--", "grep", "-E", "Sig(Blk|Ign)",
                 "/proc/self/status"])
    assert code == 0
    assert [line.split()[1] for line in text.splitlines()] == ["0" * 16] * 2


def limited(which, soft, hard=None):
    return lambda: resource.setrlimit(
        which, (soft, soft if hard is None else hard))


@pytest.mark.parametrize("files, code", [(64, 1), (256, 7)])
def test_few_descriptors(start, files, code):
    got, text = start(fork=limited(resource.RLIMIT_NOFILE, files))
    assert got == code
    assert text == ("up\n" if code == 7 else "musterd: 64 open files "
                    "are too few, want 256 (ulimit -Hn)\n")


def test_a_job_has_the_limits_that_musterd_had(start):
    code, text = start(fork=limited(resource.RLIMIT_NOFILE, 200, 300),
                       command=["-x", "-q", "--", "/bin/sh", "-c",
                                "ulimit -Sn; ulimit -Hn"])
    assert (code, text) == (0, "200\n300\n")


@pytest.mark.needs_root
@pytest.mark.parametrize("what, place", [
    ("/dev/null", "/dev"), ("muster-manager", "/proc")])
def test_a_file_system_that_is_missing(start, what, place):
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare(1)")
    code, text = start("unshare", "-m", "sh", "-c",
                       f'mount -t tmpfs t {place} && exec "$@"', "sh")
    # Without /proc it does not know where it was started from.
    if place == "/proc" and code == 7:
        pytest.skip("musterd is installed")
    assert code == 1
    # Without /proc a sanitizer has something to say for itself.
    assert harness.SAN or text.count("\n") == 1
    assert text.endswith(f"{what}: No such file or directory\n")


@pytest.mark.needs_root
def test_nowhere_to_listen(start):
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare(1)")
    code, text = start("unshare", "-m", "sh", "-c",
                       "mkdir -p /run/muster && mount -t tmpfs -o ro t "
                       '/run/muster && exec "$@"', "sh")
    assert code == 1
    assert "http.unix: cannot listen on /run/muster/c.json-" in text
    assert text.endswith(": Read-only file system\n")


@pytest.mark.parametrize("size", [0, 4096])
def test_files_that_may_not_grow(start, size):
    code, text = start(fork=limited(resource.RLIMIT_FSIZE, size))
    assert code == 1
    assert text.endswith(": File too large\n")


# --- what is not started leaves nothing behind ---


def test_a_place_for_its_pid_that_is_not_there(musterd):
    m = musterd(CONFIG, "-p", "/no/such/place")
    assert m.wait() == 1
    assert m.stderr_text() == (
        "musterd: /no/such/place: No such file or directory\n")
    assert not m.default_socket("lock").exists()


def test_a_command_and_a_daemon(start):
    code, text = start(command=["-d", *COMMAND])
    assert code == 2 and "-x waits" in text


def test_a_pid_file_that_is_a_device(musterd, tmp_path):
    """It is written to, and it is there afterwards."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    device = tmp_path / "device"
    os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    m = musterd(CONFIG, "-p", str(device))
    m.wait_text(r"^\$ /bin/sleep")
    assert m.stop() == 0
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_pid_file_that_is_not_ours(musterd, as_user):
    m = musterd(CONFIG, "-p", "/proc/1/limits", user=as_user)
    assert m.wait() == 1
    assert not m.default_socket("lock").exists()


@pytest.fixture(name="place")
def fixture_place():
    """A directory with a configuration, where anybody may be."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="muster-", dir="/tmp"))
    (place / "c.json").write_text(CONFIG)
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("words, code", [([], 1), (["-d"], 6)])
def test_no_process_to_be_had(place, words, code):
    root = os.geteuid() == 0

    def demote():
        if root:    # whom no limit binds
            os.setgroups([])
            os.setgid(harness.NOBODY)
            os.setuid(harness.NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))

    program = harness.Musterd._reachable() if root else harness.MUSTERD
    done = subprocess.run(
        [program, "-f", "c.json", "-p", "pid", *words], preexec_fn=demote,
        cwd=place, env={"XDG_RUNTIME_DIR": str(place)}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
        timeout=30 * harness.patience())
    assert (done.returncode, done.stdout + done.stderr) == (
        code, "musterd: fork: Resource temporarily unavailable\n")
    assert {p.name for p in place.iterdir()} == {"c.json", "muster"}
    assert not list((place / "muster").iterdir())


@pytest.mark.parametrize("words, number", [
    ([], signal.SIGTERM), (COMMAND, signal.SIGTERM),
    (COMMAND, signal.SIGKILL)])
def test_a_signal_at_any_moment(place, words, number):
    """However early it comes, no lock and no socket is left."""
    runtime = {"XDG_RUNTIME_DIR": str(place)}
    socket = harness.default_socket(place / "c.json", os.geteuid(), place)
    for n in range(60):
        with subprocess.Popen(
                [harness.MUSTERD, "-f", "c.json", *words], cwd=place,
                env={**os.environ, **runtime}, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
            time.sleep(n / 4000)
            p.send_signal(number)
            p.wait(30 * harness.patience())
        # Who was killed is cleaned up after by its parent process.
        harness.wait_for("no file", lambda: not list(
            socket.parent.glob(f"{socket.stem}*")),
            timeout=10 if number == signal.SIGKILL else 0.01)
