"""What is started, how, and what is told when it cannot be."""

import ctypes
import errno
import os
import resource
import signal
import struct
import time

import pytest

import fakes
import harness
from fakes import PIPE, TEXT, sh, spec


def output(muster, manager, process, generation=1):
    """All that the first stream of a process says until its end."""
    relay = muster.relay
    while True:
        m = relay.receive(fakes.STREAM_OPEN)
        if m.take("IIB") == (process, generation, 1):
            break
    data = b""
    while chunk := os.read(m.fd, 65536):
        data += chunk
    os.close(m.fd)
    relay.send(fakes.STREAM_CLOSED, 0,
               fakes.u32(process, generation) + fakes.u8(1))
    return data.decode()


@pytest.fixture
def start(muster):
    def go(*entries, **options):
        seal = {k: options.pop(k) for k in ("flags", "workers")
                if k in options}
        m = muster(**options)
        manager = m.ready(*entries, **seal)
        m.relay = m.accept("relay")
        return m, manager
    return go


def test_output_and_exit(start, mode):
    muster, manager = start(sh("echo out; echo err >&2; exit 3"), **mode)
    pid = manager.run(1)
    assert pid > 0
    assert output(muster, manager, 1) == "out\nerr\n"
    assert manager.exited(1) == (3 << 8, 0)
    manager.gone(1)
    # The same id again, a generation later.
    assert manager.run(1, 2) != pid
    assert manager.exited(1, 2) == (3 << 8, 0)


def test_killed(start, mode):
    _, manager = start(spec("/bin/sleep", "1000"), **mode)
    manager.run(1)
    manager.signal(1, signal.SIGKILL)
    assert manager.exited(1) == (signal.SIGKILL, 0)


def test_separate_streams(start):
    muster, manager = start(sh("echo out; echo err >&2", stderr=PIPE,
                               err=(3, 4096, fakes.NONE, "web | ")))
    manager.run(1)
    opened = {}
    for _ in range(2):
        m = muster.relay.receive(fakes.STREAM_OPEN)
        process, generation, stream, cell, flags, capture, sink = m.take(
            "IIBIIQI")
        assert (process, generation, sink) == (1, 1, fakes.NONE)
        assert cell == manager.slot * 2 + stream - 1
        opened[stream] = (os.read(m.fd, 100), flags, capture, m.text())
        os.close(m.fd)
    assert opened == {1: (b"out\n", 0, 65536, b""),
                      2: (b"err\n", 3, 4096, b"web | ")}
    assert muster.relay.receive(fakes.STREAM_EXIT).take("II") == (1, 1)


def test_session_and_descriptors(start, mode):
    muster, manager = start(sh("ls /proc/self/fd | wc -l; cat /proc/$$/stat"),
                            **mode)
    pid = manager.run(1)
    count, stat = output(muster, manager, 1).splitlines()
    fields = stat.split()
    assert int(fields[4]) == int(fields[5]) == pid     # group and session
    assert int(count) == 4     # 0 to 2, and the directory that ls reads


def test_signals_are_at_their_defaults(start):
    muster, manager = start(sh("grep Sig /proc/self/status"))
    manager.run(1)
    found = dict(line.split() for line in
                 output(muster, manager, 1).splitlines())
    assert int(found["SigBlk:"], 16) == 0
    assert int(found["SigIgn:"], 16) == 0


def test_environment(start):
    muster, manager = start(
        sh("env", environment=["OWN=replaced", "NEW=a b"]),
        sh("env", flags=fakes.CLEAR_ENV, environment=["NEW=1"]),
        env={"OWN": "inherited", "KEPT": "yes", "NOTIFY_SOCKET": "/nowhere",
             "LISTEN_FDS": "3", "WATCHDOG_USEC": "5"})
    manager.run(1)
    lines = output(muster, manager, 1).splitlines()
    assert "OWN=replaced" in lines and "OWN=inherited" not in lines
    assert "KEPT=yes" in lines and "NEW=a b" in lines
    assert not [x for x in lines if x.startswith(("NOTIFY_", "LISTEN_",
                                                  "WATCHDOG_"))]
    manager.run(2, entry=1)
    names = {x.split("=")[0] for x in
             output(muster, manager, 2).splitlines()}
    assert names - {"PWD", "_", "SHLVL"} == {"NEW", "MUSTER_PROCESS"}


def test_segments(start):
    muster, manager = start(
        spec("/bin/echo", [(TEXT, "a"), (fakes.INSTANCE, ""), (TEXT, "b")],
             [(fakes.NAME, "")], name="web", environment=[]),
        spec("/bin/echo", [(fakes.PID_OF, "")]),
        spec("/bin/sleep", "1000"))
    manager.run(1, instance=7)
    assert output(muster, manager, 1) == "a7b web\n"
    pid = manager.run(3, entry=2)
    manager.run(2, entry=1, about=3)
    assert output(muster, manager, 2) == f"{pid}\n"


