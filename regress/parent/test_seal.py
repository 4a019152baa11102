"""The table: what is accepted, what is refused, what a crash leaves of it."""

import errno
import os
import resource
import socket
import stat
import time

import pytest

import fakes
import harness
from fakes import (E_FILE, E_LISTEN, E_LOGFILE, E_SOCKET, E_SPEC, E_UNIX,
                   NONE, listener, logfile, named, sh, spec, text, u32)

GOOD = spec("/bin/sleep", "4000")


def bad_entries():
    def bad(name, kind, data):
        return pytest.param(kind, data, id=name)
    out = (0, 0, NONE, "")
    yield bad("empty spec", E_SPEC, b"x")
    yield bad("no words", E_SPEC, spec())
    yield bad("short", E_SPEC, GOOD[:-1])
    yield bad("long", E_SPEC, GOOD + b"\0")
    yield bad("flags", E_SPEC, spec("a", flags=64))
    yield bad("umask", E_SPEC, spec("a", umask=0o1000))
    yield bad("nice", E_SPEC, spec("a", nice=41))
    yield bad("limit", E_SPEC, spec("a", limits=[(200, 0, 0)]))
    yield bad("limit order", E_SPEC, spec("a", limits=[(7, 2, 1)]))
    yield bad("directory", E_SPEC, spec("a", directory="relative"))
    yield bad("no directory", E_SPEC, spec("a", directory=""))
    yield bad("launch", E_SPEC, spec("a", launch="x"))
    yield bad("long name", E_SPEC, spec("a", name="n" * 300))
    yield bad("NUL", E_SPEC, spec("a\0b"))
    yield bad("word too long", E_SPEC, spec("a", "x" * 131072))
    yield bad("variable", E_SPEC, spec("a", environment=["NOVALUE"]))
    yield bad("no name", E_SPEC, spec("a", environment=["=x"]))
    yield bad("name not literal", E_SPEC,
              spec("a", environment=[[(fakes.NAME, ""), (0, "=x")]]))
    yield bad("segment", E_SPEC, spec([(8, "")]))
    yield bad("report unasked", E_SPEC, spec("a", [(fakes.REPORT_FD, "")]))
    yield bad("no such socket", E_SPEC, spec([(fakes.PORT, "web")]))
    yield bad("stdin", E_SPEC, spec("a", stdin=3))
    yield bad("stdout", E_SPEC, spec("a", stdout=3))
    yield bad("stderr", E_SPEC, spec("a", stderr=4))
    yield bad("stream flags", E_SPEC, spec("a", out=(8, 0, NONE, "")))
    yield bad("capture", E_SPEC, spec("a", out=(0, 1 << 40, NONE, "")))
    yield bad("sink", E_SPEC, spec("a", out=(0, 0, 0, ""), err=out))
    yield bad("sink index", E_SPEC, spec("a", out=(0, 0, 99, "")))
    yield bad("socket index", E_SPEC, spec("a", sockets=[0]))
    yield bad("groups unasked", E_SPEC, spec("a", groups=["mail"]))
    yield bad("about and sockets", E_SPEC,
              spec("a", flags=fakes.ABOUT, sockets=[1]))
    yield bad("log path", E_LOGFILE, logfile("relative"))
    yield bad("log append", E_LOGFILE, logfile("/x", append=2))
    yield bad("log mode", E_LOGFILE, logfile("/x", mode=0o10000))
    yield bad("unix path", E_UNIX, text("/" + "x" * 108) + text("")
              + text(""))
    yield bad("file path", E_FILE, text("") + text("") + text(""))
    yield bad("listener kind", E_LISTEN, listener(3, "127.0.0.1"))
    yield bad("listener path", E_LISTEN, listener(2, path=""))
    yield bad("listener both", E_LISTEN, listener(1, "127.0.0.1",
                                                  path="/x"))
    yield bad("listener name", E_LISTEN, listener(1, "localhost"))
    yield bad("listener number", E_LISTEN, listener(1, "127.0.0.256"))
    yield bad("listener colons", E_LISTEN, listener(1, "::1:::"))
    yield bad("socket family", E_SOCKET, named("a", family=5))
    yield bad("socket type", E_SOCKET, named("a", kind=3))
    yield bad("socket type 0", E_SOCKET, named("a", kind=0))
    yield bad("socket reuseport", E_SOCKET, named("a", reuseport=2))


