"""musterd -x: bring everything up, run a command, take everything down."""

import os
import re
import signal
import subprocess
import time

import pytest

import harness
from harness import PYTHON, job, python, sh

SLEEP = job("sleep", "4000")
VERIFIED = sh("sleep 0.1; touch up; exec sleep 4000", verify={"file": "up"})


def start(processes, *command, options=(), **more):
    config = {"graceful_time": 1, "processes": processes}
    config.update(more.pop("config", {}))
    return harness.Musterd(config, *options, "-x", "--", *command, **more)


@pytest.fixture
def run():
    """Starts musterd -x; it has to end without help."""
    mine = []

    def run_(*args, **more):
        mine.append(start(*args, **more))
        return mine[-1].start()

    yield run_
    for m in mine:
        m.close()


# --- the command ---


@pytest.mark.parametrize("script, code", [
    ("exit 0", 0), ("exit 1", 1), ("exit 3", 3), ("exit 255", 255),
    ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9),
    ("kill -INT $$", 128 + 2), ("kill -USR1 $$", 128 + 10)])
def test_code(run, script, code):
    m = run({"a": SLEEP}, "sh", "-c", script)
    assert m.wait() == code
    assert m.leftovers() == []


@pytest.mark.parametrize("unix", [None, "here.sock"])
def test_musterctl_in_it(run, unix):
    """It finds its own musterd, wherever it is."""
    http = {"unix": unix} if unix else {}
    m = run({"a": SLEEP}, "sh", "-c",
            f"cd /; exec {os.path.abspath(harness.MUSTERCTL)} status",
            config={"http": {"enabled": False, **http}})
    assert m.wait() == 0
    assert re.search(r"^a +running ", m.stdout_text(), re.M)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_output_to_our_own_stream(tmp_path, name):
    """It is a file without O_APPEND, and nobody writes over another."""
    with open(tmp_path / "there", "wb") as there:
        m = harness.Musterd({"keep_alive": False, "processes": {
            "a": sh("echo one; sleep 0.2; echo three",
                    redirect_output=f"/dev/{name}"),
            "b": sh("sleep 0.1; echo two", verify="exited")}},
            **{name: there})
        with m:
            assert m.wait() == 0
        there.write(b"last\n")
    said = (tmp_path / "there").read_text().splitlines()
    words = ["one", "two", "three", "last"]
    if name == "stderr":
        words.remove("two")
    assert [line for line in said if line in words] == words


@pytest.mark.parametrize("words, said", [
    (["--log-format=xml"], "musterd: --log-format xml: want text, logfmt, "),
    (["--wait"], "musterd: --wait goes with -d\n"),
    (["-Z"], ": invalid option -- 'Z'\nusage: musterd ")])
def test_wrong_options(words, said):
    """What is wrong stands there, and not much else."""
    r = subprocess.run([harness.MUSTERD, *words], capture_output=True,
                       text=True, check=False)
    assert (r.returncode, r.stdout) == (2, "")
    assert said in r.stderr and r.stderr.count("\n") <= 5


def test_all_is_up_when_it_runs(run):
    m = run({"a": VERIFIED, "b": sh("touch b; exec sleep 4000",
                                    verify={"file": "b"})},
            "sh", "-c", "test -f up && test -f b && echo both")
    assert m.wait() == 0
    assert m.stdout_text() == "both\n"


def test_all_is_down_when_it_ends(run):
    m = run({"a": sh("trap 'sleep 0.2; touch down; exit' TERM; touch up; "
                     "while :; do sleep 0.1; done", verify={"file": "up"})},
            "true")
    assert m.wait() == 0
    assert (m.dir / "down").exists()


def test_words_and_environment(run):
    m = run({"a": SLEEP}, PYTHON, "-Sc",
            "import os, sys; print(sys.argv[1:], os.environ['MINE'], "
            "os.getcwd())", "a b", "", "$x", "--", "-x",
            env={"MINE": "x y"})
    assert m.wait() == 0
    assert m.stdout_text() == \
        f"['a b', '', '$x', '--', '-x'] x y {m.dir}\n"


