"""The command line, one instance a file, the daemon, a reload."""

import fcntl
import os
import signal
import socket
import subprocess
import termios
import time

import pytest

import fakes
import harness
from fakes import E_LISTEN, E_LOGFILE, E_SPEC, listener, logfile, sh, text, u8


def run(*args, cwd="/", **options):
    return subprocess.run([harness.MUSTERD, *map(str, args)], cwd=cwd,
                          capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, check=False, **options)


def test_version_and_help():
    for option in ("-V", "--version", "--vers"):
        r = run(option)
        assert (r.returncode, r.stdout) == (0, "musterd 0.1.0\n")
    for option in ("-h", "--help"):
        r = run(option)
        assert r.returncode == 0 and r.stdout.startswith("usage: musterd")
        assert not r.stderr


@pytest.mark.parametrize("args", [["--nonsense"], ["-y"], ["-f"], ["-x"],
                                  ["-x", "--"]])
def test_usage(args):
    r = run(*args)
    assert r.returncode == 2 and r.stderr and not r.stdout


def test_no_file(tmp_path):
    r = run("-f", "/nonexistent/x.json")
    assert r.returncode == 1
    assert r.stdout == "Cannot find file /nonexistent/x.json.\n"
    r = run(cwd=tmp_path)
    assert r.returncode == 1 and r.stdout.startswith("Cannot find file ")
    assert not r.stderr
    r = run("-n", "x.json", "y", cwd=tmp_path)
    assert r.returncode == 1 and r.stdout.startswith("Cannot find file ")
    assert r.stderr == "musterd: x.json: ignored (did you mean -f x.json?)\n"


def test_unreadable_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name in (tmp_path, tmp_path / "fifo"):
        r = run("-f", name)
        assert r.returncode == 2
        assert r.stdout.startswith(f"Error while loading file {name}: ")
    large = tmp_path / "large"
    with open(large, "wb") as f:
        f.truncate((16 << 20) + 1)
    assert run("-f", large).returncode == 2


@pytest.mark.needs_root
def test_file_that_others_may_write(tmp_path):
    path = tmp_path / "muster.yaml"
    path.write_text("processes: {}\n")
    for mode in (0o666, 0o664, 0o602):
        path.chmod(mode)
        assert run("-f", path).returncode == 2


@pytest.mark.parametrize("found", ["muster.yaml", "muster.yml",
                                   "muster.json", "pymanager.json",
                                   "Procfile"])
def test_search(muster, found):
    m = muster()
    m.manager()
    m.popen.terminate()
    m.wait()
    m.file.unlink()
    names = ["muster.yaml", "muster.yml", "muster.json", "pymanager.json",
             "Procfile"]
    for name in names[names.index(found):]:
        (m.dir / name).write_text(name)
    popen = subprocess.Popen([harness.MUSTERD], cwd=m.dir, env=m.env,
                             stdin=subprocess.DEVNULL)
    while True:     # the first one's replacement may still come
        manager = m.accept("manager")
        if harness.process(manager.pid) and os.pread(
                manager.receive(fakes.CFG_SNAPSHOT).fd, 1 << 20,
                0).endswith(found.encode()):
            break
    popen.terminate()
    assert popen.wait(10) == 0


def test_one_instance(muster):
    m = muster()
    manager = m.ready()
    link = m.dir / "link"
    link.symlink_to(m.file)
    for name in (m.file, link):
        r = run("-f", name, env=m.env)
        assert r.returncode == 1 and f"process {m.pid}" in r.stderr
    manager.quit()
    m.wait()
    assert not [p for p in (m.dir / "muster").glob("*")] or \
        os.geteuid() == 0


def test_pidfile(muster):
    m = muster("-p", "pid")
    manager = m.ready()
    assert (m.dir / "pid").read_text() == f"{m.pid}\n"
    manager.quit()
    m.wait()
    assert not (m.dir / "pid").exists()