@pytest.mark.parametrize("kind, data", bad_entries())
def test_bad_entry(muster, kind, data):
    m = muster()
    manager = m.manager()
    assert manager.refused([(kind, data), (E_SOCKET, named("other")),
                            (E_SPEC, GOOD)]) == (0, fakes.S_ENTRY,
                                                 errno.EINVAL)
    manager.send(fakes.CFG_VERDICT, 0, fakes.u8(5) + fakes.u8(1)
                 + text("refused\n"))
    assert m.wait() == 5 and m.out.read_text() == "refused\n"


@pytest.mark.parametrize("kind, payload", [
    pytest.param(fakes.ENTRY, u32(1) + b"\1" + text(GOOD), id="index"),
    pytest.param(fakes.ENTRY, u32(0) + b"\0" + text(GOOD), id="kind 0"),
    pytest.param(fakes.ENTRY, u32(0) + b"\x63" + text(GOOD), id="kind 99"),
    pytest.param(fakes.ENTRY, u32(0) + b"\1" + text(""), id="empty"),
    pytest.param(fakes.ENTRY, u32(0) + b"\1" + text(GOOD) + b"x", id="long"),
    pytest.param(fakes.ENTRY_DATA, b"abc", id="data alone"),
    pytest.param(fakes.ENTRY_BEGIN, u32(0) + b"\1" + u32(0), id="nothing"),
    pytest.param(fakes.ENTRY_BEGIN, u32(0) + b"\1" + u32((1 << 20) + 1),
                 id="too large"),
    pytest.param(fakes.SEAL, u32(1, 0, 0), id="count"),
    pytest.param(fakes.SEAL, u32(0, 4, 0), id="flags"),
    pytest.param(fakes.SEAL, u32(0, 0, 17), id="workers"),
    pytest.param(fakes.SPAWN, u32(1, 1, 0, 0, 0, 0) + text(""),
                 id="spawn before the seal"),
    pytest.param(fakes.BLOB_SET, fakes.u64(1) + text("x"),
                 id="blob before the seal"),
    pytest.param(fakes.CFG_INCLUDE, text("relative"), id="include"),
    pytest.param(fakes.CFG_VERDICT, b"\0\0" + text(""), id="verdict stream"),
])
def test_bad_staging(muster, kind, payload):
    m = muster()
    manager = m.manager()
    manager.send(kind, 0, payload)
    assert manager.ended()
    # One more chance; then the configuration is to blame.
    for _ in range(2):
        m.manager().die()
    assert m.wait() == 1


def test_pieces(muster):
    m = muster()
    words = ["x" * 1000] * 400
    manager = m.ready(spec("/bin/sh", "-c", "exit $(($# == 400))", "sh",
                           *words))
    manager.run(1)
    assert manager.exited(1) == (1 << 8, 0)


def test_piece_too_long(muster):
    m = muster()
    manager = m.manager()
    manager.send(fakes.ENTRY_BEGIN, 0, u32(0) + b"\1" + u32(10))
    manager.send(fakes.ENTRY_DATA, 0, b"x" * 11)
    assert manager.ended()


def test_includes(muster, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"\0" * (16 * 1024 * 1024 + 1))
    good = tmp_path / "good"
    good.write_text("included")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    m = muster()
    manager = m.manager()

    def include(path, of=manager):
        of.send(fakes.CFG_INCLUDE, 0, text(str(path)))
        answer = of.receive(fakes.CFG_INCLUDED)
        error = answer.take("i")
        assert (answer.fd is None) == (error != 0)
        if answer.fd is None:
            return error
        with pytest.raises(OSError):
            os.pwrite(answer.fd, b"x", 0)
        return os.pread(answer.fd, 1 << 20, 0)

    assert include(good) == b"included"
    assert include(tmp_path / "none") == errno.ENOENT
    assert include(large) == errno.EFBIG
    assert include(fifo) == include(tmp_path) == errno.EINVAL
    if os.geteuid() == 0:
        loose = tmp_path / "loose"
        loose.write_text("x")
        loose.chmod(0o622)
        assert include(loose) == errno.EPERM
    manager.seal()
    manager.die()
    # A manager after a crash sees what the first one saw, and no more.
    good.write_text("changed")
    after = m.manager(fakes.CRASH)
    assert include(good, after) == b"included"
    after.send(fakes.CFG_INCLUDE, 0, text(str(tmp_path / "new")))
    assert after.ended()


