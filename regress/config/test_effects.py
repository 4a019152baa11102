"""What keys of a job do to its process, in both forms and both places."""

import json
import os
import pwd
import signal
import time

import pytest

import harness

PROBE = """
import json, os, resource, stat, sys
print(json.dumps({
    "argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd(),
    "umask": os.umask(0), "nice": os.nice(0), "uid": os.getuid(),
    "gid": os.getgid(), "groups": os.getgroups(),
    "limits": {n[7:].lower(): resource.getrlimit(getattr(resource, n))
               for n in dir(resource) if n.startswith("RLIMIT_")},
    "stdin": stat.S_IFMT(os.fstat(0).st_mode) == stat.S_IFIFO,
}))
"""


@pytest.fixture
def probe(check, tmp_path):
    """What a process with these keys finds."""
    (tmp_path / "probe.py").write_text(PROBE)

    def run(env=None, top=None, **keys):
        keys = {k.replace("_", "-"): v for k, v in keys.items()}
        keys.setdefault("redirect-output", "out")
        result = check(json.dumps({**(top or {}), "processes": {"job": {
            "command": [harness.PYTHON, str(tmp_path / "probe.py")],
            **keys}}}), "-q", env=env)
        assert result.code == 0, result
        return json.loads((tmp_path / "out").read_text())

    return run


def test_defaults(probe, tmp_path):
    found = probe(env={"A_VARIABLE": "x"})
    assert found["cwd"] == str(tmp_path)
    assert found["environ"]["A_VARIABLE"] == "x"
    mine = os.umask(0o22)
    os.umask(mine)
    assert found["umask"] == mine
    assert found["stdin"]
    assert found["uid"] == os.getuid()


def test_words(probe, tmp_path):
    for command in (f"{harness.PYTHON} probe.py 'a  b' c\\ d \"e'f\" '' "
                    "$(name)-$(instance) $(x)",
                    [harness.PYTHON, "probe.py", "a  b", "c d", "e'f", "",
                     "$(name)-$(instance)", "$(x)"]):
        assert probe(command=command)["argv"] == [
            "a  b", "c d", "e'f", "", "job-0", "$(x)"]


def test_environment(probe):
    found = probe(env={"KEPT": "1", "CHANGED": "1"}, environment={
        "CHANGED": 2, "NEW": "$(name)", "EMPTY": "", "TRUE": True})["environ"]
    assert found["KEPT"] == "1" and found["CHANGED"] == "2"
    assert found["NEW"] == "job" and found["EMPTY"] == ""
    assert found["TRUE"] == "true"
    found = probe(environment=["A=x=y", "B="])["environ"]
    assert found["A"] == "x=y" and found["B"] == ""


def test_clear_environment(probe):
    found = probe(env={"GONE": "1"}, clear_environment=True,
                  environment={"A": "1"})["environ"]
    user = pwd.getpwuid(os.getuid())
    assert "GONE" not in found and found["A"] == "1"
    assert "/usr/bin" in found["PATH"].split(":")
    assert found["HOME"] == user.pw_dir and found["USER"] == user.pw_name
    assert found["SHELL"] == user.pw_shell and "LANG" in found
    assert set(found) <= {"A", "PATH", "HOME", "USER", "SHELL", "LANG",
                          "LC_CTYPE", "MUSTER_PROCESS"}
    found = probe(clear_environment=True, environment={"HOME": "/x"})
    assert found["environ"]["HOME"] == "/x"


@pytest.mark.needs_root
def test_clear_environment_of_another_user(check):
    result = check(json.dumps({"processes": {"a": {
        "command": ["/bin/sh", "-c", "echo $HOME $USER $SHELL"],
        "working-directory": "/", "user": "daemon",
        "clear-environment": True}}}), "-q")
    user = pwd.getpwnam("daemon")
    assert result.lines[1] == f"{user.pw_dir} daemon {user.pw_shell}"