def test_command_in_path(run):
    m = start({"a": SLEEP}, "mine", env={
        "PATH": "bin:" + os.environ["PATH"]})
    (m.dir / "bin").mkdir()
    (m.dir / "bin/mine").write_text("#!/bin/sh\necho mine\n")
    (m.dir / "bin/mine").chmod(0o755)
    with m:
        assert m.wait() == 0
        assert m.stdout_text() == "mine\n"


@pytest.mark.parametrize("command", ["no-such-command", "/no/such", "./none"])
def test_command_that_is_none(run, command):
    m = run({"a": SLEEP}, command)
    assert m.wait() == 127
    assert m.stderr_text().splitlines()[-1] == (
        f"musterd: {command}: No such file or directory")
    assert m.stdout_text() == ""


def test_command_that_is_no_program(run):
    m = run({"a": SLEEP}, "/etc/passwd")
    assert m.wait() == 126
    assert m.stderr_text().endswith(
        "\nmusterd: /etc/passwd: Permission denied\n")


def test_no_command(musterd):
    m = musterd({"processes": {"a": SLEEP}}, "-x")
    assert m.wait() == 2
    assert "-x needs" in m.stderr_text()


def test_nothing_to_bring_up(run):
    m = run({}, "echo", "done")
    assert m.wait() == 0
    assert m.stdout_text() == "done\n"


def test_processes_that_have_ended(run):
    """They do not end it: the command has not run yet, or still runs."""
    m = run({"a": job("true"), "b": sh("exit 1")},
            "sh", "-c", "sleep 0.3; exit 4")
    assert m.wait() == 4


def test_on_exit_shutdown_ends_it(run):
    m = run({"a": sh("sleep 0.3; exit 6", on_exit="shutdown")}, "sleep",
            "4000")
    assert m.wait() == 6
    assert m.stderr_text().count("a: exited with code 6") == 1


@pytest.mark.parametrize("command", [
    "sleep 4000", "trap 'exit 9' TERM; while :; do sleep 0.1; done"])
def test_cut_off_by_one_that_has_ended_well(run, command):
    """The command has not succeeded, whatever that one did."""
    m = run({"db": sh("sleep 0.3; exit 0", on_exit="shutdown")},
            "sh", "-c", command)
    assert m.wait() == 128 + 15
    assert "db: exited with code 0, and ends all (on-exit)" in m.stderr_text()


def test_ended_before_the_command(run):
    m = run({"db": job("true", on_exit="shutdown"), "slow": sh(
        "exec sleep 4000", verify={"file": "never", "timeout": "20s"})},
        "touch", "ran")
    assert m.wait() == 5
    assert not (m.dir / "ran").exists()


def test_one_that_ends_all_beside_a_command_that_has_ended(run):
    m = run({"a": sh("trap 'exit 6' TERM; touch up; while :; do sleep 0.1; "
                     "done", on_exit="shutdown", verify={"file": "up"})},
            "sh", "-c", "exit 3")
    assert m.wait() == 3


# --- its streams are its own ---


def test_stdout_is_untouched(run):
    """Nothing of musterd's or the processes' stands there."""
    m = run({"a": sh("echo noise; echo more >&2; exec sleep 4000"),
             "b": VERIFIED},
            PYTHON, "-Sc", "import os; os.write(1, bytes(range(256)))",
            config={"messages": ["process.exit", "verifier.verbose"]})
    assert m.wait() == 0
    assert m.stdout.read_bytes() == bytes(range(256))
    assert not {"noise", "more"} & set(m.stderr_text().splitlines())


def test_its_descriptors(run):
    """Those that musterd was given, not pipes."""
    m = run({"a": SLEEP}, PYTHON, "-Sc",
            "import os\nfor n in range(3): print(os.readlink("
            "f'/proc/self/fd/{n}'))")
    assert m.wait() == 0
    assert m.stdout_text().splitlines() == [
        "/dev/null", str(m.stdout), str(m.stderr)]