def test_sockets(start):
    muster, manager = start(
        (fakes.E_SOCKET, fakes.named("web")),
        (fakes.E_SOCKET, fakes.named("other")),
        (fakes.E_SPEC, spec(
            "/bin/sh", "-c", 'ls -l /proc/self/fd/4; echo "$0 $1"; env',
            [(fakes.FILENO, "web")], [(fakes.PORT, "web")], sockets=[1, 0])))
    pid = manager.run(1, entry=2)
    lines = output(muster, manager, 1).splitlines()
    assert "socket:" in lines[0]
    fd, port = lines[1].split()
    assert int(fd) == 4 and int(port) > 0
    assert "LISTEN_FDS=2" in lines and f"LISTEN_PID={pid}" in lines
    assert "LISTEN_FDNAMES=other:web" in lines


@pytest.mark.parametrize("words, options, stage, error", [
    (["/nonexistent/program"], {}, fakes.S_EXEC, errno.ENOENT),
    (["no-such-program-anywhere"], {}, fakes.S_EXEC, errno.ENOENT),
    (["./none"], {}, fakes.S_EXEC, errno.ENOENT),
    (["/etc/passwd"], {}, fakes.S_EXEC, errno.EACCES),
    (["/bin/true"], {"directory": "/nonexistent"}, fakes.S_CHDIR,
     errno.ENOENT),
    (["/bin/true"], {"directory": "/etc/passwd"}, fakes.S_CHDIR,
     errno.ENOTDIR),
    # Only an exec can tell.
    (["/usr"], {}, fakes.S_EXEC, errno.EACCES),
    (["/bin/true"], {"limits": [(resource.RLIMIT_NOFILE, 1 << 40, 1 << 40)]},
     fakes.S_LIMIT, errno.EPERM),
])
def test_failures(start, mode, words, options, stage, error):
    _, manager = start(spec(*words, **options),
                       env={"PATH": "/usr/bin:/bin"}, **mode)
    manager.spawn(1)
    assert manager.failed(1) == (stage, error)
    assert manager.nothing(fakes.EXITED, fakes.GONE)
    # The id can be used again at once.
    manager.spawn(1, 2)
    assert manager.failed(1, 2) == (stage, error)


def test_words_of_the_path(start):
    muster, manager = start(spec("echo", "found"),
                            env={"PATH": "/nonexistent:/usr/bin:/bin"})
    manager.run(1)
    assert output(muster, manager, 1) == "found\n"