def test_pidfile_that_is_a_link(muster, tmp_path):
    """Somebody else may have put it there."""
    (tmp_path / "target").write_text("mine")
    for target in ("target", "nothing"):
        link = tmp_path / f"to-{target}"
        link.symlink_to(target)
        m = muster("-p", str(link))
        assert m.wait() == 1
        assert m.err.read_text() == \
            f"musterd: {link}: A symbolic link is not followed\n"
        assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_pidfile_of_another(muster, tmp_path):
    path = tmp_path / "pid"
    m = muster("-p", str(path))
    manager = m.ready()
    assert path.read_text() == f"{m.pid}\n"
    for option in ((), ("-d",)):
        other = muster(*option, "-p", str(path))
        assert other.wait() == 1
        assert other.err.read_text() == \
            f"musterd: {path}: It is in the hands of another musterd\n"
        assert path.read_text() == f"{m.pid}\n"
    # Without the guard it is the parent that removes it.
    parent = m.parent
    os.kill(m.pid, signal.SIGKILL)
    m.wait()
    harness.wait_for("its end", lambda: not harness.alive(parent))
    assert manager and not path.exists()
    # Nobody has what is left of one that was killed.
    path.write_text("1234567890123, old\n")
    m = muster("-p", str(path))
    manager = m.ready()
    assert path.read_text() == f"{m.pid}\n"
    manager.quit()
    m.wait()
    assert not path.exists()


@pytest.mark.parametrize("change", [
    lambda p: p.write_text("4711\n"), lambda p: p.write_text(""),
    lambda p: p.write_text(p.read_text() + "\n"),
    lambda p: (p.rename(p.with_suffix(".old")), p.write_text(
        p.with_suffix(".old").read_text())),
    lambda p: (p.rename(p.with_suffix(".old")), p.symlink_to("pid.old")),
    lambda p: (p.unlink(), os.mkfifo(p))])
def test_pidfile_that_is_no_longer_ours(muster, tmp_path, change):
    path = tmp_path / "pid"
    m = muster("-p", str(path))
    manager = m.ready()
    change(path)
    before = path.lstat()
    manager.quit()
    assert m.wait() == 0
    after = path.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (
        before.st_ino, before.st_mtime_ns)


def test_pidfile_that_is_no_file(muster, tmp_path):
    """What is no file can be that of several, and stays."""
    path = tmp_path / "pid"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    both = [muster("-p", str(path)) for _ in range(2)]
    for m in both:
        manager = m.ready()
        manager.quit()
        assert m.wait() == 0
    assert sorted(os.read(fd, 100).split()) == sorted(
        str(m.pid).encode() for m in both)
    os.close(fd)
    assert path.exists()


def test_check_only(muster):
    m = muster("-n")
    manager = m.manager()
    manager.send(fakes.CFG_VERDICT, 0, u8(0) + u8(1) + text("fine\n"))
    assert m.wait() == 0 and m.out.read_text() == "fine\n"


@pytest.mark.parametrize("code", [0, 5])
def test_verdict_that_cannot_be_written(muster, tmp_path, code):
    reader, writer = os.pipe()
    os.close(reader)
    m = muster("-n", preexec_fn=lambda: os.dup2(writer, 1))
    os.close(writer)
    m.manager().send(fakes.CFG_VERDICT, 0, u8(code) + u8(1) + text("fine\n"))
    assert m.wait() == (code or 1)
    assert m.err.read_text() == "musterd: standard output: Broken pipe\n"


def test_verdict_on_standard_error(muster):
    m = muster()
    manager = m.manager()
    manager.send(fakes.CFG_VERDICT, 0, u8(3) + u8(2) + text("bad\n"))
    assert m.wait() == 3 and m.err.read_text() == "bad\n"


def test_manager_that_dies_of_the_file(muster):
    m = muster()
    for _ in range(3):
        m.manager().die()
    assert m.wait() == 1


@pytest.mark.parametrize("code", [0, 5])
def test_daemon(muster, code):
    m = muster("-d", "-p", "pid")
    manager = m.ready(sh("exec sleep 4000"))
    manager.run(1)
    assert m.popen.poll() is None
    manager.send(fakes.DAEMON_READY, 0, u8(code))
    assert m.wait() == code
    guard = int((m.dir / "pid").read_text())
    assert os.getsid(guard) != os.getsid(0) and harness.alive(guard)
    assert harness.process(guard).ppid == os.getpid()
    manager.quit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(guard, 0)[1]) == 7


