"""HUP: the file is read anew, and only what changed is touched."""

import contextlib
import json
import os
import re
import signal
import time

import harness
from harness import job, sh, wait_for
from steps import KEEP, ids, manager, others, pids, reload, rewrite

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


def told(m):
    """What the reloads have done, in their own words."""
    return re.findall(r"^\[INFO\] reloaded: (.*)$",
                      m.stdout_text() + m.stderr_text(), re.M)


def rows(m):
    """(Job, instance): (id, pid, state) of all."""
    return {(p["name"].removeprefix("default."), p["instance"]):
            (p["id"], p["pid"], p["state"])
            for p in m.get("/v1/processes").json()["processes"]}


def expect(m, processes, text):
    """Reloads; what it tells is this."""
    before = len(told(m))
    rewrite(m, processes)
    reload(m)
    wait_for("a reload", lambda: len(told(m)) > before)
    assert told(m)[before:] == [text]


def test_what_is_told(musterd):
    a, b = job("sleep", "1000"), job("sleep", "1001")
    m = musterd({**KEEP, "processes": {"a": a, "b": b}})
    m.wait_status()
    before = pids(m)
    expect(m, {"a": a, "b": b}, "2 not touched")
    expect(m, {"a": {**a, "restart": "always", "stop": "INT",
                     "verify": {"tcp": 1}, "options": {"graceful_time": 3}},
               "b": b}, "2 not touched")
    assert pids(m) == before
    many = {f"job-with-a-long-name-{i}": a for i in range(99)}
    expect(m, {"c": b, **many}, "100 added (c, " + ", ".join(
        f"job-with-a-long-name-{i}" for i in range(6))
        + ", ...), 2 removed (a, b), 0 not touched")
    expect(m, {"c": a, "d": b}, "1 added (d), 1 changed (c), 99 removed ("
           + ", ".join(f"job-with-a-long-name-{i}" for i in range(6))
           + ", ...), 0 not touched")


def test_instances(musterd):
    """More of them start, fewer of them stop, and the others stay."""
    a = job("sleep", "1000")
    m = musterd({**KEEP, "processes": {"a": {**a, "instances": 2}, "b": a}})
    m.wait_status()
    before = rows(m)
    expect(m, {"a": {**a, "instances": 4}, "b": a},
           "1 changed (a), 1 not touched")
    wait_for("the new ones", lambda: [s for _, _, s in rows(m).values()]
             == ["running"] * 5)
    now = rows(m)
    assert now.items() >= before.items()
    expect(m, {"a": {**a, "instances": 1}, "b": a},
           "1 changed (a), 1 not touched")
    wait_for("their end", lambda: len(
        m.get("/v1/processes").json()["processes"]) == 2)
    assert rows(m) == {key: before[key] for key in (("a", 0), ("b", 0))}


def test_what_has_ended_and_is_removed(musterd):
    """It is listed no more, and counts for nothing; what never ran is not told.
    """
    keep = job("sleep", "1000")
    m = musterd({**KEEP, "processes": {
        "keep": keep, "good": job("true"), "bad": job("false"),
        "off": {**keep, "autostart": False}}})
    m.wait_state("bad", "exited")
    assert m.get("/v1/ready").status == 503
    expect(m, {"keep": keep}, "2 removed (good, bad), 1 not touched")
    wait_for("their going", lambda: list(m.all()) == ["keep"])
    assert m.get("/v1/ready").status == 200
    expect(m, {"keep": keep}, "1 not touched")


def test_new_and_not_to_be_started(musterd):
    a = job("sleep", "1000")
    m = musterd({**KEEP, "processes": {"a": a}})
    m.wait_status()
    expect(m, {"a": a, "off": {**a, "autostart": False}},
           "1 added (off), 1 not touched")
    m.wait_state("off", "stopped")
    assert m.get("/v1/ready").status == 200


def test_one_that_cannot_start_stops_no_other(musterd):
    """It is told once; when its time has come it starts."""
    a = job("sleep", "1000")
    m = musterd({**KEEP, "processes": {"a": {**a, "after": []}}})
    m.wait_status()
    expect(m, {"a": {**a, "after": []},
               "task": sh("[ -f go ]"),
               "late": {**a, "after": {"task": "exited"}},
               "new": {**a, "after": ["a"]},
               "newer": {**a, "after": ["new"]}},
           "4 added (task, late, new, newer), 1 not touched")
    m.wait_state("newer", "running")
    m.wait_text("waits for its success")
    assert m.state("late") == "waiting"
    old = manager(m)
    os.kill(old, signal.SIGKILL)
    wait_for("a new manager", lambda: manager(m) not in (None, old))
    (m.dir / "go").touch()
    assert m.ctl("restart", "task").returncode == 0
    m.wait_state("late", "running")
    lines = (m.stdout_text() + m.stderr_text()).splitlines()
    # By either manager, as far as it had to.
    assert sum("waits for its success" in line for line in lines) in (1, 2)


def test_after_one_that_is_changed(musterd):
    """What it was before does not count."""
    def up(name):
        return sh(f"until [ -f {name}.go ]; do sleep 0.02; done; "
                  f"touch {name}; exec sleep 1000", verify={"file": name},
                  after=[])
    m = musterd({**KEEP, "processes": {"a": up("one")}})
    (m.dir / "one.go").touch()
    m.wait_state("a", "running")
    rewrite(m, {"a": up("two"),
                "b": sh("[ -f two ] && exec sleep 1000", after=["a"])})
    reload(m)
    m.wait_state("a", "starting")
    assert m.state("b") == "waiting"
    (m.dir / "two.go").touch()
    m.wait_state("b", "running")


