"""musterctl status, info, and how all of it is shown."""

import json
import re
import unicodedata

import pytest

from fakemusterd import exited, process, verifier

RED, GREEN = "\033[31m", "\033[32m"


def rows(text):
    return [re.split(r" {2,}", line) for line in text.splitlines()]


def test_table(ctl, fake):
    fake.processes = [
        process(1, "db", uptime=3 * 86400 + 4 * 3600 + 5,
                verifier=verifier("http 200")),
        process(2, "web", "starting", restarts=2,
                verifier=verifier("http 503", attempts=3)),
        process(3, "job", "backoff", restarts=17, exit=exited(1)),
        process(4, "plain"),
        process(5, "app", "waiting", waiting_for="default.web"),
        process(6, "end", "waiting"),
    ]
    r = ctl("status")
    assert rows(r.stdout) == [
        ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "VERIFIER"],
        ["db", "running", "801", "3d 4h", "0", "ok http 200"],
        ["web", "starting", "802", "3s", "2", "waiting: http 503, try 3"],
        ["job", "backoff", "-", "-", rows(r.stdout)[3][4], "exit 1"],
        ["plain", "running", "804", "3s", "0", "-"],
        ["app", "waiting", "-", "-", "0", "waits for web"],
        ["end", "waiting", "-", "-", "0", "waits for its turn"],
    ]
    assert re.fullmatch(r"17 \(.* ago\)", rows(r.stdout)[3][4])
    assert r.stderr == ""
    assert r.returncode == 1
    # The columns stand below each other.
    assert len({line.index("  " + word) for line, word in zip(
        r.stdout.splitlines(), ["VERIFIER", "ok", "waiting"])}) == 1
    assert not any(line.endswith(" ") for line in r.stdout.splitlines())


def test_ps_is_status(ctl, fake):
    assert ctl("ps").stdout == ctl("status").stdout
    assert fake.requests == ["GET /v1/processes"] * 2


def test_header_without_processes(ctl, fake):
    fake.processes = []
    r = ctl("status")
    assert (r.returncode, rows(r.stdout)[0][0], len(rows(r.stdout))) == \
        (0, "NAME", 1)


@pytest.mark.parametrize("processes, code", [
    ([process()], 0),
    ([process(), process(2, "x", "exited", exit=exited(0))], 3),
    ([process(), process(2, "x", "exited", exit=exited(0), verified=True,
                         verifier=verifier("", "exited"))], 0),
    ([process(), process(2, "x", "exited", exit=exited(2))], 1),
    ([process(), process(2, "x", "exited", exit={
        "signal": "SIGKILL", "time": None})], 1),
    ([process(), process(2, "x", "stopped")], 3),
    ([process(), process(2, "x", "waiting")], 3),
    ([process(), process(2, "x", "starting")], 3),
    ([process(), process(2, "x", "stopping")], 3),
    ([process(), process(2, "x", "running", verified=False)], 3),
    ([process(1, "x", "stopped"), process(2, "x", "failed")], 1),
    ([process(), process(2, "x", "backoff", exit=exited(0))], 1),
    ([process(), process(2, "x", "what is this")], 3),
])
def test_exit_codes(ctl, fake, processes, code):
    fake.processes = processes
    assert ctl("status").returncode == code
    assert ctl("status", "--json").returncode == code


def test_one(ctl, fake):
    fake.processes = [process(7, "web", restarts=2, verifier=verifier()),
                      process(8, "db")]
    fake.output = {(7, "stdout"): b"".join(
        b"line %d\n" % i for i in range(30)) + b"evil \x1b[31m\xff\r\n"}
    r = ctl("status", "web")
    assert r.returncode == 0
    head, _, tail = r.stdout.partition("\n\n")
    lines = head.splitlines()
    assert lines[0] == "web: running, verified"
    assert [line.strip() for line in lines[1:]] == [
        "id: 7 (instance 0, generation 1)", "pid: 807",
        "since: 2026-11-21T20:27:22.123Z, 3s ago", "restarts: 2",
        "verifier: http: http 200 (passed, 1 attempt, 12 ms)",
        "command: ./web --fast", "directory: /srv", "user: www"]
    assert tail.splitlines() == [f"line {i}" for i in range(21, 30)] + [
        "evil \\e[31m\\xff"]
    assert "lines=10" in fake.requests[-1]