def test_stdin(run, tmp_path):
    (tmp_path / "in").write_bytes(b"some\0bytes\xff\n" * 10000)
    with open(tmp_path / "in", "rb") as f:
        m = run({"a": SLEEP, "b": sh("cat")}, "cat", stdin=f)
        assert m.wait() == 0
    assert m.stdout.read_bytes() == b"some\0bytes\xff\n" * 10000


def test_stdin_of_a_pipe(run):
    read_end, write_end = os.pipe()
    m = run({"a": SLEEP}, "sh", "-c", "read x; echo got $x; cat",
            stdin=read_end)
    os.close(read_end)
    os.write(write_end, b"one\ntwo\n")
    harness.wait_for("the first", lambda: "got one\n" in m.stdout_text())
    assert m.running()
    os.close(write_end)
    assert m.wait() == 0
    assert m.stdout_text() == "got one\ntwo\n"


def test_stderr(run):
    m = run({"a": SLEEP}, "sh", "-c", "echo mine >&2", options=["-q"])
    assert m.wait() == 0
    assert m.stderr_text() == "mine\n"


def test_environment_of_a_pipeline():
    """As it is used: in a pipe, with its output caught."""
    m = start({"a": SLEEP}, "wc", "-c", options=["-q"])
    done = subprocess.run(
        [harness.MUSTERD, "-f", str(m.file), *m.args], input=b"x" * 100000,
        capture_output=True, cwd=m.dir, env=m.env, check=False, timeout=30)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (
        0, b"100000", b"")


# --- the display ---


def test_progress(run):
    """One line of each change; the attempts that fail are many."""
    m = run({"db": sh("sleep 0.2; touch up; exec sleep 4000",
                      verify={"file": "up"}), "web": SLEEP}, "true")
    assert m.wait() == 0
    said = m.stderr_text().splitlines()
    assert re.match(r" ✔ db +verified +.*\d+\.\ds$", said[0])
    assert re.match(r" ✔ web +started +.*\d+\.\ds$", said[1])
    assert "\033" not in m.stderr_text()


def test_no_progress(run):
    m = run({"a": VERIFIED}, "true", options=["-q"])
    assert m.wait() == 0
    assert m.stderr_text() == ""


def test_progress_on_a_terminal():
    """Drawn in place; the command writes below it."""
    m = start({"db": sh("sleep 0.4; touch up; exec sleep 4000",
                        verify={"file": "up"}), "web": SLEEP},
              "echo", "the command", terminal=True, env={"NO_COLOR": "1"})
    with m:
        assert m.wait() == 0
    shown = m.terminal_text()
    # Lines are cut, not continued on the next one, as long as it is drawn.
    assert shown.count("\033[?7l") == shown.count("\033[?7h") > 1
    shown = shown.replace("\033[?7l", "").replace("\033[?7h", "")
    pictures = shown.replace("\033[K", "").split("[+] ")
    *pictures, last = pictures[1:]
    assert pictures[0].startswith("0/2 ready\r\n")
    assert "db               waiting" in pictures[0]
    assert " · web              waiting" in pictures[0]
    # The cursor goes back to the first line.
    assert all(p.endswith("\033[3A") for p in pictures)
    assert last.startswith("2/2 ready\r\n ✔ db               verified")
    assert " ✔ web              started" in last
    assert last.endswith("s\r\nthe command\r\n")


@pytest.mark.parametrize("env, colour", [
    ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False),
    ({"TERM": "dumb"}, False), ({"TERM": "dumb", "CLICOLOR_FORCE": "1"}, True)])
def test_colour_on_a_terminal(env, colour):
    m = start({"web": SLEEP}, "true", terminal=True,
              env={"TERM": "xterm", **env})
    with m:
        assert m.wait() == 0
    assert ("\033[32m✔\033[0m web" in m.terminal_text()) == colour
    assert colour or "\033[3" not in m.terminal_text()