def test_environment_file(probe, tmp_path):
    (tmp_path / "env").write_text("export A='x\ny' B=$C\nNOT_EXPORTED=1\n")
    found = probe(environment_file="env", env={"C": "z"})["environ"]
    assert found["A"] == "x\ny" and found["B"] == "z"
    assert "NOT_EXPORTED" not in found


def test_working_directory(probe, tmp_path):
    (tmp_path / "sub").mkdir()
    found = probe(working_directory="sub")
    assert found["cwd"] == str(tmp_path / "sub")
    # pymanager's place, pymanager's spelling; out stays where it was.
    found = probe(options={"working_directory": "sub"})
    assert found["cwd"] == str(tmp_path / "sub")


@pytest.mark.parametrize("written", ["027", 27, "0o27", "27"])
def test_umask(probe, written):
    assert probe(umask=written)["umask"] == 0o27


def test_nice(probe):
    assert probe(nice=3)["nice"] == os.nice(0) + 3


def test_limits(probe):
    found = probe(limits={"nofile": {"soft": 50, "hard": 60}, "core": 0,
                          "stack": "unlimited" if os.getuid() == 0 else 8 << 20,
                          "cpu": 1000})["limits"]
    assert found["nofile"] == [50, 60]
    assert found["core"] == [0, 0]
    assert found["cpu"] == [1000, 1000]
    assert found["stack"] == ([-1, -1] if os.getuid() == 0 else [8 << 20] * 2)


@pytest.mark.needs_root
def test_identity(check, tmp_path):
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:-2]:
        if parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o111)
    command = ["sh", "-c", "echo $(id -u) $(id -g) $(id -G)"]
    for keys, text in (({"user": "nobody"}, "65534 65534 65534"),
                       ({"user": 65534, "group": "daemon"}, "65534 1 1"),
                       ({"user": "nobody", "groups": ["daemon", 7]},
                        "65534 65534 65534 1 7"),
                       ({"group": "daemon", "groups": []}, "0 1 1")):
        result = check(json.dumps({"processes": {"a": {
            "command": command, "working-directory": "/", **keys}}}), "-q")
        assert result.lines[1:] == [text]


@pytest.mark.parametrize("stdin", ["null", None])
def test_stdin(probe, stdin):
    assert not probe(stdin=stdin)["stdin"]


def test_expand(probe):
    found = probe(top={"expand": True}, env={"X": "1", "EMPTY": ""},
                  environment={"A": "${X}-${NO:-2}-${EMPTY:-3}-${EMPTY}.",
                               "B": "$${X} $X ${X}${X}"})["environ"]
    assert found["A"] == "1-2-3-."
    assert found["B"] == "${X} $X 11"


def test_nothing_is_expanded_by_default(probe):
    assert probe(environment={"A": "${X}"})["environ"]["A"] == "${X}"


# --- output ---


def echo(*words, **keys):
    return {"executable": "echo", "arguments": list(words),
            **{k.replace("_", "-"): v for k, v in keys.items()}}


def test_output_files(check, tmp_path):
    script = "echo out; echo err >&2"
    for n in (1, 2):
        check(json.dumps({"processes": {
            "a": {"command": ["sh", "-c", script], "redirect-output": "both"},
            "b": {"command": ["sh", "-c", script], "append": True,
                  "redirect_output": "appended"},
            "c": {"command": ["sh", "-c", script], "stdout": {"file": "out"},
                  "stderr": {"file": "err", "append": True}}}}), "-q")
        assert (tmp_path / "both").read_text() == "out\nerr\n"
        assert (tmp_path / "appended").read_text() == "out\nerr\n" * n
        assert (tmp_path / "out").read_text() == "out\n"
        assert (tmp_path / "err").read_text() == "err\n" * n


def test_what_is_shown(check):
    result = check(json.dumps({"processes": {
        "a": echo("shown"), "b": echo("suppressed", suppress_output=True),
        "c": echo("kept", stdout="keep"), "d": echo("gone", stdout="discard"),
        "e": echo("named", prefix=True)}}), "-q")
    shown = [line for line in result.lines if not line.startswith("$")]
    assert sorted(shown) == ["e | named", "shown"]


