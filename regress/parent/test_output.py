"""Log files, the console, journals; a relay that is lost."""

import errno
import os
import time

import pytest

import fakes
import harness
from fakes import E_LOGFILE, E_SPEC, NONE, PIPE, logfile, sh, text, u8, u32

OUT = (0, 65536, 0, "")


def sinks(relay, count):
    """{number: (flags, descriptor)} of so many SINK_OPENs."""
    found = {}
    for _ in range(count):
        m = relay.receive(fakes.SINK_OPEN)
        number, flags = m.take("II")
        found[number] = (flags, m.fd)
    return found


def stream(relay):
    m = relay.receive(fakes.STREAM_OPEN)
    v = dict(zip(("process", "generation", "stream", "cell", "flags",
                  "capture", "sink"), m.take("IIBIIQI")))
    return v, m.fd


def test_logfile(muster, tmp_path):
    path = tmp_path / "log"
    path.write_text("old\n")
    m = muster()
    manager = m.ready((E_LOGFILE, logfile(path, mode=0o640)),
                      (E_SPEC, sh("echo x", out=OUT)))
    relay = m.accept("relay")
    assert path.read_text() == "old\n"
    manager.run(1, entry=1)
    [(number, (flags, fd))] = sinks(relay, 1).items()
    assert flags & 2 and path.read_text() == ""
    assert number != 0
    os.write(fd, b"written\n")
    opened, _ = stream(relay)
    assert opened["sink"] == number
    manager.exited(1)
    # Truncated at each start.
    manager.run(1, 2, entry=1)
    assert sinks(relay, 1)[number][0] & 2
    assert path.read_text() == ""


def test_appended_logfile(muster, tmp_path):
    path = tmp_path / "log"
    m = muster()
    manager = m.ready((E_LOGFILE, logfile(path, append=1, mode=0o600)),
                      (E_SPEC, sh("true", out=OUT)))
    relay = m.accept("relay")
    manager.run(1, entry=1)
    [(number, (flags, fd))] = sinks(relay, 1).items()
    assert flags & 2        # it is new
    assert path.stat().st_mode & 0o777 == 0o600
    os.write(fd, b"kept\n")
    manager.exited(1)
    manager.run(1, 2, entry=1)
    stream(relay)
    assert stream(relay)[0]["sink"] == number
    assert path.read_text() == "kept\n"
    assert relay.nothing(fakes.SINK_OPEN)
    # After a rotation it is opened again.
    path.rename(tmp_path / "log.1")
    manager.send(fakes.REOPEN)
    [(again, (_, fd))] = sinks(relay, 1).items()
    os.write(fd, b"new\n")
    assert again == number and path.read_text() == "new\n"


def test_shared_logfile(muster, tmp_path):
    """One path, one sink: whoever names it."""
    path = tmp_path / "log"
    m = muster()
    manager = m.ready((E_LOGFILE, logfile(path, append=1)),
                      (E_LOGFILE, logfile(path, append=1)),
                      (E_SPEC, sh("true", out=OUT)),
                      (E_SPEC, sh("true", out=(0, 0, 1, ""))),
                      (E_LOGFILE, logfile(tmp_path / "other", append=1)),
                      (E_SPEC, sh("true", out=(0, 0, 4, ""))))
    relay = m.accept("relay")
    manager.run(1, entry=2)
    manager.run(2, entry=3)
    numbers = {stream(relay)[0]["sink"] for _ in range(2)}
    assert len(numbers) == 1
    assert all(f[0] & 1 for f in sinks(relay, 2).values())
    # Several instances of one job: shared from the second on.
    manager.run(3, entry=5, instance=0)
    manager.run(4, entry=5, instance=1)
    other = {stream(relay)[0]["sink"] for _ in range(2)}
    assert len(other) == 1 and other != numbers
    found = [relay.receive(fakes.SINK_OPEN).take("II") for _ in range(2)]
    assert found[-1][1] & 1


@pytest.mark.parametrize("make, error", [
    (lambda p: p.symlink_to("/etc/passwd"), errno.ELOOP),
    (lambda p: p.mkdir(), errno.EISDIR),
    (lambda p: os.mkfifo(p), errno.ENXIO),
])
def test_not_a_logfile(muster, tmp_path, make, error):
    path = tmp_path / "log"
    make(path)
    m = muster()
    manager = m.ready((E_LOGFILE, logfile(path)),
                      (E_SPEC, sh("true", out=OUT)))
    manager.spawn(1, entry=1)
    assert manager.failed(1) == (fakes.S_LOGFILE, error)


def test_devices_are_files(muster):
    m = muster()
    manager = m.ready((E_LOGFILE, logfile("/dev/full")),
                      (E_SPEC, sh("true", out=OUT)))
    manager.run(1, entry=1)
    assert len(sinks(m.accept("relay"), 1)) == 1


@pytest.mark.needs_root
def test_logfile_of_a_user(muster):
    m = muster()
    mine = m.dir / "mine"
    mine.mkdir()
    os.chown(mine, harness.NOBODY, harness.NOBODY)
    out1 = (0, 0, 1, "")
    manager = m.ready(
        (E_LOGFILE, logfile(mine / "log", user="nobody")),
        (E_LOGFILE, logfile(m.dir / "log", user="nobody")),
        (E_SPEC, sh("true", out=OUT, user="nobody")),
        (E_SPEC, sh("true", out=out1, user="nobody")))
    manager.run(1, entry=2)
    assert (mine / "log").stat().st_uid == harness.NOBODY
    manager.spawn(2, entry=3)
    assert manager.failed(2) == (fakes.S_LOGFILE, errno.EACCES)