def test_snapshot(muster):
    m = muster("-v", "-q", config="content: 1\n", env={"MARK": "here"})
    manager = m.manager()
    raw = os.pread(manager.snapshot, 1 << 20, 0)
    with pytest.raises(OSError):
        os.pwrite(manager.snapshot, b"x", 0)
    s = fakes.Message(0, 0, raw, None)
    version, flags, verbosity = s.take("IIB")
    assert (version, verbosity) == (1, 1)
    assert flags == 128 | (16 if os.geteuid() == 0 else 0)
    boot = s.text()
    assert len(boot) == 8 and int(boot, 16) >= 0
    s.take("QQ")
    assert s.take("III") == (os.geteuid(), os.getegid(), m.pid)
    s.text()
    s.text()
    assert s.text().decode() == str(m.dir)
    assert s.text().decode() == str(m.libexec)
    assert s.text().decode().endswith(".sock")
    assert s.text() == b""
    s.take("BB")
    assert s.texts() == []
    assert b"MARK=here" in s.texts()
    assert s.text().decode() == str(m.file)
    assert s.take("i") == 0
    assert s.take("II") == (m.file.stat().st_mode, os.geteuid())
    assert s.text() == b"content: 1\n" and not s.payload


# --- users ---


def test_unknown_user(muster):
    m = muster()
    assert m.manager().refused([
        (E_SPEC, GOOD), (E_SPEC, sh("true", user="no-such-user"))]) == (
            1, fakes.S_USER, errno.ENOENT)


def test_unknown_group(muster):
    m = muster()
    assert m.manager().refused([
        (E_LOGFILE, logfile("/x", group="no-such-group"))]) == (
            0, fakes.S_GROUPS, errno.ENOENT)


@pytest.mark.needs_root
def test_many_log_files(muster):
    """Each is compared with those of the same path, not with all others."""
    m = muster()
    count = 20000
    begin = time.monotonic()
    assert m.manager().refused(
        [(E_LOGFILE, logfile(f"/log/{i}")) for i in range(count)]
        + [(E_LOGFILE, logfile("/log/0", group="no-such-group"))])[0] == count
    assert time.monotonic() - begin < 10 * harness.patience()


def test_number_without_a_group(muster):
    """It must not end in root's group."""
    m = muster()
    assert m.manager().refused([(E_SPEC, sh("true", user="4242424"))]) == (
        0, fakes.S_USER, errno.ENOENT)


@pytest.mark.parametrize("options, stage", [
    ({"user": "root"}, fakes.S_USER), ({"group": "root"}, fakes.S_GROUPS),
    ({"flags": fakes.GROUPS, "groups": ["mail"]}, fakes.S_GROUPS)])
def test_only_root_starts_for_others(muster, options, stage):
    if os.geteuid() != 0:
        pytest.skip("the user to be is root")
    m = muster(user=harness.NOBODY)
    assert m.manager().refused([(E_SPEC, sh("true", **options))]) == (
        0, stage, errno.EPERM)


@pytest.mark.needs_root
def test_own_name_is_allowed(muster):
    m = muster(user=harness.NOBODY)
    manager = m.ready(sh("exit 6", user="nobody", group="nogroup"))
    manager.run(1)
    assert manager.exited(1) == (6 << 8, 0)


# --- sockets ---


def test_busy_port(muster):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        m = muster()
        assert m.manager().refused([
            (E_LISTEN, listener(1, "127.0.0.1", s.getsockname()[1]))]) == (
                0, fakes.S_SOCKET, errno.EADDRINUSE)


def test_unix_listener(muster, tmp_path):
    path = tmp_path / "new" / "api"
    m = muster()
    manager = m.ready((E_LISTEN, listener(2, path=str(path), mode=0o640)))
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.parent.stat().st_mode & 0o777 == (
        0o755 if os.geteuid() == 0 else 0o700)
    manager.quit()
    m.wait()
    assert not path.exists()


def test_stale_and_busy_unix_sockets(muster, tmp_path):
    stale = tmp_path / "stale"
    busy = tmp_path / "busy"
    plain = tmp_path / "plain"
    plain.write_text("precious")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(stale))
    muster().ready((E_LISTEN, listener(2, path=str(stale))))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(busy))
        s.listen()
        assert muster().manager().refused(
            [(E_LISTEN, listener(2, path=str(busy)))]) == (
                0, fakes.S_SOCKET, errno.EADDRINUSE)
    assert muster().manager().refused(
        [(E_LISTEN, listener(2, path=str(plain)))]) == (
            0, fakes.S_SOCKET, errno.EADDRINUSE)
    assert plain.read_text() == "precious"


# --- checks that the parent makes for others ---


