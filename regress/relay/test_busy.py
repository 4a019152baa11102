"""Writers that write all the time: they are looked at by a clock."""

import os
import time

import pytest

import harness
from harness import python

# Lines of 100 bytes, one by one, from `go` until `end`, and then no more.
WRITER = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.01)
n = 0
while n % 500 or not os.path.exists("end"):
    os.write(1, b"%s %096d\\n" % (b"NN", n))
    n += 1
open("NN.count", "w").write(str(n))
time.sleep(4000)
"""


def writers(count):
    return {f"{n:02}": python(WRITER.replace("NN", f"{n:02}"),
                              redirect_output=f"{n:02}.log")
            for n in range(count)}


def relay(m):
    return m.component("muster-relay")[0].pid


def watched(pid):
    """How many descriptors it waits for."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if "eventpoll" in os.readlink(f"/proc/{pid}/fd/{fd}"):
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
                count += f.read().count("tfd:")
    return count


def switches(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith("voluntary"))


def is_exact(m, name):
    counter = m.dir / f"{name}.count"
    if not counter.exists() or not counter.read_text():
        return False
    lines = (m.dir / f"{name}.log").read_text().splitlines()
    count = int(counter.read_text())
    return lines == [f"{name} {n:096}" for n in range(count)]


@pytest.mark.parametrize("count", [1, 4, 40])
def test_busy_writers(musterd, count):
    m = musterd({"keep_alive": True, "graceful_time": 1,
                 "processes": writers(count)})
    m.wait_status()
    pid = relay(m)
    root = os.geteuid() == 0
    if root:
        # A pipe may come to it a moment after its process is up.
        harness.wait_for("all are watched", lambda: watched(pid) >= count + 4)
        time.sleep(0.2 * harness.patience())
        rest = watched(pid)
    (m.dir / "go").touch()
    if root:
        harness.wait_for("unwatched pipes", lambda: watched(
            pid) <= rest - (count + 1) // 2, interval=0)
    time.sleep(0.3)
    (m.dir / "end").touch()
    for n in range(count):
        harness.wait_for("the last line", lambda: is_exact(m, f"{n:02}"), 20)
    if root:
        harness.wait_for("all are watched", lambda: watched(pid) >= rest)

    def sleeps():
        before = switches(pid)
        time.sleep(1)
        return switches(pid) == before

    harness.wait_for("an idle relay", sleeps, 20)


def test_the_last_words_of_a_busy_writer(musterd):
    """They are there when its end is told."""
    m = musterd({"keep_alive": True, "graceful_time": 1, "processes": {
        "a": python("""
import os
for n in range(20000):
    os.write(1, b"%099d\\n" % n)
""")}})
    m.wait_state("a", "exited", 20)
    assert m.get("/v1/processes/1/streams/stdout?lines=1").text == \
        f"{19999:099}\n"


def test_a_relay_that_is_killed_meanwhile(musterd):
    m = musterd({"keep_alive": True, "graceful_time": 1,
                 "processes": writers(3)})
    m.wait_status()
    (m.dir / "go").touch()
    for _ in range(5):
        time.sleep(0.1)
        harness.kill(harness.wait_for(
            "a relay", lambda: m.component("muster-relay"))[0])
    (m.dir / "end").touch()
    for n in range(3):
        harness.wait_for("the last line", lambda: is_exact(m, f"{n:02}"), 20)


def test_lines_are_whole(musterd):
    """Also where the journal begins anew."""
    count = 6000
    m = musterd({"graceful_time": 1, "processes": {
        f"{n:02}": python(f"""
import os, time
for n in range({count}):
    os.write(1, b"{n:02} %096d\\n" % n)
    if n % 40 == 0:
        time.sleep(0.001)
""") for n in range(4)}})
    assert m.wait(30) == 0
    found = {n: 0 for n in range(4)}
    for line in m.stdout_text().splitlines():
        if line[:2].isdigit():
            n = int(line[:2])
            assert line == f"{n:02} {found[n]:096}"
            found[n] += 1
    assert set(found.values()) == {count}