def test_daemon_that_is_refused(muster):
    m = muster("-d")
    manager = m.manager()
    manager.send(fakes.CFG_VERDICT, 0, u8(3) + u8(1) + text("no\n"))
    assert m.wait() == 3 and m.out.read_text() == "no\n"


def test_notify(muster, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(10)
        m = muster(env={"NOTIFY_SOCKET": str(path)})
        manager = m.ready()
        manager.send(fakes.NOTIFY, 0, text("READY=1\nSTATUS=up"))
        assert s.recv(100) == b"READY=1\nSTATUS=up"
        manager.quit()
        assert m.wait() == 0


def test_descriptors_of_the_caller(muster):
    m = muster()
    manager = m.ready(sh("ls -l /proc/self/fd | grep -c pipe:"))
    for pid in (m.pid, m.parent):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            assert "bridge" not in os.readlink(f"/proc/{pid}/fd/{fd}")
    manager.run(1)


def test_idle(muster):
    """Nothing to do: nothing is done."""
    m = muster()
    manager = m.ready(sh("exec sleep 4000"))
    for i in range(1, 21):
        manager.run(i)
    time.sleep(3.5 * harness.patience())      # the start has left nothing to do

    def switches():
        total = 0
        for pid in (m.pid, m.parent):
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                total += sum(int(line.split()[1]) for line in f
                             if line.startswith("voluntary"))
        return total

    before = switches()
    time.sleep(1.5)
    assert switches() == before


@pytest.mark.needs_root
@pytest.mark.needs_program("unshare")
def test_first_process_of_a_container(muster):
    m = muster(before=["unshare", "-pf", "--mount-proc"])
    manager = m.ready(sh("setsid sleep 0.2 & exit 3"))
    assert manager.run(1) < 100
    assert manager.exited(1) == (3 << 8, 1)
    manager.gone(1)
    manager.quit(6)
    assert m.wait() == 6


def test_hangup(muster):
    """The terminal goes away: that is not a wish to reload."""
    master, slave = os.openpty()

    def control():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    m = muster(stdin=slave, preexec_fn=control)
    os.close(slave)
    manager = m.ready()
    os.kill(m.pid, signal.SIGHUP)
    assert manager.receive(fakes.SIGNALLED).take("iB") == (signal.SIGHUP, 0)
    os.close(master)
    assert manager.receive(fakes.SIGNALLED).take("iB") == (signal.SIGHUP, 1)
    manager.quit()
    assert m.wait() == 0


def test_nohup(muster):
    m = muster(before=["nohup"])
    manager = m.ready(sh("grep SigIgn /proc/$$/status"))
    os.kill(m.pid, signal.SIGHUP)
    os.kill(m.pid, signal.SIGUSR1)
    assert manager.receive(fakes.SIGNALLED).take("i") == signal.SIGUSR1
    # It is musterd's matter alone.
    relay = m.accept("relay")
    manager.run(1)
    line = os.read(relay.receive(fakes.STREAM_OPEN).fd, 100)
    assert int(line.split()[1], 16) == 0
    manager.quit()
    assert m.wait() == 0


@pytest.mark.needs_root
@pytest.mark.needs_cgroup
def test_stale_cgroups(muster, cgroup):
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = cgroup / f"muster-{dead.pid}"
    (stale / "1" / "nested").mkdir(parents=True)
    m = muster()
    manager = m.ready()
    assert not stale.exists()
    own = cgroup / f"muster-{m.pid}"
    assert own.is_dir()
    manager.quit()
    m.wait()
    assert not own.exists()


# --- reload ---


def reload(m, manager, *entries, **options):
    """A second manager, which has sealed these."""
    manager.send(fakes.RELOAD, 9)
    second = m.manager(fakes.CHECK)
    answer = second.seal(entries, **options)
    return second, answer


def test_what_the_kernel_keeps_for_a_client(muster):
    """Who does not read gets no buffer of megabytes."""
    m = muster()
    m.ready((E_LISTEN, listener(1, "127.0.0.1")), workers=1)
    passed = m.accept("httpd").receive(fakes.LISTENER)
    with socket.socket(fileno=passed.fd) as s, \
            socket.create_connection(s.getsockname()):
        one, _ = s.accept()
        with one:
            kept = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert kept <= 256 << 10
            one.setblocking(False)
            sent = 0
            with pytest.raises(BlockingIOError):
                while True:
                    sent += one.send(bytes(65536))
    print(f"{sent} bytes were kept for who does not read")


def test_reload(muster):
    m = muster()
    path = str(m.dir / "api")
    manager = m.ready(sh("exec sleep 4000"), sh("exec sleep 4001"),
                      (E_LISTEN, listener(2, path=path)),
                      (E_LISTEN, listener(1, "127.0.0.1")), workers=1)
    pid = manager.run(1)
    manager.run(2, entry=1)
    manager.send(fakes.BLOB_SET, 0, fakes.u64(5) + text("x"))
    worker = m.accept("httpd")
    ports = [x.take("BH") for x in (worker.receive(fakes.LISTENER),
                                    worker.receive(fakes.LISTENER))]
    m.file.write_text("y: 2\n")
    second, answer = reload(
        m, manager, (E_SPEC, sh("new")), (E_SPEC, sh("exec sleep 4000")),
        (E_LISTEN, listener(1, "127.0.0.1")), workers=1)
    assert os.pread(second.snapshot, 1 << 20, 0).endswith(b"y: 2\n")
    assert answer.kind == fakes.SEALED
    assert manager.ended()
    procs, blobs, _ = second.world()
    # What has not changed is found under its new number.
    assert procs[1]["entry"] == 1 and procs[2]["entry"] == fakes.NONE
    assert procs[1]["pid"] == pid and blobs == {5: b"x"}
    worker = m.accept("httpd")
    assert worker.receive(fakes.LISTENER).take("BH") in ports
    second.send(fakes.ADOPTED)
    harness.wait_for("the socket's end", lambda: not os.path.exists(path))
    second.signal(1, signal.SIGTERM, fakes.GROUP)
    second.exited(1)
    second.run(1, 2, entry=1)
    # A crash from now on brings back the new table.
    second.die()
    third, _ = m.again(3)
    assert os.pread(third.snapshot, 1 << 20, 0).endswith(b"y: 2\n")


def test_reload_is_refused(muster):
    m = muster()
    manager = m.ready(sh("exec sleep 4000"))
    pid = manager.run(1)
    manager.send(fakes.RELOAD, 9)
    second = m.manager(fakes.CHECK)
    second.send(fakes.CFG_VERDICT, 0, u8(3) + u8(1) + text("not YAML"))
    answer = manager.receive(fakes.RELOAD_DONE)
    assert answer.id == 9
    assert answer.take("B") == 3 and answer.text() == b"not YAML"
    second, answer = reload(m, manager, (E_SPEC, b"rubbish"))
    assert answer.kind == fakes.SEAL_REFUSED
    second.send(fakes.CFG_VERDICT, 0, u8(5) + u8(1) + text("no"))
    assert manager.receive(fakes.RELOAD_DONE).take("B") == 5
    # One that dies is a refusal, too.
    manager.send(fakes.RELOAD, 10)
    m.manager(fakes.CHECK).die()
    assert manager.receive(fakes.RELOAD_DONE).id == 10
    manager.signal(1, signal.SIGKILL)
    assert manager.exited(1) == (9, 0) and pid


def test_reload_of_a_file_that_has_gone(muster):
    m = muster()
    manager = m.ready()
    m.file.unlink()
    manager.send(fakes.RELOAD, 1)
    second = m.manager(fakes.CHECK)
    second.send(fakes.CFG_VERDICT, 0, u8(1) + u8(1) + text("gone"))
    assert manager.receive(fakes.RELOAD_DONE).take("B") == 1


def test_promoted_manager_dies_before_it_has_adopted(muster):
    m = muster()
    manager = m.ready(sh("exec sleep 4000"))
    pid = manager.run(1)
    m.file.write_text("y: 2\n")
    second, _ = reload(m, manager, (E_SPEC, sh("other")),
                       (E_SPEC, sh("exec sleep 4000")))
    second.world()
    second.die()
    third, (procs, _, _) = m.again(1)
    assert os.pread(third.snapshot, 1 << 20, 0).endswith(b"x: 1\n")
    assert procs[1]["entry"] == 0 and procs[1]["pid"] == pid
    third.signal(1, signal.SIGKILL)
    third.exited(1)
    third.run(1, 2)


def test_workers_of_a_configuration_that_is_given_up(muster):
    """They listen again where the old one says, as many as it says."""
    m = muster()
    old = (E_LISTEN, listener(1, "127.0.0.1"))
    manager = m.ready(sh("exec sleep 4000"), old, workers=2)
    first = [m.accept("httpd", i) for i in range(2)]
    ports = {w.receive(fakes.LISTENER).take("BH") for w in first}
    assert len(ports) == 1
    m.file.write_text("y: 2\n")
    second, _ = reload(m, manager, (E_SPEC, sh("exec sleep 4000")),
                       (E_LISTEN, listener(1, "127.0.0.2")), workers=1)
    second.world()
    assert m.accept("httpd").receive(fakes.LISTENER).take("BH") not in ports
    assert first[0].ended() and first[1].ended()
    second.die()
    again = [m.accept("httpd", i) for i in range(2)]
    assert {w.receive(fakes.LISTENER).take("BH") for w in again} == ports


def test_log_files_over_a_reload(muster, tmp_path):
    m = muster()
    log = (E_LOGFILE, logfile(tmp_path / "log", append=1))
    manager = m.ready(log, (E_SPEC, sh("exec sleep 4000", out=(0, 0, 0, ""))))
    manager.run(1, entry=1)
    relay = m.accept("relay")
    number = relay.receive(fakes.SINK_OPEN).take("II")[0]
    second, _ = reload(
        m, manager, (E_SPEC, sh("true")), log,
        (E_SPEC, sh("exec sleep 4000", out=(0, 0, 1, ""))))
    procs, _, _ = second.world()
    assert procs[1]["entry"] == 2
    second.send(fakes.ADOPTED)
    second.send(fakes.BARRIER)
    second.receive(fakes.BARRIER_DONE)
    relay.die()
    assert m.accept("relay").receive(fakes.SINK_OPEN).take("II")[0] == number


def test_manager_dies_while_a_reload_is_checked(muster):
    """What was staged is given up: it was neither complete nor checked."""
    m = muster()
    job = sh("id -u >&2; exit 3", stderr=fakes.INHERIT)
    manager = m.ready(sh("sleep 4000"), job)
    pid = manager.run(1)
    manager.send(fakes.RELOAD, 7)
    check = m.manager(fakes.CHECK)
    check.entry(0, fakes.E_SPEC, sh("touch evil", directory=str(m.dir)))
    check.entry(1, fakes.E_SPEC, sh("touch evil", directory=str(m.dir),
                                    user="nobody", group="no-such-group"))
    check.send(fakes.LOG, 0, fakes.u8(1) + text("manager") + text("staged"))
    while b"staged" not in manager.receive(fakes.LOG).payload:
        pass
    manager.die()
    assert check.ended()
    manager, (procs, _, _) = m.again(2)
    assert procs[1]["pid"] == pid and procs[1]["entry"] == 0
    manager.run(2, entry=1)
    assert manager.exited(2) == (3 << 8, 0)
    assert not (m.dir / "evil").exists()
    # Another one can be checked after it.
    manager.send(fakes.RELOAD, 8)
    m.manager(fakes.CHECK).send(fakes.CFG_VERDICT, 0,
                                fakes.u8(5) + fakes.u8(1) + text("no\n"))
    assert manager.receive(fakes.RELOAD_DONE).id == 8