@pytest.mark.needs_root
def test_file_stat_as_its_user(muster, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("12345")
    tmp_path.chmod(0o700)
    m = muster()
    manager = m.ready((E_FILE, text(str(secret)) + text("") + text("")),
                      (E_FILE, text(str(secret)) + text("nobody")
                       + text("")))

    def look(entry):
        manager.send(fakes.FILE_STAT, 77, u32(entry))
        m = manager.receive(fakes.FILE_STAT_DONE)
        assert m.id == 77
        return m.take("iIQq")[:3]

    error, mode, size = look(0)
    assert (error, size) == (0, 5) and stat.S_ISREG(mode)
    assert look(1) == (errno.EACCES, 0, 0)


@pytest.mark.needs_root
def test_unix_connect_as_its_user(muster, tmp_path):
    path = tmp_path / "server"
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        os.chmod(path, 0o600)
        m = muster()
        m.ready(*[(E_UNIX, text(p) + text(u) + text("")) for p, u in (
            (str(path), ""), (str(path), "nobody"), ("/none", ""))], flags=1)
        verifier = m.accept("verifier")

        def connect(entry):
            verifier.send(fakes.UNIX_CONNECT, 5, u32(entry))
            got = verifier.receive(fakes.UNIX_CONNECTED)
            assert got.id == 5
            return got.take("i"), got.fd

        error, fd = connect(0)
        assert error == 0
        peer, _ = s.accept()
        os.write(fd, b"hi")
        assert peer.recv(10) == b"hi"
        os.close(fd)
        assert connect(1) == (errno.EACCES, None)
        assert connect(2) == (errno.ENOENT, None)


# --- after a crash ---


def test_world(muster, mode):
    m = muster(**mode)
    manager = m.ready(GOOD, sh("exit 3"), sh("sleep 4000 & exit 4"))
    pid = manager.run(1)
    manager.run(2, entry=1, instance=8)
    manager.exited(2, ack=False)
    manager.run(3, entry=2)
    manager.exited(3)
    manager.run(4, entry=1)
    manager.exited(4)
    manager.send(fakes.BLOB_SET, 0, fakes.u64(1 << 33) + text(b"\0state"))
    manager.send(fakes.BLOB_SET, 0, fakes.u64(7) + text(b"old"))
    manager.send(fakes.BLOB_SET, 0, fakes.u64(7) + text(b"newer"))
    manager.send(fakes.BLOB_SET, 0, fakes.u64(8) + text(b"gone"))
    manager.send(fakes.BLOB_SET, 0, fakes.u64(8) + text(b""))
    manager.send(fakes.BARRIER, 1)
    manager.receive(fakes.BARRIER_DONE)
    manager.die()
    manager, (procs, blobs, highest) = m.again(3)
    assert highest == 4 and blobs == {1 << 33: b"\0state", 7: b"newer"}
    assert procs[1]["state"] == fakes.RUNNING and procs[1]["pid"] == pid
    assert procs[2]["state"] == fakes.ENDED
    assert (procs[2]["status"], procs[2]["instance"]) == (3 << 8, 8)
    assert procs[3]["state"] == fakes.LEFT and procs[3]["leftover"] == 1
    assert procs[4]["state"] == fakes.IDLE and procs[4]["stage"] == 0
    # What is not acknowledged cannot be started again; then it can.
    manager.ack(2)
    manager.run(2, 2, entry=1)
    assert manager.exited(2, 2) == (3 << 8, 0)
    manager.gone(2, 2)
    manager.kill(3)
    manager.gone(3)


def test_exit_while_there_is_no_manager(muster):
    m = muster()
    manager = m.ready(GOOD)
    pid = manager.run(1)
    manager.die()
    os.kill(pid, 9)
    manager, (procs, _, _) = m.again(1)
    if procs[1]["state"] == fakes.RUNNING:
        assert manager.exited(1) == (9, 0)
    else:
        assert (procs[1]["state"], procs[1]["status"]) == (fakes.ENDED, 9)


@pytest.mark.parametrize("count", [0, 2])
def test_another_table_after_a_crash(muster, count):
    m = muster()
    m.ready(GOOD).die()
    manager = m.manager(fakes.CRASH)
    manager.send(fakes.SEAL, 0, u32(count, 0, 0))
    assert manager.ended()
    manager = m.manager(fakes.CRASH)
    manager.entry(0, E_SPEC, sh("id"))
    assert manager.ended()


def test_limits_are_inherited(muster):
    """The components get the raised limit, jobs the one of musterd."""
    m = muster()
    m.ready()
    soft, _ = resource.prlimit(m.accept("relay").pid, resource.RLIMIT_NOFILE)
    assert soft == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