def test_many_on_a_terminal():
    """Who is not ready is shown, and no more rows than a terminal has."""
    jobs = {f"{i}é" * 9: SLEEP for i in range(30)}
    jobs["last"] = sh("sleep 0.3; touch up; exec sleep 4000",
                      verify={"file": "up"})
    m = start(jobs, "true", terminal=True)
    with m:
        assert m.wait() == 0
    pictures = m.terminal_text().split("[+] ")[1:]
    assert all(p.count("\r\n") == 21 for p in pictures)
    assert " last " in pictures[-1]
    # Padded to the longest, by characters.
    last = pictures[-1].splitlines()
    assert len({line.index("started") for line in last
                if "started" in line}) == 1
    assert last[-1].index("verified") == last[-2].index("started")


# --- the launch fails ---


def test_failed_launch(run):
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; done; " \
        "exec sleep 4000"
    m = run({"a": SLEEP, "bad": sh(script, verify={
        "file": "never", "timeout": "300ms"})}, "touch", "ran")
    assert m.wait() == 5
    assert not (m.dir / "ran").exists()
    assert m.stdout_text() == ""
    said = m.stderr_text()
    # Which, why, and its last ten lines.
    assert re.search(r"^bad: file verifier: .*/never: No such file or "
                     r"directory, gave up after 0\.3 s", said, re.M)
    last = said[said.index("bad: last lines of its output:"):].splitlines()
    assert last[1:11] == [f"    line {i}" for i in range(3, 13)]
    assert last[11] == f"bad: for more: musterd -f {m.file}"
    assert "✘ bad" in said
    assert m.leftovers() == []


def test_failed_launch_does_nothing_to_the_terminal(run):
    m = run({"bad": sh("printf 'a\\033[31mb\\007\\303\\251\\n\\377'; exit 3",
                       redirect_output="bad.log", verify="exited")}, "true")
    assert m.wait() == 5
    assert m.stderr_text().endswith(
        "bad: last lines of its output:\n    a\\033[31mb\\007é\n"
        f"    \\377\nbad: more is in {m.dir}/bad.log\n")


def test_failed_launch_of_one_that_ended(run):
    m = run({"bad": sh("echo sorry; exit 3", verify="exited")}, "true")
    assert m.wait() == 5
    assert re.search("^bad: exited verifier: Expected exit code 0, got 3",
                     m.stderr_text(), re.M)
    assert "\n    sorry\n" in m.stderr_text()


def test_failed_launch_of_a_missing_program(run):
    m = run({"bad": job("/no/such")}, "true")
    assert m.wait() == 5
    assert "No such file or directory: '/no/such'" in m.stderr_text()
    assert m.stdout_text() == ""


@pytest.mark.parametrize("text, code", [
    ("{", 3), ("{}", 4), ('{"processes": {"a": {}}}', 5)])
def test_bad_file(musterd, text, code):
    m = musterd(text, "-x", "--", "touch", "ran")
    assert m.wait() == code
    assert not (m.dir / "ran").exists()


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_it_launches(run, number):
    m = run({"a": SLEEP, "b": sh("touch b; exec sleep 4000",
                                 verify={"file": "go"})}, "touch", "ran")
    harness.wait_for("b", (m.dir / "b").exists)
    m.signal(number)
    start_ = time.monotonic()
    assert m.wait() == 128 + number
    assert time.monotonic() - start_ < 1.5 * harness.patience()
    assert not (m.dir / "ran").exists()
    assert m.leftovers() == []


@pytest.mark.parametrize("processes, command", [
    ({"a": sh("exec sleep 4000", verify={"file": "go"})}, ["touch", "ran"]),
    ({"a": SLEEP}, ["sleep", "4001"])])
def test_shutdown_by_somebody_else(run, processes, command):
    """The command was not run, or not to its end: no success."""
    m = run(processes, *command)
    m.wait_state("a", "running" if command[0] == "sleep" else "starting")
    if command[0] == "sleep":
        harness.wait_for("the command", lambda: any(
            p.command == command for p in m.descendants()))
    assert m.delete("/").status == 200
    assert m.wait() == 128 + 15
    assert not (m.dir / "ran").exists()


