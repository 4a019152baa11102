"""Everything at once, in an order that a seed tells.

Components and jobs are killed and stopped for a moment, the configuration is
changed, broken and read again, jobs are restarted, readers come and go.  When
it is quiet again all that is wanted runs, once; every line of output is there;
and in the end nothing is left.  Another seed, or more of it:

    CHAOS_SEED=4711 CHAOS_ROUNDS=50 make regress SUBJECT=chaos
"""

import copy
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

import harness
from harness import SLOW, job, python, sh, wait_for

SEEDS = [int(os.environ["CHAOS_SEED"])] if "CHAOS_SEED" in os.environ else \
    [1, 2, 3]
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "4"))

# Two numbered streams, until it is asked to end.
WRITER = """
import os, signal, sys, time
ends = []
signal.signal(signal.SIGTERM, lambda *_: ends.append(1))
name, i = sys.argv[1], 0
while not ends:
    for fd in 1, 2:
        os.write(fd, b"%s %d %d %d .\\n" % (name.encode(), fd, os.getpid(), i))
    i += 1
    time.sleep(0.002)
"""
LINE = re.compile(r"(\w+) ([12]) (\d+) (\d+) \.")
SLEEPS = {"plain": "7001", "again": "7003", "stubborn": "7004",
          "forker": "7006", "proved": "7007", "later": "7008"}
QUICK = {"restart": "always",
         "backoff": {"initial": 0.01, "max": 0.1, "reset-after": 0.05}}


def jobs():
    """Each is one process, told from the others by what it sleeps."""
    return {
        "plain": job("sleep", "7001"),
        "several": job("sleep", "7002", instances=3),
        "shown": python(WRITER, "shown"),
        "filed": python(WRITER, "filed",
                        stdout={"file": "filed.log", "append": True},
                        stderr={"file": "filed.err", "append": True}),
        "again": job("sleep", "7003", **QUICK),
        "stubborn": sh("trap '' TERM; while :; do sleep 7004; done",
                       **{"graceful-time": 0.3}),
        "forker": sh("(setsid sleep 7005 &); exec sleep 7006"),
        "proved": sh("sleep 0.05; touch proof; exec sleep 7007",
                     verify={"file": "proof"}, **QUICK),
        "later": job("sleep", "7008", after=["plain", "proved"],
                     verify={"command": "true"}),
    }