def test_warnings_are_told(musterd):
    """As at a start, and not those of a file that is refused."""
    a = job("sleep", "1000")
    m = musterd({**KEEP, "processes": {"a": a}})
    m.wait_status()
    rewrite(m, {"a": {**a, "restrat": "always", "nice": 99}})
    reload(m)
    m.wait_text("reload refused.*nice")
    assert "restrat" not in m.stdout_text() + m.stderr_text()
    expect(m, {"a": {**a, "restrat": "always"}}, "1 not touched")
    assert len(re.findall(r"^\[WARNING\] .*restrat: unknown key",
                          m.stdout_text() + m.stderr_text(), re.M)) == 1


def test_restart_of_what_was_removed(musterd):
    """There is nothing to be started: it is unknown, while it goes and then."""
    m = musterd({**KEEP, "processes": {
        "a": job("sleep", "1000", after=[]),
        "gone": sh("trap 'sleep 1; exit' TERM; touch up; "
                   "while :; do sleep 0.05; done", after=[],
                   verify={"file": "up"})}})
    m.wait_status()
    before = pids(m)["a"]
    rewrite(m, {"a": job("sleep", "1000", after=[])})
    reload(m)
    m.wait_text("reloaded: ")
    assert m.post("/restart/2").status == 404
    wait_for("its end", lambda: "gone" not in m.all())
    assert m.post("/restart/2").status == 404
    assert pids(m) == {"a": before}
    assert "manager" not in m.stderr_text().replace("[AUDIT]", "")
    assert "muster-manager" not in m.stdout_text()


def test_restart_of_what_was_never_verified(musterd):
    """What failed in a reload, is stuck, or was not to be started by itself."""
    m = musterd({**KEEP, "processes": {"a": job("sleep", "1000", after=[])}})
    m.wait_status()
    rewrite(m, {
        "a": job("sleep", "1000", after=[]),
        "late": job("./late", after=[]),
        "hung": sh("test -f go && touch up; exec sleep 1001", after=[],
                   verify={"file": "up", "timeout": 0}),
        "off": job("sleep", "1002", autostart=False, after=[]),
        "waits": job("sleep", "1003", after=["hung"])})
    reload(m)
    m.wait_text("reloaded: ")
    wait_for("it", lambda: "late" in m.all())
    m.wait_state("late", "failed")
    m.wait_state("hung", "starting")
    ids = {name: p["id"] for name, p in m.all().items()}
    assert m.post(f"/restart/{ids['late']}").status == 500
    (m.dir / "late").write_text("#!/bin/sh\nexec sleep 1004\n")
    (m.dir / "late").chmod(0o755)
    (m.dir / "go").touch()
    assert m.post(f"/restart/{ids['waits']}").status == 404
    for name in "late", "off", "hung":
        assert m.post(f"/restart/{ids[name]}").json()["success"], name
        assert m.all()[name]["state"] == "running"
    m.wait_state("waits", "running")
    assert len(m.processes()) == 5
    assert m.get("/v1/ready").status == 200
    assert "[AUDIT]" in m.stdout_text() + m.stderr_text()
    # They are still known, and stay up, when the manager is another.
    before = pids(m)
    os.kill(manager(m), signal.SIGKILL)
    wait_for("the next", lambda: m.status() == "running" and pids(m) == before)


def test_other_listeners(musterd):
    """The workers are others then; that they were ended is no news."""
    m = musterd({**KEEP, "processes": {"a": job("sleep", "1000")}}, "-v")
    m.wait_status()
    before = [p.pid for p in m.component("muster-httpd")]
    config = json.loads(m.file.read_text())
    config["http"]["port"] = m.port = harness.free_port()
    m.file.write_text(json.dumps(config))
    reload(m)
    m.wait_text("reloaded: ")
    m.wait_status()
    wait_for("others", lambda: not {
        p.pid for p in m.component("muster-httpd")} & set(before))
    assert "muster-httpd" not in m.stdout_text() + m.stderr_text()


def test_signals_in_a_row(musterd):
    """What was written before the last of them counts, whenever it comes."""
    m = musterd({**KEEP, "processes": {"j": job("sleep", "1000")}})
    m.wait_status()
    for n in range(60):
        rewrite(m, {f"j{n}": job("sleep", "1000")})
        reload(m)
        time.sleep(n % 20 / 100)
        if n % 20 == 19:
            wait_for("the last", lambda n=n: list(m.all()) == [f"j{n}"])


def test_signals_without_a_manager(musterd):
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "1000", redirect_output="log")}})
    m.wait_status()
    old = manager(m)
    os.kill(old, signal.SIGSTOP)
    (m.dir / "log").rename(m.dir / "log.1")
    rewrite(m, {"b": job("sleep", "1000"), "a": job(
        "sleep", "1000", redirect_output="log")})
    # The parent may have done it already.
    with contextlib.suppress(ProcessLookupError):
        os.kill(old, signal.SIGKILL)
    m.signal(signal.SIGUSR1)
    reload(m)
    wait_for("the new job", lambda: "b" in pids(m))
    wait_for("the log file", (m.dir / "log").exists)
