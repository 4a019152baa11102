"""musterd as a service of a real systemd.

The one that is installed here is started as process 1 of namespaces of its
own: with a file system that it cannot write to but for /run, /tmp and /var,
a cgroup of its own and no network, and with no units but ours.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

import harness

pytestmark = pytest.mark.timeout(180)

SYSTEMD = "/lib/systemd/systemd"
UNITS = pathlib.Path("/lib/systemd/system")
NAMESPACES = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net",
              "--fork", "--kill-child", "--mount-proc"]
# $1: where the programs are, $2: the files for it, $3: its cgroup, $4: systemd
SCRIPT = r"""
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/m /run/systemd/system
cp -R "$1/sbin" "$1/bin" "$1/libexec" /run/m
cp -R "$2/units/." /run/systemd/system
mkdir "$3"
echo 0 >"$3/cgroup.procs"
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var
mkdir /var/lib /var/log /var/tmp
mkdir /run/dev
mount -t tmpfs -o dev tmpfs /run/dev
for f in null zero full random urandom tty; do
  touch /run/dev/$f
  mount --bind /dev/$f /run/dev/$f
done
mkdir /run/dev/shm /run/dev/pts
mount -t devpts devpts /run/dev/pts
ln -s pts/ptmx /run/dev/ptmx
mount --move /run/dev /dev
rmdir /run/dev
mount -o remount,bind,ro /
umount -R /sys/fs/cgroup 2>/dev/null || :
exec unshare --cgroup sh -ec '
  mount -t cgroup2 none /sys/fs/cgroup
  exec env -i container=muster-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH=/run/systemd/system SYSTEMD_GENERATOR_PATH= \
    SYSTEMD_ENVIRONMENT_GENERATOR_PATH= \
    "$@" --system --unit=basic.target --log-target=journal' sh "$4"
"""
TARGETS = {
    "sysinit.target": "Wants=systemd-journald.service\n"
                      "After=systemd-journald.service",
    "basic.target": "Requires=sysinit.target\nAfter=sysinit.target",
    "shutdown.target": "", "sockets.target": ""}
JOURNAL = ["systemd-journald.service", "systemd-journald.socket",
           "systemd-journald-dev-log.socket"]
CONFIG = "/run/m/muster.yaml"
SLEEP = {"command": "sleep 10000"}


def place(text):
    """What etc/install does to a unit, and a file of our own."""
    text = re.sub(r"/usr/(s?bin/muster)", r"/run/m/\1", text)
    return text.replace("/etc/muster/muster.yaml", CONFIG)


def write_units(to):
    to.mkdir()
    for name, text in TARGETS.items():
        (to / name).write_text(
            f"[Unit]\nDescription={name}\nDefaultDependencies=no\n{text}\n")
    for name in JOURNAL:
        shutil.copy(UNITS / name, to / name)
    (to / "musterd.service").write_text(place(
        (harness.ROOT / "etc/musterd.service").read_text()))


def wait_for(what, test, timeout=30, interval=0.05):
    return harness.wait_for(what, test, timeout, interval)


class Box:
    """A machine that runs systemd, or looks like one from inside."""

    def __init__(self, directory, cgroup):
        write_units(directory / "units")
        self.cgroup = cgroup / f"muster-systemd-{os.getpid()}"
        self.log = directory / "log"
        with open(self.log, "wb") as log:
            # pylint: disable-next=consider-using-with
            self.popen = subprocess.Popen(
                [*NAMESPACES, "sh", "-c", SCRIPT, "sh", str(harness.OBJ),
                 str(directory), str(self.cgroup), SYSTEMD],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = None
        self.since = 0

    def boot(self):
        """Waits for it; an explanation if it cannot."""
        def test():
            if self.popen.poll() is not None:
                return "ended"
            below = [p for p in harness.descendants(self.popen.pid)
                     if p.name == "systemd"]
            self.pid = below[0].pid if below else None
            return self.pid and self.systemctl(
                "is-active", "basic.target", check=False) == "active"
        try:
            if wait_for("systemd to run", test) is True:
                return None
        except harness.Failure:
            pass
        return self.log.read_text(errors="replace").strip()[-500:]

    def close(self):
        """All of it ends with its process 1."""
        self.popen.kill()
        self.popen.wait()
        groups = [p for p, _, _ in os.walk(self.cgroup)]
        for path in reversed(groups):
            wait_for("an empty group", lambda path=path: removed(path))

    def run(self, *words, check=True, text=None):
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p",
             "-C", "env", "-i", "PATH=/run/m/bin:/usr/sbin:/usr/bin:/sbin:/bin",
             "SYSTEMD_PAGER=", "LC_ALL=C.UTF-8", *words],
            input=text, stdin=None if text else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", check=False, timeout=50 * harness.patience())
        if check and done.returncode != 0:
            raise harness.Failure(f"{words}: {done.stdout}\n{self.journal()}")
        return done.stdout.strip()

    def code(self, *words):
        return int(self.run("sh", "-c", '"$@" >/dev/null 2>&1; echo $?', "sh",
                            *words).split()[-1])

    def systemctl(self, *words, check=True):
        return self.run("systemctl", *words, check=check)

    def show(self, key):
        return self.systemctl("show", "-P", key, "musterd")

    def state(self):
        return self.show("ActiveState")

    def main(self):
        """Its main process, as systemd knows it."""
        return int(self.show("MainPID"))

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "${1%/*}"; cat >"$1"', "sh", path,
                 text=text)

    def configure(self, processes, **more):
        config = {"keep_alive": True, "graceful_time": 3,
                  "processes": processes, **more}
        self.write(CONFIG, json.dumps(config) + "\n")

    def drop_in(self, text):
        self.write("/run/systemd/system/musterd.service.d/test.conf", text)
        self.systemctl("daemon-reload")

    def journal(self):
        """The lines of this test's service: (priority, text)."""
        raw = self.run("journalctl", "--sync", check=False)
        raw = self.run("journalctl", "-u", "musterd", "-o", "json",
                       "--no-pager", "-q", check=False)
        found = [json.loads(line) for line in raw.splitlines()
                 if line.startswith("{")]
        return [(int(e["PRIORITY"]), e["MESSAGE"]) for e in found
                if float(e["__REALTIME_TIMESTAMP"]) / 1e6 >= self.since]

    def said(self, text):
        return [e for e in self.journal() if text in e[1]]

    def processes(self):
        """Inner pid to the words of all that belong to the service."""
        found = {}
        for path in self.cgroup.glob("system.slice/musterd.service/**/"
                                     "cgroup.procs"):
            for word in path.read_text().split():
                p = harness.process(int(word))
                if p and p.state != "Z":
                    found[p.pid] = (path.parent.name, p)
        return found

    def jobs(self):
        return {p.pid for _, p in self.processes().values()
                if p.name in ("sleep", "sh")}

    def titled(self, title):
        """The pid, as we see it, of muster's program of that title."""
        for _, p in self.processes().values():
            if p.command[:1] == ["musterd: " + title]:
                return p.pid
        return None

    def tidy(self):
        self.run("sh", "-c", "systemctl stop musterd; "
                 "systemctl reset-failed musterd; rm -rf /run/up /run/go "
                 "/run/systemd/system/musterd.service.d; "
                 "systemctl daemon-reload")
        self.since = time.time()


