"""How processes end: signals, what they leave behind, and our own end."""

import os
import signal
import time

import pytest

import fakes
import harness
from fakes import ALL, GROUP, LEADER, REST, sh, spec

# A daemon: another session, deaf to SIGTERM; its father waits, deaf as well.
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(4000)
    os._exit(0)
os.wait()
if len(sys.argv) > 1:
    sys.exit(int(sys.argv[1]))
time.sleep(4000)
"""


def python(script, *args):
    return spec("/usr/bin/python3", "-Sc", script, *args)


def below(m, count, timeout=10):
    """All jobs' processes, once there are so many."""
    def test():
        found = [p for p in harness.descendants(m.parent)
                 if p.state not in "ZX" and p.name != "musterd"
                 and "/libexec/muster-" not in " ".join(p.command
                                                        or ["/libexec/muster-"])]
        return [found] if len(found) == count else None
    return harness.wait_for(f"{count} processes", test, timeout)[0]


def none_left(pids):
    harness.wait_for("their end",
                     lambda: not any(harness.alive(p) for p in pids))


def test_scopes(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("trap 'exit 7' TERM; sleep 4000 & wait"))
    manager.run(1)
    # Before its exec it has its father's trap and name.
    harness.wait_for("the sleep", lambda: [
        p.name for p in below(m, 2)[1:]] == ["sleep"])
    jobs = below(m, 2)
    manager.signal(1, signal.SIGSTOP, LEADER)
    harness.wait_for("the stop",
                     lambda: harness.process(jobs[0].pid).state == "T")
    manager.signal(1, signal.SIGCONT, LEADER)
    manager.signal(1, signal.SIGTERM, GROUP)
    assert manager.exited(1)[0] == 7 << 8
    manager.gone(1)
    none_left(p.pid for p in jobs)


def test_leftover_of_the_group(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("sleep 4000 & exit 2"))
    manager.run(1)
    assert manager.exited(1) == (2 << 8, 1)
    assert manager.nothing(fakes.GONE)
    left = below(m, 1)
    manager.signal(1, signal.SIGTERM, ALL)
    manager.gone(1)
    none_left([left[0].pid])


def test_rest_is_not_of_the_group(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("sleep 4000 & setsid sleep 4001 & "
                         "until grep -q ^sleep /proc/$!/comm; do "
                         "sleep 0.01; done; exit 2"))
    manager.run(1)
    assert manager.exited(1) == (2 << 8, 1)
    left = {p.command[-1]: p.pid for p in below(m, 2)}
    manager.signal(1, signal.SIGTERM, REST)
    none_left([left["4001"]])
    assert manager.nothing(fakes.GONE) and harness.alive(left["4000"])
    manager.signal(1, signal.SIGTERM, GROUP)
    manager.gone(1)


def test_leftover_that_hides(muster, mode):
    m = muster(**mode)
    manager = m.ready(python(DAEMON, "0"), spec("/bin/sleep", "4000"))
    manager.run(2, entry=1)
    manager.run(1)
    assert manager.exited(1) == (0, 1)
    left = below(m, 2)
    manager.signal(1, signal.SIGTERM, ALL)
    assert manager.nothing(fakes.GONE)
    manager.kill(1)
    manager.gone(1)
    assert [p.name for p in below(m, 1)] == ["sleep"]
    assert harness.alive(left[0].pid) != harness.alive(left[1].pid)


def test_kill_takes_all(muster, mode):
    m = muster(**mode)
    manager = m.ready(python(DAEMON))
    manager.run(1)
    jobs = below(m, 2)
    manager.kill(1)
    assert manager.exited(1)[0] == signal.SIGKILL
    manager.gone(1)
    none_left(p.pid for p in jobs)


def test_killed_and_started_again(muster, mode):
    """Linux 6.18 kills what is started in a cgroup that was killed once."""
    m = muster(**mode)
    manager = m.ready(spec("/bin/sleep", "4000"))
    for generation in range(1, 7):
        pid = manager.run(1, generation)
        if generation % 2:
            manager.signal(1, signal.SIGTERM, GROUP, generation)
            assert manager.exited(1, generation)[0] == signal.SIGTERM
        else:
            manager.kill(1, generation)
            assert manager.exited(1, generation)[0] == signal.SIGKILL
        manager.gone(1, generation)
    pid = manager.run(1, 7)
    assert manager.nothing(fakes.EXITED, seconds=0.3)
    assert harness.alive(pid)


def test_leftover_that_ends_by_itself(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("sleep 0.3 & exit 0"))
    manager.run(1)
    assert manager.exited(1) == (0, 1)
    manager.gone(1)


def test_no_second_generation_beside_leftovers(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("sleep 4000 & exit 0"))
    manager.run(1)
    manager.exited(1)
    manager.spawn(1, 2)
    assert manager.ended()


def test_forgotten_leftovers_go(muster, mode):
    m = muster(**mode)
    manager = m.ready(python(DAEMON, "0"))
    manager.run(1)
    manager.exited(1)
    below(m, 1)
    manager.send(fakes.FORGET, 0, fakes.u32(1))
    below(m, 0)
    manager.gone(1)
    # The id may come again.
    manager.run(1, 1)
    manager.exited(1)