def test_one_with_two_streams(ctl, fake):
    fake.processes = [process(streams=[{"name": "stdout"},
                                       {"name": "stderr"}])]
    fake.output = {(1, "stdout"): b"out\n", (1, "stderr"): b"err"}
    assert ctl("status", "web").stdout.partition("\n\n")[2] == \
        "stdout:\nout\n\nstderr:\nerr\n"


def test_one_that_ended(ctl, fake):
    fake.processes = [process(1, "web", "failed", exit=exited(3),
                              verifier=verifier("http 500", attempts=9))]
    r = ctl("status", "web")
    assert r.returncode == 1
    assert r.stdout.startswith("web: failed\n")
    assert re.search(r"exit: exit 3, .* ago$", r.stdout, re.M)
    assert "(not passed, 9 attempts, 12 ms)" in r.stdout


def test_several_instances(ctl, fake):
    fake.processes = [process(i + 1, "web", instance=i) for i in range(3)]
    fake.processes += [process(9, "db")]
    r = ctl("status", "web")
    assert rows(r.stdout)[0][:3] == ["NAME", "ID", "STATE"]
    assert [row[1] for row in rows(r.stdout)[1:]] == ["1", "2", "3"]
    r = ctl("status", "id:2")
    assert r.stdout.startswith("web: running")
    assert "id: 2 (instance 1" in r.stdout


@pytest.mark.parametrize("names, ids", [
    (["web"], [1]), (["default.web"], [1]), (["id:3"], [3]),
    (["w*"], [1, 2]), (["*b"], [1, 3, 4]), (["[dx]b", "id:1"], [1, 3]),
    (["other.db"], [4]), (["web", "web", "w?b"], [1]),
    (["default.*"], [1, 2, 3, 5]), (["other.*"], [4]), (["x*y"], [5]),
    ([], [1, 2, 3, 4, 5]),
])
def test_names(ctl, fake, names, ids):
    fake.processes = [process(1, "web"), process(2, "worker"),
                      process(3, "db"), process(4, name=None),
                      process(5, "x*y")]
    fake.processes[3]["name"] = "other.db"
    r = ctl("--json", "status", *names)
    assert [p["id"] for p in json.loads(r.stdout)["processes"]] == ids


@pytest.mark.parametrize("name", ["wep", "nope", "id:99", "n*", "other.web",
                                  "default.id:1"])
def test_unknown_names(ctl, name):
    r = ctl("status", name)
    assert r.returncode == 4
    assert r.stdout == ""
    hint = ' (did you mean "web"?)' if name == "wep" else ""
    assert r.stderr == f"musterctl: {name}: no such process{hint}\n"


@pytest.mark.parametrize("name", ["id:", "id:x", "id:0", "id:-1", "id: 1",
                                  "id:4294967296"])
def test_malformed_ids(ctl, name):
    r = ctl("status", name)
    assert (r.returncode, r.stdout) == (2, "")
    assert r.stderr == f"musterctl: {name}: want id:NUMBER\n"


def test_known_and_unknown(ctl):
    r = ctl("status", "web", "nope")
    assert r.returncode == 4
    assert "nope: no such process" in r.stderr


def test_json(ctl, fake):
    fake.processes = [process(1, "grün", more={"new": [1]}), process(2, "b")]
    r = ctl("--json", "status", "grün")
    assert json.loads(r.stdout) == {"processes": fake.processes[:1]}
    assert r.stdout.isascii()
    # The same at another place.
    assert ctl("status", "grün", "--json").stdout == r.stdout


def test_names_are_escaped(ctl, fake):
    fake.processes = [process(1, "a\x1b[2Jb\n\t\x7f\u202e\x9b", "run\rning")]
    r = ctl("status")
    assert r.stdout.splitlines()[1].startswith(
        "a\\e[2Jb\\n\\t\\x7f\\u202e\\u009b  run\\rning  ")
    fake.processes[0]["name"] = "default.x"
    fake.processes[0]["state"] = "running"
    fake.processes[0]["command"] = "evil\x1b]0;x\x07"
    assert "command: evil\\e]0;x\\a\n" in ctl("status", "x").stdout


