"""HUP: the file is read anew, and only what changed is touched."""

import json
import os
import signal

from harness import job, sh, wait_for

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


def test_only_what_changed(musterd):
    m = musterd({**KEEP, "processes": {
        "a": job("sleep", "1000"), "b": job("sleep", "1001"),
        "c": sh("touch up; exec sleep 1002", verify={"file": "up"})}})
    m.wait_status()
    before = pids(m)
    components = others(m)
    rewrite(m, {"d": job("sleep", "1004"), "a": job("sleep", "1000"),
                "c": job("sleep", "2002")})
    reload(m)
    wait_for("the new jobs", lambda: set(pids(m)) == {"a", "c", "d"}
             and pids(m)["c"] != before["c"])
    after = pids(m)
    assert after["a"] == before["a"]
    assert ids(m) == {"a": 1, "c": 3, "d": 4}
    commands = {p["id"]: p["command"] for p in m.processes()}
    assert commands[3] == "sleep 2002" and commands[4] == "sleep 1004"
    assert not os.path.exists("/proc/%d" % before["b"])
    assert m.get("/status").json() == {"status": "running"}
    assert others(m) == components
    assert "[WARNING]" not in m.stdout_text() + m.stderr_text()


def test_refused_changes_nothing(musterd):
    m = musterd({**KEEP, "processes": {"a": job("sleep", "1000")}})
    m.wait_status()
    before = pids(m)
    m.file.rename(m.dir / "away")
    reload(m)
    m.wait_text(f"reload refused: {m.file}: No such file or directory$")
    m.file.write_text('{"processes": {"a": {"executable": 1')
    reload(m)
    m.wait_text("reload refused.*not a valid JSON")
    assert pids(m) == before
    rewritten = {"a": {"executable": "sleep", "arguments": ["1000"],
                       "options": {"after": ["nowhere"]}}}
    m.file.write_text(json.dumps({"processes": rewritten}))
    reload(m)
    m.wait_text("no job .nowhere")
    assert pids(m) == before


def test_twice_and_a_crash_between(musterd):
    """Ids and pids hold over reloads and over the death of the manager."""
    m = musterd({**KEEP, "processes": {
        "a": job("sleep", "1000"), "b": job("sleep", "1001")}})
    m.wait_status()
    before = pids(m)
    for extra in ("c", "d"):
        rewrite(m, {extra: job("sleep", "1002"), "b": job("sleep", "1001"),
                    "a": job("sleep", "1000")})
        reload(m)
        wait_for(extra, lambda: set(pids(m)) == {"a", "b", extra})
        known = ids(m)
        old = manager(m)
        os.kill(old, signal.SIGKILL)
        wait_for("a new manager", lambda: manager(m) not in (None, old))
        wait_for("its word", lambda: m.post(
            "/restart/%d" % known[extra]).status == 200)
        assert ids(m) == known
        assert pids(m)["a"] == before["a"] and pids(m)["b"] == before["b"]


def test_a_new_job_that_fails_takes_nothing_down(musterd):
    m = musterd({**KEEP, "processes": {"a": job("sleep", "1000")}})
    m.wait_status()
    before = pids(m)
    rewrite(m, {"a": job("sleep", "1000"), "bad": job("/no/such/program")})
    reload(m)
    wait_for("the new job", lambda: "bad" in m.all())
    m.wait_state("bad", "failed")
    assert pids(m) == before
    assert m.get("/status").json() == {"status": "running"}


def test_output_file_goes_on(musterd):
    """What writes to a file is left alone, and the file with it."""
    m = musterd({**KEEP, "processes": {
        "a": sh("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done",
                options={"redirect_output": "out"})}})
    m.wait_status()
    out = m.dir / "out"
    wait_for("output", lambda: out.exists() and len(out.read_text()) > 20)
    rewrite(m, {"z": job("sleep", "1000"),
                "a": json.loads(m.file.read_text())["processes"]["a"]})
    reload(m)
    wait_for("the new job", lambda: "z" in pids(m))
    size = out.stat().st_size
    wait_for("more output", lambda: out.stat().st_size > size + 20)
    numbers = out.read_text().split("\n")[:-1]
    assert numbers == [str(i + 1) for i in range(len(numbers))]