def test_messages(check):
    for messages in (["process.exit"], "process.exit"):
        result = check(json.dumps({"messages": messages, "processes": {
            "a": {"command": "sh -c 'exit 3'"}}}), "-q")
        assert "Process sh -c exit 3 exited with code 3" in result.lines


def test_logfile(check, tmp_path):
    result = check(json.dumps({"logfile": "log", "processes": {
        "a": {"command": "true", "zzz": 1}}}), "-q")
    assert "zzz" not in result.stdout
    assert "[WARNING] a.json:1:" in (tmp_path / "log").read_text()


# --- order, end and restart ---


def test_file_order(check):
    """Without `after`, each waits until the one before is verified."""
    result = check(json.dumps({"processes": {
        "slow": {"command": "sh -c 'sleep 0.3; echo slow'",
                 "verify": "exited"},
        "fast": echo("fast")}}), "-q")
    assert [line for line in result.lines if line[0] != "$"] == [
        "slow", "fast"]


def test_after(check):
    result = check(json.dumps({"processes": {
        "last": echo("last", after={"middle": "exited"}),
        "middle": {"command": "sh -c 'sleep 0.3; echo middle'",
                   "after": ["first"]},
        "first": echo("first")}}), "-q")
    order = [line for line in result.lines if line.startswith("$ ")]
    assert order == ["$ echo first", "$ sh -c sleep 0.3; echo middle",
                     "$ echo last"]


def test_autostart(check):
    result = check(json.dumps({"processes": {
        "a": echo("a", autostart=False), "b": echo("b"),
        "needed": echo("c", autostart=False), "d": echo("d", after=["needed"])
    }}), "-q")
    assert sorted(line for line in result.lines if line[0] != "$") == [
        "b", "c", "d"]


def test_instances(check):
    result = check(json.dumps({"processes": {
        "a": echo("$(name)$(instance)", instances=3),
        "b": echo("b", instances=0)}}), "-q")
    assert sorted(line for line in result.lines if line[0] != "$") == [
        "a0", "a1", "a2"]


def test_on_exit(check):
    begin = time.monotonic()
    result = check(json.dumps({"keep-alive": True, "processes": {
        "a": {"command": "sleep 100"},
        "b": {"command": "sh -c 'exit 7'", "on-exit": "shutdown"}}}), "-q")
    assert result.code == 7
    assert time.monotonic() - begin < 10 * harness.patience()


@pytest.mark.parametrize("policy, codes, starts", [
    ("never", None, 1), ("on-failure", None, 3), ("on-failure", [3], 1),
    ("always", [3], 3), ("on-failure", 3, 1)])
def test_restart(musterd, policy, codes, starts):
    job = {"command": "sh -c 'exit 3'", "restart": policy,
           "backoff": {"initial": 0},
           "start-limit": {"count": 3, "within": 60}}
    if codes is not None:
        job["success-codes"] = codes
    m = musterd({"messages": ["process.exit"], "processes": {"a": job}})
    m.wait()
    text = m.stdout_text()
    assert text.count("$ sh") == text.count(
        "Process sh -c exit 3 exited with code 3") == starts


# Each line is one write, which a signal does not divide.
STUBBORN = ("import os, signal, time\n"
            "def note(n, f):\n"
            "    name = signal.Signals(n).name if n < 32 else n\n"
            "    os.write(1, f'{name}\\n'.encode())\n"
            "for n in (1, 2, 3, 15, *range(signal.SIGRTMIN, 65)):\n"
            "    signal.signal(n, note)\n"
            "os.write(1, b'ready\\n')\n"
            "while True:\n    time.sleep(100)\n")


