"""What muster itself needs of memory: for each job, and after a burst."""

import json
import pathlib
import re
import signal
import time

import pytest

import harness
from harness import job, wait_for

# With a sanitizer, memory is another thing.
pytestmark = pytest.mark.skipif(bool(harness.SAN), reason="a sanitizer")
FEW = 10
MANY = 400

KEEP = {"keep-alive": True, "graceful-time": 2}


def jobs(n):
    """Such as are alike in all but their names."""
    return {f"job{i:04}": job("sleep", "1000", suppress_output=True,
                              restart="always", backoff={"initial": 0})
            for i in range(n)}


def used(m):
    """kB of memory that is of muster's programs alone, and of their files."""
    rollups = [pathlib.Path(f"/proc/{p.pid}/smaps_rollup").read_text()
               for p in [*m.component("musterd"),
                         *m.component("muster-manager"),
                         *m.component("muster-relay"),
                         *m.component("muster-httpd")]]
    return sum(int(re.search(rf"^{what}:\s+(\d+)", r, re.M)[1])
               for r in rollups for what in ("Private_Clean", "Private_Dirty"))


def settled(m):
    """What is used when nothing happens any more."""
    last = [0, used(m)]

    def calm():
        time.sleep(0.6)
        last.append(used(m))
        return last[-1] == last[-2]
    wait_for("calm", calm, 20)
    return last[-1]


def started(musterd, n):
    m = musterd({**KEEP, "processes": jobs(n)})
    m.wait_status(timeout=60)
    return m


def test_each_job(musterd):
    """2 kB for what is known of a job, in five programs together."""
    few = settled(started(musterd, FEW))
    many = settled(started(musterd, MANY))
    assert (many - few) / (MANY - FEW) < 2.5


def test_burst(musterd):
    """What a large reload needed for a moment is given back."""
    m = started(musterd, FEW)
    config = json.loads(m.file.read_text())
    config["processes"] = jobs(MANY)
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)
    wait_for("the new jobs", lambda: m.get("/").json()["count"] == MANY, 60)
    grown = settled(m)
    fresh = settled(started(musterd, MANY))
    assert grown < fresh * 1.25