def test_columns_are_as_wide_as_they_look(ctl, fake):
    names = ["字字", "e\u0301e", "plain-name", "ü"]
    fake.processes = [process(i + 1, n) for i, n in enumerate(names)]
    r = ctl("status")

    def columns(text):
        return sum(0 if unicodedata.combining(c) else
                   2 if unicodedata.east_asian_width(c) in "WF" else 1
                   for c in text)
    places = {columns(line[:re.search(r"STATE|running", line).start()])
              for line in r.stdout.splitlines()}
    assert len(places) == 1


def test_another_locale(ctl, fake):
    fake.processes = [process(1, "ü")]
    assert ctl("status", env={"LC_ALL": "C"}).stdout.splitlines()[1] \
        .startswith("\\xc3\\xbc  running")
    # No wish is no wish for ASCII.
    for wish in (None, "", "xx_XX.UTF-8"):
        r = ctl("status", env={"LC_ALL": wish})
        assert r.stdout.splitlines()[1].startswith("ü     running")


def test_cut_on_a_terminal_only(ctl, fake):
    fake.processes = [process(1, "web", verifier=verifier("x" * 200))]
    assert "x" * 200 in ctl("status").stdout
    code, shown = ctl.terminal("status", columns=60,
                               env={"NO_COLOR": "1"})
    lines = shown.splitlines()
    assert code == 0
    assert [len(line) for line in lines[1:]] == [60]
    assert lines[1].endswith("x…")
    _, shown = ctl.terminal("status", columns=5, env={"NO_COLOR": "1"})
    assert [len(line) for line in shown.splitlines()] == [5, 5]


@pytest.mark.parametrize("on_terminal, args, env, colored", [
    (True, [], {}, True),
    (False, [], {}, False),
    (True, [], {"NO_COLOR": "1"}, False),
    (True, [], {"NO_COLOR": ""}, True),
    (True, [], {"TERM": "dumb"}, False),
    (True, [], {"TERM": None}, False),
    (False, [], {"CLICOLOR_FORCE": "1"}, True),
    (False, [], {"CLICOLOR_FORCE": "0"}, False),
    (False, [], {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, True),
    (False, ["--color=always"], {"NO_COLOR": "1"}, True),
    (True, ["--color=never"], {}, False),
    (True, ["--color", "auto"], {}, True),
    (True, ["--color=never"], {"CLICOLOR_FORCE": "1"}, False),
])
def test_color(ctl, fake, on_terminal, args, env, colored):
    fake.processes = [process(1, "a"), process(2, "b", "failed")]
    if on_terminal:
        code, shown = ctl.terminal(*args, "status", env=env)
    else:
        r = ctl(*args, "status", env=env)
        code, shown = r.returncode, r.stdout
    assert code == 1
    assert (f"{GREEN}running\033[0m" in shown) == colored
    assert (f"{RED}failed\033[0m" in shown) == colored
    assert ("\033" in shown) == colored
    plain = re.sub(r"\033\[\d*m", "", shown)
    assert "running" in plain and "failed" in plain


def test_info(ctl, fake):
    r = ctl("info")
    assert r.returncode == 0
    lines = [line.strip() for line in r.stdout.splitlines()]
    assert lines[0] == "muster 0.1.0"
    assert lines[1:4] == ["status: running", "ready: yes", "pid: 4711"]
    assert lines[4].startswith("started: 2026-11-21T20:27:22.123Z, ")
    assert lines[5:] == ["boot: b00t", f"at: {fake.path}",
                         "processes: 3: 1 running, 2 exited"]
    assert json.loads(ctl("info", "--json").stdout) == fake.info()


def test_what_is_sent(ctl, fake):
    ctl("info")
    q = fake.seen[0]
    assert (q.method, q.target, q.version) == ("GET", "/v1", "HTTP/1.1")
    assert q.fields["host"] == "localhost"
    assert q.fields["connection"] == "close"
    assert q.fields["accept"] == "application/json"
    assert q.fields["user-agent"].startswith("musterctl/")