def removed(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


@pytest.fixture(scope="module", name="machine")
def fixture_machine(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for path in (SYSTEMD, *(UNITS / name for name in JOURNAL),
                 "/etc/machine-id"):
        if not os.path.exists(path):
            pytest.skip(f"there is no {path}")
    for program in ("unshare", "nsenter", "systemctl", "journalctl"):
        if not shutil.which(program):
            pytest.skip(f"there is no {program}")
    cgroup = harness.cgroup_root()
    if cgroup is None:
        pytest.skip("there is no cgroup2 hierarchy that we may write to")
    box = Box(tmp_path_factory.mktemp("systemd"), cgroup)
    try:
        why = box.boot()
        if why is not None:
            pytest.skip(f"systemd does not run in namespaces here: {why}")
        yield box
    finally:
        box.close()


@pytest.fixture(name="box")
def fixture_box(machine):
    machine.tidy()
    return machine


def test_started_when_all_is_verified(box):
    box.configure({
        "slow": {"command": "sh -c 'echo said; echo complained >&2; "
                            "until [ -f /run/go ]; do sleep 0.05; done; "
                            "touch /run/up; exec sleep 10000'",
                 "verify": {"file": "/run/up"}},
        "b": SLEEP}, nonsense=1)
    box.drop_in("[Service]\nExecStartPre=\n")   # it does not like `nonsense`
    box.systemctl("start", "--no-block", "musterd")
    wait_for("its status", lambda: box.show("StatusText")
             == "0/2 ready, waiting for slow")
    assert box.state() == "activating"
    box.run("touch", "/run/go")
    box.systemctl("start", "musterd")
    assert (box.state(), box.show("StatusText")) == ("active", "2 processes")
    groups = {group for group, p in box.processes().values()
              if p.name == "sleep"}
    assert groups == {"1", "2"}     # one each, below the unit's own
    assert box.titled("parent") and box.titled("relay")
    wait_for("the journal", lambda: box.said("complained"))
    assert box.said("unknown key")[0][0] == 4
    assert (6, "said") in box.journal() and (6, "complained") in box.journal()
    assert "slow" in box.run("musterctl", "-f", CONFIG, "status")


def test_stop_leaves_nothing(box):
    box.configure({"a": {"command": "sh -c 'trap \"\" TERM; (setsid sleep "
                                    "10001 &); touch /run/up; sleep 10000'",
                         "verify": {"file": "/run/up"}},
                   "b": SLEEP}, graceful_time=0.2)
    box.systemctl("start", "musterd")
    # /run/up is there before the last of them has its name.
    wait_for("all four", lambda: len(box.jobs()) == 4)
    box.systemctl("stop", "musterd")
    assert (box.state(), box.show("Result")) == ("inactive", "success")
    assert not (box.cgroup / "system.slice/musterd.service").exists()
    # It did not have to be helped.
    assert not box.said("Killing process")
    assert box.run("find", "/run/muster", "-type", "s") == ""


def test_reload(box):
    box.configure({"a": SLEEP, "b": {"command": "sleep 10001"}})
    box.systemctl("start", "musterd")
    main, before = box.main(), box.jobs()
    box.configure({"a": SLEEP, "b": {"command": "sleep 10002"}, "c": SLEEP})
    box.systemctl("reload", "musterd")
    wait_for("the new status", lambda: box.show("StatusText") == "3 processes")
    wait_for("the state", lambda: box.state() == "active")
    assert box.main() == main
    assert len(box.jobs() & before) == 1 and len(box.jobs()) == 3


def test_a_broken_configuration(box):
    box.configure({"a": SLEEP})
    box.systemctl("start", "musterd")
    main, before = box.main(), box.jobs()
    box.configure({"a": SLEEP}, restrat=1)
    assert box.code("systemctl", "reload", "musterd") != 0
    assert box.state() == "active"
    assert (box.main(), box.jobs()) == (main, before)
    wait_for("the reason", lambda: box.said("restrat: unknown key"))
    box.systemctl("stop", "musterd")
    assert box.code("systemctl", "start", "musterd") != 0
    wait_for("it to give up", lambda: box.state() == "failed")
    assert box.jobs() == set()


@pytest.mark.parametrize("victim", ["guard", "parent"])
def test_killed_it_is_started_again(box, victim):
    box.configure({"a": SLEEP, "b": {
        "command": "sh -c '(setsid sleep 10001 &); exec sleep 10002'"}})
    box.systemctl("start", "musterd")
    wait_for("the daemon", lambda: len(box.jobs()) == 3)
    main, before = box.main(), box.jobs()
    pid = box.titled("parent")
    if victim == "guard":
        pid = harness.process(pid).ppid
    os.kill(pid, signal.SIGKILL)
    wait_for("another one", lambda: box.main() not in (0, main)
             and box.state() == "active")
    assert box.show("NRestarts") == "1"
    wait_for("the daemon", lambda: len(box.jobs()) == 3)
    assert not box.jobs() & before


def test_watchdog(box):
    box.drop_in("[Service]\nWatchdogSec=2\n")
    box.configure({"a": SLEEP})
    box.systemctl("start", "musterd")
    main, before = box.main(), box.jobs()
    # A manager that is stopped is ours to replace.
    manager = box.titled("manager")
    os.kill(manager, signal.SIGSTOP)
    wait_for("another manager", lambda: box.titled("manager") not in (
        None, manager))
    assert (box.main(), box.jobs()) == (main, before)
    # A parent that is stopped is noticed by systemd.
    os.kill(box.titled("parent"), signal.SIGSTOP)
    wait_for("another one", lambda: box.main() not in (0, main)
             and box.state() == "active")
    assert box.said("Watchdog timeout")
    assert len(box.jobs()) == 1 and not box.jobs() & before


@pytest.mark.skipif(harness.SAN != "", reason="a sanitizer wants more")
def test_hardened(box):
    box.drop_in((harness.ROOT / "etc/hardened.conf").read_text())
    box.configure({"a": {**SLEEP, "verify": {"tcp": "127.0.0.1:5998"}},
                   "b": {"command": "sh -c 'touch /var/lib/muster/x && "
                                    "! touch /usr/x; echo $?'",
                         "verify": "exited"}},
                  http={"enabled": True, "port": 5998})
    box.systemctl("start", "musterd")
    wait_for("its output", lambda: box.said("Read-only file system"))
    assert (6, "0") in box.journal()
    main, before = box.main(), box.jobs()
    for name in ("manager", "relay", "verifier"):
        pid = box.titled(name)
        if pid is None:
            continue    # nothing needs it now
        os.kill(pid, signal.SIGKILL)
        wait_for(f"another {name}", lambda name=name, pid=pid: box.titled(
            name) not in (None, pid))
    box.systemctl("reload", "musterd")
    wait_for("the state", lambda: box.state() == "active")
    assert "running" in box.run("musterctl", "-f", CONFIG, "status",
                                check=False)    # 3, as of what has ended
    assert (box.main(), box.jobs()) == (main, before)
    box.systemctl("stop", "musterd")
    assert (box.state(), box.show("Result")) == ("inactive", "success")