def test_what_has_died_is_told(run):
    """Who answers at its port may be somebody else."""
    m = run({"a": sh("touch up; until [ -f go ]; do sleep 0.02; done; exit 3",
                     verify={"file": "up"}),
             "b": sh("exit 4"), "task": sh("exit 5", verify={"exited": 5}),
             "good": sh("exit 0"), "last": sh("sleep 0.2; touch last; exec "
                                              "sleep 4000",
                                              verify={"file": "last"})},
            "sh", "-c", "touch go; sleep 0.5")
    assert m.wait() == 0
    assert [line for line in m.stderr_text().splitlines()
            if "WARNING" in line] == [
        "[WARNING] manager: default.b: exited with code 4",
        "[WARNING] manager: default.a: exited with code 3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_it_runs(run, number):
    """All goes down, cleanly; the code says why."""
    m = run({"a": sh("trap 'touch down; exit' TERM; touch up; "
                     "while :; do sleep 0.1; done", verify={"file": "up"})},
            "sh", "-c", "touch ran; exec sleep 4000")
    harness.wait_for("the command", (m.dir / "ran").exists)
    m.signal(number)
    assert m.wait() == 128 + number
    assert (m.dir / "down").exists()
    assert m.leftovers() == []


# What a shell does with a job in its foreground.
SHELL = """
import os, signal, sys, time
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    status = os.waitpid(pid, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(status):
        sys.exit(os.waitstatus_to_exitcode(status))
    print("stopped", flush=True)
    os.tcsetpgrp(0, os.getpid())
    os.tcsetpgrp(0, pid)
    time.sleep(0.5) # no fg comes before all have stopped
    os.kill(-pid, signal.SIGCONT)
"""
# Below one, or a session of its own, as by `ssh -t` and in a container.
SESSIONS = pytest.mark.parametrize("prefix", [
    [], [PYTHON, "-Sc", SHELL]], ids=["own", "shell"])


@SESSIONS
@pytest.mark.parametrize("script", [
    "echo running; exec sleep 4000",
    "trap 'exit 2' INT; echo running; while :; do sleep 0.1; done",
    "trap '' INT; echo running; sleep 4000"])
def test_interrupt_from_the_terminal(prefix, script):
    """^C reaches the command as well, and is one ^C, whoever is first."""
    m = start({"a": sh("trap 'touch int' INT; trap 'touch down; exit' TERM; "
                       "touch up; while :; do sleep 0.1; done",
                       verify={"file": "up"})},
              "sh", "-c", script, terminal=True, prefix=prefix)
    with m:
        m.wait_text("^running")
        os.write(m.master, b"\3")
        assert m.wait() == 130
        assert m.leftovers() == []
    assert (m.dir / "down").exists()
    assert not (m.dir / "int").exists()


def test_signal_to_the_group(run):
    """As by killpg(3): each has it once, and the end is a graceful one."""
    m = run({"a": sh("trap 'sleep 0.2; touch down; exit' TERM; touch up; "
                     "while :; do sleep 0.05; done", verify={"file": "up"})},
            "sh", "-c", "touch ran; exec sleep 4000")
    harness.wait_for("the command", (m.dir / "ran").exists)
    os.killpg(m.pid, signal.SIGINT)
    assert m.wait() == 130
    assert (m.dir / "down").exists()


def test_kill_of_the_group(run):
    """Nothing is left all the same."""
    m = run({"a": sh("sleep 4321 & touch up; wait", verify={"file": "up"})},
            "sh", "-c", "touch ran; exec sleep 4000")
    harness.wait_for("the command", (m.dir / "ran").exists)
    jobs = m.jobs()
    os.killpg(m.pid, signal.SIGKILL)
    m.wait()
    harness.wait_for("their end", lambda: not [
        p for p in harness.processes() if p.pid in {j.pid for j in jobs} and
        p.state != "Z"], 5)
    # The parent is the last to go.
    harness.wait_for("its end", lambda: not m.leftovers(), 5)


# It stops itself once more, as programs do that put the terminal in order.
STOPS = """
import os, signal, time
def stop(number, frame):
    os.write(1, b"asked\\n")      # print() does not like to be interrupted
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    signal.signal(number, stop)
signal.signal(signal.SIGTSTP, stop)
os.write(1, b"running\\n")
while not os.path.exists("go"):
    time.sleep(0.02)
"""


@SESSIONS
@pytest.mark.parametrize("script", [
    "echo running; until test -f go; do sleep 0.02; done; exit 7",
    f"{PYTHON} -Sc '{STOPS}'; exit 7"], ids=["plain", "handler"])
def test_stop_from_the_terminal(prefix, script):
    """^Z stops what a shell can go on with, and nothing else."""
    m = start({"a": SLEEP}, "sh", "-c", script, terminal=True, prefix=prefix)
    with m:
        m.wait_text("^running")
        os.write(m.master, b"\x1a")
        if prefix:
            m.wait_text("stopped")
        elif "asked" in script:
            m.wait_text("asked")
        (m.dir / "go").touch()
        assert m.wait() == 7
        assert m.leftovers() == []


def test_terminal_of_the_command():
    """It can read from it: it is in the foreground."""
    m = start({"a": SLEEP}, "sh", "-c",
              "echo ask; read x; echo got $x; exit 7", terminal=True,
              options=["-q"])
    with m:
        m.wait_text("^ask")
        os.write(m.master, b"answer\n")
        m.wait_text("^got answer")
        assert m.wait() == 7


def test_command_that_does_not_obey(run):
    """It is killed after the graceful time."""
    m = run({"a": SLEEP}, PYTHON, "-Sc",
            "import signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "open('ran', 'w').close(); time.sleep(4000)",
            config={"graceful_time": 0.5})
    harness.wait_for("the command", (m.dir / "ran").exists)
    start_ = time.monotonic()
    m.signal(signal.SIGTERM)
    assert m.wait() == 128 + 15
    assert time.monotonic() - start_ < 1.7 * harness.patience()


# --- an instance of its own ---


def test_two_at_a_time(run):
    """Of the same file, and beside a daemon of it."""
    m = harness.Musterd({"keep_alive": True, "http": {"enabled": False},
                         "processes": {"a": SLEEP}}, http=False)
    with m:
        m.socket = m.default_socket()
        m.wait_status(over="unix")
        two = [harness.Musterd({}, "-f", str(m.file), "-q", "-x", "--", "sh",
                               "-c", f"sleep 0.3; exit {n}") for n in (1, 2)]
        for other in two:
            other.start()
        assert [other.wait() for other in two] == [1, 2]
        for other in two:
            other.close()
        assert m.status(over="unix") == "running"


def test_api_while_it_runs(run):
    """The processes are there; the command is not one of them."""
    m = run({"a": VERIFIED}, "sh", "-c",
            "touch ran; until [ -f go ]; do sleep 0.02; done")
    harness.wait_for("the command", (m.dir / "ran").exists)
    m.wait_status()
    assert [p["name"] for p in m.get("/v1/processes").json()["processes"]] \
        == ["default.a"]
    assert m.get("/").json()["count"] == 1
    assert m.get("/v1/ready").status == 200
    assert m.post("/restart/2").status == 404
    before = m.processes()
    for p in m.component("muster-manager"):
        os.kill(p.pid, signal.SIGKILL)
    harness.wait_for("another manager", lambda: m.component(
        "muster-manager") and m.status(), 3)
    assert m.processes() == before
    (m.dir / "go").touch()
    assert m.wait() == 0


def test_output_of_the_processes_can_be_read(run):
    m = run({"a": python("print('secret', flush=True); "
                         "import time; time.sleep(4000)")},
            "sh", "-c", "until [ -f go ]; do sleep 0.02; done")
    m.wait_status()
    harness.wait_for("its output", lambda: m.get(
        "/v1/processes/1/streams/stdout").body == b"secret\n")
    (m.dir / "go").touch()
    assert m.wait() == 0
    assert "secret" not in m.stdout_text() + m.stderr_text()