class Chaos:
    """One musterd and what is done to it."""

    def __init__(self, m, seed):
        self.m = m
        self.random = random.Random(seed)
        self.wanted = jobs()
        self.given_up = 0
        self.threads = []
        self.unanswered = []
        self.log = []

    # --- what is done ---

    def note(self, *words):
        self.log.append(" ".join(map(str, words)))

    def component(self):
        """Any of them; for a moment there may be none."""
        found = wait_for("one", lambda: [
            p for p in self.m.descendants() if p.name.startswith("muster-")])
        return self.random.choice(sorted(found, key=lambda p: p.pid))

    def kill_component(self):
        p = self.component()
        self.note("kill", p)
        harness.kill(p)

    def stop_component(self):
        p = self.component()
        self.note("stop", p)
        harness.kill(p, signal.SIGSTOP)
        time.sleep(self.random.choice([0.01, 0.2]))
        harness.kill(p, signal.SIGCONT)

    def end_job(self):
        found = sorted(self.m.jobs(), key=lambda p: p.pid)
        if found:
            p = self.random.choice(found)
            number = self.random.choice([signal.SIGKILL, signal.SIGTERM])
            self.note("signal", number, p)
            harness.kill(p, number)

    def write(self, processes):
        config = json.loads(self.m.file.read_text())
        config["processes"] = processes
        new = self.m.file.with_suffix(".new")
        new.write_text(json.dumps(config))
        new.rename(self.m.file)

    def reload(self):
        self.write(self.wanted)
        self.m.signal(signal.SIGHUP)

    def change(self):
        name = self.random.choice(sorted(self.wanted))
        self.wanted = copy.deepcopy(self.wanted)
        self.wanted[name]["environment"] = {"X": str(self.random.random())}
        self.note("change", name)
        self.reload()

    def come_or_go(self):
        name = f"new{self.random.randrange(3)}"
        self.note("come or go", name)
        self.wanted = dict(self.wanted)
        if not self.wanted.pop(name, None):
            self.wanted[name] = job("sleep", "7010")
        self.reload()

    def break_it(self):
        self.note("break")
        self.write({**self.wanted, "plain": job("sleep", nice="x")})
        self.m.signal(signal.SIGHUP)
        time.sleep(self.random.choice([0, 0.1]))
        self.reload()

    def restart(self):
        name = self.random.choice(sorted(self.wanted))
        self.note("restart", name)
        t = threading.Thread(target=self.answered, args=("restart", name))
        t.start()
        self.threads.append(t)

    def answered(self, *words):
        """Whatever the answer is, there is one."""
        try:
            self.m.ctl(*words)
        except subprocess.TimeoutExpired:
            self.unanswered.append(words)

    def read(self):
        self.note("read")
        with subprocess.Popen(
                [harness.MUSTERCTL, "-s", str(self.m.socket), "logs", "-f"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
            time.sleep(self.random.choice([0.02, 0.2]))
            p.kill()

    def act(self):
        self.random.choice([
            self.kill_component, self.kill_component, self.stop_component,
            self.end_job, self.change, self.come_or_go, self.break_it,
            self.restart, self.restart, self.read])()
        time.sleep(self.random.choice([0, 0, 0.005, 0.05]))

    # --- what must hold ---

    def settled(self):
        """Who gives up a reload, as a program is lost, has said so."""
        said = self.m.stderr_text().count("given up") + \
            self.m.stdout_text().count("the program that checks it has died")
        if said != self.given_up:
            self.given_up = said
            self.m.signal(signal.SIGHUP)
            return False
        try:
            found = self.m.all(over="unix")
        except (OSError, harness.http.client.HTTPException, ValueError):
            return False
        return found and set(found) == set(self.wanted) and {
            p["state"] for p in found.values()} <= {
            "running", "exited", "failed", "stopped"}

    def is_true(self):
        """What is said to run runs, once, and nothing else does."""
        found = self.m.all(over="unix")
        running = {n for n, p in found.items() if p["state"] == "running"}
        table = [p for p in self.m.descendants() if harness.alive(p.pid)]
        sleeps = [([*p.command, "", ""])[1] for p in table
                  if p.name == "sleep"]
        return running >= {"again", "proved"} and \
            {found[n]["pid"] for n in running} <= {p.pid for p in table} and \
            all(sleeps.count(number) == (name in running)
                for name, number in SLEEPS.items())

    def check(self):
        for t in self.threads:
            t.join()
        self.threads.clear()
        assert not self.unanswered
        wait_for("rest", self.settled, 20)
        wait_for("the components", lambda: all(
            self.m.component(f"muster-{name}")
            for name in ("manager", "relay", "httpd")))
        wait_for("each to run once", self.is_true, 5)
        zombies = {p.pid for p in self.m.descendants() if p.state == "Z"}
        wait_for("zombies to be reaped", lambda: not zombies & {
            p.pid for p in self.m.descendants() if p.state == "Z"})

    def lines(self):
        """Of each process each line once, in order, from the first on."""
        count = 0
        for text in (self.m.stdout_text(), self.m.stderr_text(),
                     *(self.m.dir.joinpath(name).read_text()
                       for name in ("filed.log", "filed.err"))):
            seen = {}
            for line in text.splitlines():
                if found := LINE.fullmatch(line):
                    seen.setdefault(found.groups()[:3], []).append(
                        int(found[4]))
            for key, numbers in seen.items():
                assert numbers == list(range(len(numbers))), key
            count += len(seen)
        return count


@pytest.mark.timeout(60 + 10 * ROUNDS * SLOW)
@pytest.mark.parametrize("end", ["TERM", "INT", "KILL"])
@pytest.mark.parametrize("seed", SEEDS)
def test_chaos(musterd, seed, end):
    m = musterd({"graceful_time": 1, "keep_alive": True, "processes": jobs()})
    m.wait_status()
    chaos = Chaos(m, f"{seed} {end}")
    try:
        for _ in range(ROUNDS):
            for _ in range(chaos.random.randrange(4, 16)):
                chaos.act()
            chaos.check()
        for _ in range(chaos.random.randrange(3)):
            chaos.act()
        for t in chaos.threads:
            t.join()
    except BaseException:
        print("\n".join(chaos.log))
        raise
    m.signal(getattr(signal, f"SIG{end}"))
    if end == "KILL":
        m.wait()
        wait_for("the end of all", lambda: not m.leftovers(), 5)
    else:
        assert m.wait() == 0
        assert chaos.lines() >= 4