def test_relative_program(start, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for d, said in ((here, "here"), (there, "there")):
        d.mkdir()
        (d / "run").write_text(f"#!/bin/sh\necho {said}\n")
        (d / "run").chmod(0o755)
    tmp_path.chmod(0o755)
    muster, manager = start(
        spec("./run", directory=str(here), launch=str(there)),
        spec("./run", directory="/", launch=str(there)))
    manager.run(1)
    assert output(muster, manager, 1) == "here\n"
    manager.run(2, entry=1)
    assert output(muster, manager, 2) == "there\n"


def test_script_without_interpreter(start, tmp_path):
    script = tmp_path / "script"
    script.write_text('echo "$0 $1"\n')
    script.chmod(0o755)
    muster, manager = start(spec(str(script), "arg"))
    manager.run(1)
    assert output(muster, manager, 1) == f"{script} arg\n"


@pytest.mark.needs_root
def test_identity(start):
    muster, manager = start(
        sh("id -u; id -g; id -G", user="65534", group="daemon"),
        sh("id -u; id -G", user="nobody", flags=fakes.GROUPS,
           groups=["mail", "12"]))
    manager.run(1)
    uid, gid, groups = output(muster, manager, 1).splitlines()
    assert (uid, gid) == ("65534", "1") and "1" in groups.split()
    manager.run(2, entry=1)
    uid, groups = output(muster, manager, 2).splitlines()
    assert uid == "65534" and set(groups.split()) == {"65534", "8", "12"}


def test_umask_nice_limits(start):
    muster, manager = start(
        sh("umask; nice; ulimit -Hn; ulimit -Sn; ulimit -c", umask=0o027,
           nice=5, limits=[(resource.RLIMIT_NOFILE, 100, 200),
                           (resource.RLIMIT_CORE, 0, 0)]),
        sh("ulimit -Sn"))
    manager.run(1)
    assert output(muster, manager, 1).split() == [
        "0027", str(os.nice(0) + 5), "200", "100", "0"]
    # musterd raises its own; a job gets what musterd was given.
    manager.run(2, entry=1)
    assert output(muster, manager, 2).strip() == str(
        resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@pytest.mark.needs_root
def test_other_user_cannot_enter(start, tmp_path):
    tmp_path.chmod(0o700)
    _, manager = start(sh("true", user="nobody", directory=str(tmp_path)))
    manager.spawn(1)
    assert manager.started(1)
    assert manager.failed(1) == (fakes.S_CHDIR, errno.EACCES)


def test_group_is_given_up(start):
    _, manager = start(spec("/bin/sleep", "1000"), spec("/nonexistent"))
    manager.spawn(1, group=5)
    manager.spawn(2, entry=1, group=5)
    manager.spawn(3, group=5)
    manager.spawn(4, group=6)
    manager.started(1)
    assert manager.failed(2) == (fakes.S_EXEC, errno.ENOENT)
    assert manager.failed(3)[0] == fakes.S_SKIPPED
    manager.started(4)
    # What comes later in the same group is skipped, too.
    manager.spawn(5, group=5)
    assert manager.failed(5)[0] == fakes.S_SKIPPED


@pytest.mark.needs_root
def test_group_waits_for_another_user(start):
    _, manager = start(spec("/bin/true", user="nobody"),
                       spec("/nonexistent", user="nobody"))
    manager.spawn(1, group=1)
    manager.spawn(2, entry=1, group=1)
    manager.spawn(3, group=1)
    manager.started(1)
    manager.started(2)
    assert manager.failed(2) == (fakes.S_EXEC, errno.ENOENT)
    assert manager.failed(3)[0] == fakes.S_SKIPPED


def test_barrier(start):
    _, manager = start(spec("/bin/sleep", "1000"))
    manager.send(fakes.BARRIER, 1)
    assert manager.receive(fakes.BARRIER_DONE).id == 1
    for i in range(1, 41):
        manager.spawn(i)
    manager.send(fakes.BARRIER, 2)
    assert manager.receive(fakes.BARRIER_DONE).id == 2
    started = [m for m in manager.kept if m.kind == fakes.STARTED]
    assert len(started) == 40
    for m in started:
        pid = m.take("IIi")[2]
        assert harness.process(pid).name == "sleep"


def test_announced(start):
    muster, manager = start(sh("true"))
    manager.spawn(1, announce="$ true\n")
    manager.spawn(2, group=1, entry=0, announce="$ again\n")
    muster.relay.receive(fakes.CONSOLE_OPEN)
    texts = []
    for _ in range(2):
        m = muster.relay.receive(fakes.CONSOLE_WRITE)
        assert m.take("B") == 1
        texts.append(m.text())
    assert texts == [b"$ true\n", b"$ again\n"]


def test_report(start):
    fail = struct.pack("=BxxxI", fakes.S_ENVIRONMENT, errno.ENOENT)
    script = "printf '%s' >&$0; exit 127" % "".join(
        f"\\{b:03o}" for b in fail)
    fd = [(fakes.REPORT_FD, "")]
    _, manager = start(
        spec("/bin/sh", "-c", script, fd, flags=fakes.REPORT),
        spec("/bin/sh", "-c", 'eval "exec $0>&-"; sleep 1000', fd,
             flags=fakes.REPORT),
        spec("/bin/sh", "-c", "printf rubbish! >&$0; exit 4", fd,
             flags=fakes.REPORT))
    manager.run(1)
    assert manager.failed(1) == (fakes.S_ENVIRONMENT, errno.ENOENT)
    manager.run(2, entry=1)
    manager.send(fakes.BARRIER, 9)
    assert manager.receive(fakes.BARRIER_DONE).id == 9
    # What is not a report is no failure of the start.
    manager.run(3, entry=2)
    assert manager.exited(3) == (4 << 8, 0)


def test_report_holds_group_and_barrier(start):
    fd = [(fakes.REPORT_FD, "")]
    _, manager = start(
        spec("/bin/sh", "-c", "read x; sleep 0.3; exec sleep 1000", fd,
             flags=fakes.REPORT, stdin=PIPE),
        spec("/bin/sleep", "1000"))
    manager.run(1, group=3)
    manager.spawn(2, entry=1, group=3)
    manager.send(fakes.BARRIER, 1)
    assert manager.nothing(fakes.STARTED, fakes.BARRIER_DONE)
    manager.send(fakes.KILL, 0, fakes.u32(1, 1))
    assert manager.exited(1)[0] == signal.SIGKILL
    manager.started(2)
    assert manager.receive(fakes.BARRIER_DONE)


def test_stdin(start):
    muster, manager = start(sh("read a; echo got $a; cat | wc -c",
                               stdin=PIPE))
    manager.run(1)
    manager.send(fakes.STDIN, 0, fakes.u32(1) + fakes.text("hello\n"))
    m = muster.relay.receive(fakes.STREAM_OPEN)
    assert os.read(m.fd, 100) == b"got hello\n"
    # More than a pipe takes is queued.
    for _ in range(4):
        manager.send(fakes.STDIN, 0, fakes.u32(1) + fakes.text(b"x" * 50000))
    time.sleep(0.3)
    manager.signal(1, signal.SIGTERM, fakes.GROUP)
    manager.exited(1)


def test_subject_of_a_probe(start):
    """The adapter of a custom verifier: stdin and status of its subject."""
    muster, manager = start(
        sh("read x; exit $x", stdin=PIPE),
        spec("/bin/sh", "-c", "echo 7 >&3; od -An -td4 <&4",
             flags=fakes.PROBE | fakes.ABOUT))
    manager.run(1)
    manager.run(0x80000001, entry=1, about=1)
    for _ in range(2):
        m = muster.relay.receive(fakes.STREAM_OPEN)
    assert os.read(m.fd, 100).split() == [str(7 << 8).encode()]
    assert manager.exited(1) == (7 << 8, 0)
    assert manager.exited(0x80000001) == (0, 0)
    # It has ended already when the next probe asks.
    manager.run(0x80000002, entry=1, about=1)
    m = muster.relay.receive(fakes.STREAM_OPEN)
    assert os.read(m.fd, 100).split() == [str(7 << 8).encode()]
    manager.exited(0x80000002)


def test_foreground(start):
    muster, manager = start(spec("/bin/cat", "/proc/self/stat",
                                 flags=fakes.FOREGROUND))
    manager.run(1)
    fields = output(muster, manager, 1).split()
    assert int(fields[4]) == os.getpgid(muster.pid)
    assert int(fields[5]) == os.getsid(muster.pid)


def test_a_spawn_that_blocks_stops_nobody(start, tmp_path):
    """A log file that is a FIFO, a program that cannot be read."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    _, manager = start((fakes.E_LOGFILE, fakes.logfile(fifo)),
                       (fakes.E_SPEC, sh("echo", out=(0, 0, 0, ""))),
                       (fakes.E_SPEC, sh("exit 5")))
    manager.spawn(1, entry=1)
    manager.spawn(2, entry=2)
    assert manager.failed(1) == (fakes.S_LOGFILE, errno.ENXIO)
    manager.started(2)
    assert manager.exited(2) == (5 << 8, 0)


def without_clone3():
    """As an old seccomp filter does: ENOSYS, so that fork must do."""
    code = struct.pack("=HBBIHBBIHBBIHBBI",
                       0x20, 0, 0, 0,                   # load the number
                       0x15, 0, 1, 435,                 # clone3?
                       0x06, 0, 0, 0x00050000 | errno.ENOSYS,
                       0x06, 0, 0, 0x7fff0000)
    libc = ctypes.CDLL(None)
    raw = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(raw))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program) == 0


def test_fork(start, mode):
    muster, manager = start(sh("exec sleep 4000"),
                            sh("read x; exit $x", stdin=PIPE),
                            spec("/usr"), preexec_fn=without_clone3, **mode)
    for i in range(1, 101):
        manager.spawn(i)
    manager.send(fakes.BARRIER, 1)
    manager.receive(fakes.BARRIER_DONE)
    for i in range(1, 101):
        pid = manager.started(i)
        # The shell has an exec of its own before it.
        harness.wait_for("sleep", lambda pid=pid:
                         harness.process(pid).name == "sleep")
    manager.run(200, entry=1)
    manager.send(fakes.STDIN, 0, fakes.u32(200) + fakes.text("9\n"))
    assert manager.exited(200) == (9 << 8, 0)
    manager.run(300, entry=2)
    assert manager.failed(300) == (fakes.S_EXEC, errno.EACCES)
    for i in range(1, 101):
        manager.kill(i)
        manager.exited(i)


@pytest.mark.timeout(120)
def test_a_thousand(start, mode):
    _, manager = start(spec("/bin/sleep", "1000"), **mode)
    for i in range(1, 1001):
        manager.spawn(i)
    manager.send(fakes.BARRIER, 1)
    manager.receive(fakes.BARRIER_DONE, timeout=40)
    pids = {m.take("IIi")[2] for m in manager.kept
            if m.kind == fakes.STARTED}
    assert len(pids) == 1000
    for i in range(1, 1001):
        manager.signal(i, signal.SIGTERM, fakes.GROUP)
    ends = {manager.receive(fakes.EXITED).take("I") for _ in range(1000)}
    assert len(ends) == 1000
    for _ in range(1000):
        manager.receive(fakes.GONE)