def test_fork_storm(muster, mode):
    """Each forks on while it is being killed."""
    m = muster(**mode)
    manager = m.ready(python(
        "import os, time\n"
        "end = time.time() + 20\n"
        "for n in range(40):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        while time.time() < end:\n"
        "            if os.fork():\n"
        "                os._exit(0)\n"
        "            os.setsid()\n"
        "            time.sleep(0.01)\n"
        "time.sleep(4000)\n"))
    manager.run(1)
    time.sleep(0.5)
    manager.kill(1)
    manager.exited(1)
    manager.gone(1, timeout=25)
    below(m, 0)


@pytest.mark.parametrize("who", ["guard", "parent"])
def test_nothing_survives(muster, mode, who):
    m = muster(**mode)
    manager = m.ready(python(DAEMON), python(DAEMON, "0"))
    for i in range(1, 6):
        manager.run(i, entry=i % 2)
    jobs = below(m, 7)
    parent = m.parent
    os.kill(m.pid if who == "guard" else parent, signal.SIGKILL)
    none_left([p.pid for p in jobs])
    assert manager.ended()
    none_left([parent])
    assert m.wait() in (-signal.SIGKILL, 128 + signal.SIGKILL)
    if mode["cgroup"]:
        assert not os.path.isdir(
            f"/sys/fs/cgroup/unified/muster-{m.pid}")


@pytest.mark.needs_root
def test_leaders_die_with_guard_and_parent(muster):
    """The last net, where there is no cgroup and nobody left to act."""
    m = muster(cgroup=False)
    manager = m.ready(spec("/bin/sleep", "4000", user="nobody"))
    pid = manager.run(1)
    parent = m.parent
    os.kill(m.pid, signal.SIGSTOP)
    os.kill(parent, signal.SIGKILL)
    os.kill(m.pid, signal.SIGKILL)
    none_left([pid])


def test_quit(muster, mode):
    m = muster(**mode)
    manager = m.ready(python(DAEMON))
    manager.run(1)
    jobs = below(m, 2)
    manager.quit(42)
    assert m.wait() == 42
    none_left(p.pid for p in jobs)


def test_signals_are_handed_on(muster):
    m = muster()
    manager = m.ready()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT,
                   signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        os.kill(m.pid, number)
        assert manager.receive(fakes.SIGNALLED).take("iB") == (number, 0)
    manager.quit()
    assert m.wait() == 0


def test_a_signal_before_the_seal(muster):
    m = muster()
    m.manager()
    os.kill(m.pid, signal.SIGTERM)
    assert m.wait() == 0


def test_no_manager_and_a_signal(muster, mode):
    """The parent can end alone: it is told to while the manager is away."""
    m = muster(**mode)
    manager = m.ready(sh("trap 'exit 0' TERM; sleep 4000 & wait"),
                      python(DAEMON))
    manager.run(1)
    manager.run(2, entry=1)
    jobs = below(m, 4)
    manager.die()
    m.manager(fakes.CRASH)      # it never gets ready
    os.kill(m.pid, signal.SIGTERM)
    none_left([jobs[0].pid])
    os.kill(m.pid, signal.SIGINT)
    assert m.wait(5) == 0
    none_left(p.pid for p in jobs)


def test_no_manager_and_jobs_that_obey(muster, mode):
    m = muster(**mode)
    manager = m.ready(sh("sleep 4000 & sleep 4000"))
    for i in range(1, 20):
        manager.run(i)
    below(m, 57)
    manager.die()
    m.manager(fakes.CRASH)
    os.kill(m.pid, signal.SIGTERM)
    assert m.wait(6) == 0


def test_no_manager_and_another_session(muster, mode):
    """What obeys is asked to, wherever it is; nobody waits for long."""
    m = muster(**mode)
    manager = m.ready(sh("setsid sleep 4001 & exec sleep 4000"))
    manager.run(1)
    below(m, 2)
    manager.die()
    m.manager(fakes.CRASH)
    os.kill(m.pid, signal.SIGTERM)
    assert m.wait(5) == 0


def test_no_manager_and_no_jobs(muster):
    m = muster()
    m.ready().die()
    m.manager(fakes.CRASH)
    os.kill(m.pid, signal.SIGTERM)
    assert m.wait(5) == 0


def test_the_next_manager_is_told_of_the_signal(muster):
    m = muster()
    manager = m.ready()
    os.kill(m.pid, signal.SIGTERM)
    manager.receive(fakes.SIGNALLED)
    manager.die()
    manager, _ = m.again(0)
    assert manager.receive(fakes.SIGNALLED).take("iB") == (signal.SIGTERM, 0)
    manager.quit(3)
    assert m.wait() == 3


def test_interrupts_that_a_manager_ignores(muster):
    m = muster()
    manager = m.ready(spec("/bin/sleep", "4000"))
    manager.run(1)
    for _ in range(3):
        os.kill(m.pid, signal.SIGINT)
        time.sleep(0.1)
    assert m.wait() == 0


def test_orphans_of_others_are_reaped(muster):
    m = muster()
    manager = m.ready(python(DAEMON, "0"))
    for generation in range(1, 4):
        manager.run(1, generation)
        manager.exited(1, generation)
        manager.kill(1, generation)
        manager.gone(1, generation)
    assert not [p for p in harness.descendants(m.parent) if p.state == "Z"]