def test_own_logfile(muster, tmp_path):
    """The first entry without a job is the file of -l: sink 0."""
    path = tmp_path / "own"
    m = muster("-l", str(path))
    manager = m.ready((E_LOGFILE, logfile(path)))
    relay = m.accept("relay")
    [(number, (_, fd))] = sinks(relay, 1).items()
    os.write(fd, b"line\n")
    assert number == 0 and path.read_text() == "line\n"
    relay.die()
    assert list(sinks(m.accept("relay"), 1)) == [0]
    manager.quit()


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/stderr"])
def test_own_logfile_is_a_stream(muster, path):
    """Its name is a symbolic link; nothing in it is cut off."""
    m = muster("-l", path)
    there = m.out if path == "/dev/stdout" else m.err
    with open(there, "ab") as f:
        f.write(b"before\n")
    manager = m.ready((E_LOGFILE, logfile(path)))
    [(_, (_, fd))] = sinks(m.accept("relay"), 1).items()
    os.write(fd, b"line\n")
    assert there.read_bytes().endswith(b"before\nline\n")
    manager.quit()


def test_console(muster):
    m = muster()
    manager = m.ready()
    relay = m.accept("relay")
    for number, path in ((1, m.out), (2, m.err)):
        got = relay.receive(fakes.CONSOLE_OPEN)
        assert got.take("BI") == (number, 1)
        os.write(got.fd, b"text\n")
        assert path.read_text() == "text\n"
    manager.send(fakes.CONSOLE_WRITE, 0, u8(1) + text("hello\n"))
    manager.send(fakes.CONSOLE_FLUSH, 55)
    got = relay.receive(fakes.CONSOLE_WRITE)
    assert got.take("B") == 1 and got.text() == b"hello\n"
    assert relay.receive(fakes.CONSOLE_FLUSH).id == 55
    # Texts wait for the next relay.
    relay.die()
    manager.receive(fakes.COMPONENT_LOST)
    manager.send(fakes.CONSOLE_WRITE, 0, u8(2) + text("later\n"))
    relay = m.accept("relay")
    # This one has not been said to be written.
    got = relay.receive(fakes.CONSOLE_WRITE)
    assert got.take("B") == 1 and got.text() == b"hello\n"
    got = relay.receive(fakes.CONSOLE_WRITE)
    assert got.take("B") == 2 and got.text() == b"later\n"




def test_relay_is_lost(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("echo first; read x; echo second; sleep 4000 &",
                         stdin=PIPE, out=(5, 4096, NONE, "p")))
    relay = m.accept("relay")
    manager.run(1)
    opened, fd = stream(relay)
    assert os.read(fd, 100) == b"first\n"
    relay.send(fakes.JOURNAL_WANTED, 0, u32(1) + u8(1))
    journal = relay.receive(fakes.STREAM_JOURNAL)
    assert journal.take("IB") == (1, 1)
    os.write(journal.fd, b"first\n")    # moves the shared offset
    os.close(fd)
    manager.send(fakes.STDIN, 0, u32(1) + text("go\n"))
    manager.exited(1)
    relay.die()
    relay = m.accept("relay")
    assert relay.receive(fakes.CELLS)
    again, fd = stream(relay)
    assert again == {**opened, "flags": 5 | 8}      # its process has ended
    assert os.read(fd, 100) == b"second\n"
    journal = relay.receive(fakes.STREAM_JOURNAL)
    assert os.lseek(journal.fd, 0, os.SEEK_CUR) == 6
    # Drained, the pipe is closed; a later relay gets only what was kept.
    relay.send(fakes.STREAM_CLOSED, 0, u32(1, 1) + u8(1))
    time.sleep(0.1)
    relay.die()
    relay = m.accept("relay")
    kept, fd = stream(relay)
    assert kept == again and fd is None
    journal = relay.receive(fakes.STREAM_JOURNAL)
    assert os.lseek(journal.fd, 0, os.SEEK_CUR) == 6
    manager.kill(1)
    manager.gone(1)


def test_pipe_of_an_earlier_generation(muster):
    """Somebody who got away still holds it: it is kept for the relay."""
    m = muster(cgroup=False)
    # Not even its mark tells where it belongs.
    away = ("env -i /usr/bin/setsid /bin/sh -c 'sleep 1; echo late; sleep 9' "
            "& sleep 0.2; exit 0")
    manager = m.ready(sh(away))
    relay = m.accept("relay")
    manager.run(1)
    first, fd = stream(relay)
    assert manager.exited(1) == (0, 0)
    manager.run(1, 2)
    second, _ = stream(relay)
    assert (first["generation"], second["generation"]) == (1, 2)
    relay.die()
    relay = m.accept("relay")
    opened = {}
    for _ in range(2):
        v, f = stream(relay)
        opened[v["generation"]] = (v["flags"], f)
    assert opened[1][0] & 8
    assert os.read(opened[1][1], 100) == b"late\n"
    manager.exited(1, 2)
    # Given up: both are forgotten.
    manager.send(fakes.FORGET, 0, u32(1))
    assert relay.receive(fakes.STREAM_FORGET).take("I") == 1
    manager.quit()
    m.wait()


def test_stats(muster):
    m = muster()
    manager = m.ready(sh("exec sleep 4000"))
    pid = manager.run(1)
    manager.send(fakes.BARRIER, 1)
    manager.receive(fakes.BARRIER_DONE)
    manager.send(fakes.PROC_STATS, 0, u32(1))
    got = manager.receive(fakes.PROC_STATS)
    assert got.take("I") == 1
    assert got.text().startswith(f"{pid} (".encode())
    assert len(got.text().split()) == 7
    assert got.take("I") >= 3 and not got.payload