@pytest.mark.parametrize("keys, seen", [
    ({"graceful-time": 0.2}, ["SIGTERM"]),
    ({"stop": "QUIT", "graceful_time": "200ms"}, ["SIGQUIT"]),
    ({"stop": ["HUP", {"signal": "SIGINT", "wait": 0.1}, 15],
      "graceful-time": 0.2}, ["SIGHUP", "SIGINT", "SIGTERM"]),
    ({"stop": [{"signal": "RTMIN+3", "wait": 0.1},
               {"signal": "SIGRTMAX-2", "wait": 0.1}, "15"],
      "graceful-time": 0.2},
     [str(signal.SIGRTMIN + 3), str(signal.SIGRTMAX - 2), "SIGTERM"])])
def test_stop(musterd, keys, seen):
    m = musterd({"processes": {"a": {
        "command": [harness.PYTHON, "-c", STUBBORN], "redirect-output": "out",
        **keys}}})
    out = m.dir / "out"
    harness.wait_for("its start", lambda: out.exists() and
                     "ready\n" in out.read_text())
    begin = time.monotonic()
    assert m.stop() == 0
    assert out.read_text().split() == ["ready", *seen]
    assert time.monotonic() - begin < 5 * harness.patience()


def test_graceful_time_of_all(musterd):
    m = musterd({"graceful-time": "300ms", "processes": {"a": {
        "command": [harness.PYTHON, "-c", STUBBORN],
        "redirect-output": "out"}}})
    harness.wait_for("its start", lambda: (m.dir / "out").exists() and
                     "ready\n" in (m.dir / "out").read_text())
    begin = time.monotonic()
    m.signal(signal.SIGTERM)
    assert m.wait() == 0
    assert 0.3 <= time.monotonic() - begin < 5 * harness.patience()


# --- verifiers ---


def test_verifiers_in_order(check, tmp_path):
    """All must pass, one after the other."""
    result = check(json.dumps({"processes": {
        "a": {"command": "sh -c 'sleep 0.2; touch x; sleep 0.2; touch y; "
                         "sleep 1'",
              "verify": [{"file": "x", "interval": "10ms"},
                         {"command": "test -e y", "interval": "10ms"}],
              "stop": "KILL"},
        "b": {"command": "sh -c 'test -e x && test -e y && echo both'"}}}),
        "-q")
    assert "both" in result.lines
    assert (tmp_path / "y").exists()


@pytest.mark.parametrize("verify, text", [
    ({"exited": 1}, "VerificationFailedException"),
    ({"tcp": 1, "timeout": 0.3}, "VerificationFailedException"),
    ({"file": "nothing", "timeout": 0.3}, "VerificationFailedException"),
    ({"command": "false", "timeout": 0.3}, "VerificationFailedException"),
    ({"unix": "nothing", "timeout": 0.3}, "VerificationFailedException"),
    ({"http": "http://127.0.0.1:1/", "timeout": 0.3},
     "VerificationFailedException")], ids=lambda v: next(iter(v)))
def test_a_verifier_that_fails(check, verify, text):
    command = "true" if "exited" in verify else "sleep 100"
    result = check(json.dumps({"processes": {
        "a": {"command": command, "verify": verify, "stop": "KILL"},
        "b": {"command": "echo never"}}}), "-q")
    assert f"[ERROR] could not set up processes: {text}" in result.stdout
    assert "never" not in result.stdout
    assert result.code == 5


def test_the_long_form_is_the_short_form(check):
    """pymanager's words and muster's say the same."""
    long = {"executable": "echo", "arguments": ["a b", "c"],
            "options": {"shell": False, "environment_file": "/dev/null"},
            "verifier": {"type": "pymutils.exited_verifier.ExitedVerifier",
                         "arguments": {"expect_code": 0}}}
    short = {"command": "echo 'a b' c", "verify": {"exited": 0}}
    results = [check(json.dumps({"processes": {"a": job}}), "-q")
               for job in (short, {**long, "options": {}})]
    assert results[0].stdout == results[1].stdout == "$ echo a b c\na b c\n"
    assert results[0].code == results[1].code == 0
