"""What the tests of reloads have in common."""

import json
import signal

KEEP = {"keep_alive": True, "graceful_time": 2}


def pids(m):
    """Job name (without session) to pid of what runs."""
    return {name: p["pid"] for name, p in m.all().items() if p["pid"]}


def ids(m):
    return {name: p["id"] for name, p in m.all().items()}


def manager(m):
    found = m.component("muster-manager")
    return found[0].pid if found else None


def others(m):
    """The components that a reload does not replace."""
    return {p.pid for name in ("httpd", "relay", "verifier")
            for p in m.component(f"muster-{name}")}


def rewrite(m, processes, **more):
    config = json.loads(m.file.read_text())
    config["processes"] = processes
    config.update(more)
    m.file.write_text(json.dumps(config))


def reload(m):
    m.signal(signal.SIGHUP)
