"""What a process is given: words, shell, environment, directory, identity,
limits, descriptors, and where its output goes."""

import os
import re
import resource
import signal

import pytest

import harness
from harness import PYTHON, job, python, sh

KEEP = {"keep_alive": True, "graceful_time": 1}


def ends(m, code=0):
    """It has ended by itself; the lines that are not commands."""
    assert m.wait() == code, m.tail()
    return [line for line in m.stdout_text().splitlines()
            if not line.startswith("$ ")]


def run(musterd, process, files=(), **more):
    """The output of one process, in a directory with these files."""
    m = harness.Musterd({"processes": {"a": process}, **more})
    for name, text in dict(files).items():
        path = m.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    with m:
        return ends(m)


# --- words and the shell ---


def test_words_are_not_touched(musterd):
    words = ["$HOME", "a b", "*", "", "'\"", "\\n", "é", "~", "-n"]
    script = "import sys; print(sys.argv[1:])"
    assert run(musterd, python(script, *words)) == [repr(words)]


def test_command(musterd):
    """Split as a shell splits, but nothing is expanded."""
    script = "import sys; print(sys.argv[1:])"
    line = f"{PYTHON} -Sc '{script}' 'a b' \"c d\" e\\ f $HOME * ''"
    assert run(musterd, {"command": line}) == [
        "['a b', 'c d', 'e f', '$HOME', '*', '']"]
    assert run(musterd, {"command": ["printf", "%s-", "a b", "c"]}) == [
        "a b-c-"]


def test_command_in_a_shell(musterd):
    assert run(musterd, {"command": "echo a; echo $((1 + 1)) | tr 2 3",
                         "shell": True}) == ["a", "3"]


@pytest.mark.parametrize("more", [
    {"options": {"shell": "sh"}}, {"options": {"shell": "/bin/sh"}},
    {"options": {"shell": "bash"}}, {"options": {"shell": True}},
    {"shell": True}, {"options": {"shell": 1}}])
def test_shell_joins_unquoted(musterd, more):
    """Users rely on it: variables, pipes and lists in arguments work."""
    if more.get("options", {}).get("shell") == "bash" and \
            not os.path.exists("/bin/bash"):
        pytest.skip("there is no bash")
    assert run(musterd, job("echo", "$X;", "echo a", " b", "|", "tr", "a",
                            "c", environment={"X": "x  y"}, **more))[-2:] == [
        "x y", "c b"]       # a warning of `1` stands before


def test_command_line_of_a_shell(musterd):
    """As written, never quoted."""
    m = musterd({"processes": {"a": job("echo", "a", ">", "out;", "ls",
                                        options={"shell": True})}})
    assert "$ echo a > out; ls" in m.wait_text(".*ls$")[0]
    assert m.wait() == 0
    assert (m.dir / "out").read_text() == "a\n"


def test_default_shell(musterd):
    script = '#!/bin/sh\nshift\necho "mine: $*"\n'
    assert run(musterd, job("echo", "$x", shell=True), {"myshell": script},
               default_shell="./myshell") == ["mine: echo $x"]
    assert run(musterd, job("echo", "$x", shell="sh"), {"myshell": script},
               default_shell="./myshell") == [""]


@pytest.mark.parametrize("off", [{"default_shell": False}, {}])
def test_no_shell(musterd, off):
    more = {"shell": True} if off else {"shell": False}
    assert run(musterd, job("echo", "$x;", options=more), **off) == ["$x;"]


# --- where programs are found ---


def test_program_in_path(musterd):
    m = harness.Musterd({"processes": {"a": job("mine")}}, env={
        "PATH": "bin:/nowhere:" + os.environ["PATH"]})
    (m.dir / "bin").mkdir()
    (m.dir / "bin/mine").write_text("#!/bin/sh\necho mine\n")
    (m.dir / "bin/mine").chmod(0o755)
    with m:
        assert ends(m) == ["mine"]


def test_relative_program(musterd):
    """The working directory first, then where musterd was started."""
    a = job("./x", options={"working_directory": "sub"})
    here = "#!/bin/sh\necho here in ${PWD##*/}\n"
    there = "#!/bin/sh\necho there in ${PWD##*/}\n"
    assert run(musterd, a, {"x": here, "sub/x": there}) == ["there in sub"]
    assert run(musterd, a, {"x": here, "sub/y": there}) == ["here in sub"]
    a = job("sub/x", options={"environment_file": "env",
                              "working_directory": "sub"})
    assert run(musterd, a, {"env": "", "sub/x": there}) == ["there in sub"]


def test_script_without_an_interpreter(musterd):
    """As execvp(3) has it; pymanager says Exec format error."""
    assert run(musterd, job("./x", "a b"), {"x": "echo $# $1\n"}) == ["1 a b"]


# --- the directory ---


def test_directory(musterd):
    m = musterd({"processes": {"a": sh("pwd")}})
    assert ends(m) == [str(m.dir)]
    m = harness.Musterd({"processes": {"a": sh(
        "pwd", options={"working_directory": "sub"})}})
    (m.dir / "sub").mkdir()
    with m:
        assert ends(m) == [f"{m.dir}/sub"]


# --- the environment ---


def test_environment_is_inherited(musterd):
    m = musterd({"processes": {"a": sh("echo $MINE $EMPTY.")}},
                env={"MINE": "a b", "EMPTY": ""})
    assert ends(m) == ["a b ."]


def test_environment(musterd):
    m = musterd({"processes": {"a": sh(
        "echo $A $B $C; echo \"$D\"", environment={
            "A": "1", "B": "over", "D": "two\nlines $A"})}},
        env={"B": "under", "C": "kept"})
    assert ends(m) == ["1 over kept", "two", "lines $A"]


def test_environment_as_a_list(musterd):
    assert run(musterd, sh("echo $A", environment=["A=b=c"])) == ["b=c"]


def test_clear_environment(musterd):
    m = musterd({"processes": {"a": job(
        "env", clear_environment=True, environment={"A": "b"})}},
        env={"MINE": "x"})
    names = {line.split("=")[0] for line in ends(m)}
    assert "MINE" not in names
    assert {"PATH", "HOME", "USER", "SHELL", "LANG", "A"} <= names <= {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "A",
        "MUSTER_PROCESS"}


def test_expansion(musterd):
    def config(**more):
        return {**more, "processes": {"a": job(
            "echo", "${MINE}", "$MINE", "${NO:-x}")}}

    m = musterd(config(expand=True), env={"MINE": "hers"})
    assert "hers" in m.wait_text(r"^hers .*$")[0]
    m = musterd(config(), env={"MINE": "hers"})
    assert ends(m) == ["${MINE} $MINE ${NO:-x}"]


# --- the environment file ---


def test_environment_file(musterd):
    """What it exports is there, with what is inherited; it is shell code."""
    m = harness.Musterd({"processes": {"a": sh(
        'echo $A $B $C. "$D" $PWD', options={
            "environment_file": "env", "working_directory": "sub"})}},
        env={"C": "kept"})
    (m.dir / "sub").mkdir()
    (m.dir / "env").write_text(
        "A=$(echo 1 | tr 1 2); export A\nB=hidden\nexport D='two\nlines'\n"
        "export E=$(pwd)\n")
    with m:
        assert ends(m) == ["2 kept. two", f"lines {m.dir}/sub"]


def test_environment_file_runs_where_musterd_was_started(musterd):
    assert run(musterd, sh("echo $E", options={
        "environment_file": "sub/env", "working_directory": "sub"}),
        {"sub/env": "export E=$(ls -d sub/env)"}) == ["sub/env"]


def test_environment_file_and_path(musterd):
    """The program is looked for in the file's PATH."""
    assert run(musterd, job("mine", options={"environment_file": "env"}), {
        "bin/mine": "#!/bin/sh\necho mine\n",
        "env": "PATH=$PWD/bin:$PATH; export PATH"}) == ["mine"]


def test_environment_file_that_prints(musterd):
    """pymanager took that for variables, or failed."""
    assert run(musterd, sh("echo done", options={
        "environment_file": "env"}), {"env": "echo said"})[-1] == "done"


@pytest.mark.parametrize("name", ["env", "./env", "my env", "$x"])
def test_name_of_the_environment_file(musterd, name):
    assert run(musterd, sh("echo $E", options={"environment_file": name}),
               {name: "export E=yes"}) == ["yes"]


@pytest.mark.parametrize("name, files", [
    ("$WHERE/env", "sub/env"), ("~/env", "sub/env"), ("${WHERE}/e*v", "sub/env"),
    ("'sub/my env'", "sub/my env"), ("$(echo sub)/env", "sub/env"),
    ("$NAME", "env"), ("sub/env; export E=$E", "sub/env"),
])
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_name_that_the_shell_expands(musterd, name, files, shell):
    """pymanager gave it to the shell without quotes."""
    m = harness.Musterd({"default_shell": shell, "processes": {
        "a": sh("echo $E", options={"environment_file": name})}},
        env={"NAME": "env"})
    m.env |= {"WHERE": str(m.dir / "sub"), "HOME": str(m.dir / "sub")}
    (m.dir / "sub").mkdir()
    (m.dir / files).write_text("export E=yes")
    with m:
        assert ends(m) == ["yes"]


@pytest.mark.parametrize("name", ["$NOWHERE/env", "$((", "'", "~/env", "a b"])
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_expanded_name_of_no_file(musterd, name, shell):
    m = harness.Musterd({"default_shell": shell, "processes": {
        "a": sh("touch started", options={"environment_file": name})}})
    m.env |= {"HOME": str(m.dir), "NOWHERE": "/nowhere"}
    with m:
        assert m.wait() == 5
        assert f"No such file or directory: '{name}'" in m.stdout_text()
        assert not (m.dir / "started").exists()


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_no_variable_is_ours(musterd, shell):
    """The file and the program see all that is inherited, and no more."""
    names = "abcdefghijklmnopqrstuvwxyz"
    m = harness.Musterd({"default_shell": shell, "processes": {"a": sh(
        "env | grep '^[a-z]=' | sort | xargs; echo $A $N",
        options={"environment_file": "env"})}}, env={c: c for c in names})
    (m.dir / "env").write_text(
        "export A=" + "".join(f"${c}" for c in names) +
        " N=$#\nset -- one two\nshift\n" + "".join(
            f"export {c}={c.upper()}\n" for c in names))
    with m:
        assert ends(m) == [" ".join(f"{c}={c.upper()}" for c in names),
                           f"{names} 0"]


@pytest.mark.parametrize("text, reason", [
    ("exit", "It has ended its shell"), ("exit 3", "It has ended its shell"),
    ("set -e; false", "It has ended its shell"),
    ("exec true", None), ("trap 'echo bye' EXIT", ""), ("return 3", ""),
    ("false", ""), ("trap '' TERM", "")])
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_environment_file_that_ends_its_shell(musterd, text, reason, shell):
    """Without the exec there is no program: an error of the set-up."""
    m = harness.Musterd({"default_shell": shell, "processes": {"a": sh(
        "touch started; grep SigIgn /proc/$$/status",
        options={"environment_file": "it's"})}})
    (m.dir / "it's").write_text(text)
    with m:
        assert m.wait() == (5 if reason else 0)
        assert (reason or "") in m.stdout_text()
        assert (m.dir / "started").exists() == (reason == "")
        if reason == "":
            assert "SigIgn:\t0000000000000000" in m.stdout_text()
        elif reason:
            assert "'it's' (environment file)" in m.stdout_text()


def test_environment_file_and_shells(musterd):
    bash = "#!/bin/sh\necho shell >> ran; exec /bin/sh \"$@\"\n"
    m = harness.Musterd({"processes": {"a": sh(
        "echo $E", options={"environment_file": "env", "shell": "./mine"})}})
    (m.dir / "mine").write_text(bash)
    (m.dir / "mine").chmod(0o755)
    (m.dir / "env").write_text("export E=yes")
    with m:
        ends(m)
    # For the file, and for the command.
    assert (m.dir / "ran").read_text() == "shell\nshell\n"


@pytest.mark.parametrize("kind", ["none", "directory", "unreadable"])
def test_environment_file_that_cannot_be_read(as_user, kind):
    """An error of the set-up; dash and bash differ otherwise."""
    m = harness.Musterd({"processes": {
        "a": sh("touch started", options={"environment_file": "env"})}},
        user=as_user)
    if kind == "directory":
        (m.dir / "env").mkdir()
    if kind == "unreadable":
        (m.dir / "env").touch()
        (m.dir / "env").chmod(0)
    with m:
        assert m.wait() == 5
        assert "'env'" in m.stdout_text()
        assert "could not set up processes: " in m.stdout_text()
        assert not (m.dir / "started").exists()


def test_environment_file_is_read_at_each_start(musterd):
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "echo E is $E; exec sleep 4000",
        options={"environment_file": "env"})}})
    (m.dir / "env").write_text("export E=1")
    with m:
        m.wait_status()
        m.wait_text("^E is 1$")
        (m.dir / "env").write_text("export E=2")
        assert m.post("/restart/1").status == 200
        m.wait_text("^E is 2$")
        (m.dir / "env").unlink()
        assert m.post("/restart/1").status in (200, 500)
        m.wait_state("a", "failed")


def test_environment_file_keeps_the_pid(musterd):
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "echo pid $$; exec sleep 4000",
        options={"environment_file": "env"})}})
    (m.dir / "env").write_text("export E=1")
    with m:
        m.wait_status()
        pid = int(m.wait_text(r"^pid (\d+)$")[1])
        assert m.processes()[0]["pid"] == pid


def test_directory_is_missing_behind_an_environment_file():
    m = harness.Musterd({"processes": {"a": sh("true", options={
        "environment_file": "env", "working_directory": "nowhere"})}})
    (m.dir / "env").touch()
    with m:
        assert m.wait() == 5
        assert f"{m.dir}/nowhere" in m.stdout_text()


# --- identity and limits ---


def test_umask(musterd):
    assert run(musterd, sh("umask", umask="027")) == ["0027"]
    mask = os.umask(0o22)
    os.umask(mask)
    assert run(musterd, sh("umask")) == [f"{mask:04o}"]


def test_nice(musterd):
    assert run(musterd, sh("nice", nice=3)) == [str(os.nice(0) + 3)]
    assert run(musterd, sh("nice")) == [str(os.nice(0))]


def test_limits(musterd):
    assert run(musterd, sh("ulimit -S -n; ulimit -H -n; ulimit -c", limits={
        "nofile": {"soft": 100, "hard": 200}, "core": 0})) == [
        "100", "200", "0"]


def test_limits_are_inherited(musterd):
    """What musterd raises for itself is not passed on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 321), hard))
    try:
        assert run(musterd, sh("ulimit -S -n")) == [str(min(soft, 321))]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.needs_root
def test_user(musterd):
    def ids(**more):
        return run(musterd, job("id", working_directory="/", **more))[0]

    assert re.fullmatch(r"uid=65534\(nobody\) gid=65534\(nogroup\) "
                        r"groups=65534\(nogroup\)", ids(user="nobody"))
    assert re.fullmatch(r"uid=4711 gid=1\(daemon\) "
                        r"groups=1\(daemon\),2\(bin\),7\(lp\)", ids(
                            user=4711, group="daemon", groups=[7, "bin"]))
    assert re.fullmatch(r"uid=0\(root\) gid=1\(daemon\) groups=1.*,0.*|"
                        r"uid=0\(root\) gid=1\(daemon\) groups=.*",
                        ids(group="daemon"))


@pytest.mark.needs_root
def test_directory_that_is_closed_to_the_user(musterd):
    m = musterd({"processes": {"a": job("true", user="nobody")}})
    assert m.wait() == 5
    assert f"Permission denied: '{m.dir}'" in m.stdout_text()


@pytest.mark.needs_root
def test_user_of_files(musterd):
    """Output files are opened as the job's user."""
    m = harness.Musterd({"processes": {"a": sh(
        "echo a", user="nobody", options={"redirect_output": "sub/out"})}})
    (m.dir / "sub").mkdir()
    m.dir.chmod(0o755)
    with m:
        assert m.wait() == 5
    m = harness.Musterd({"processes": {"a": sh(
        "echo a", user="nobody", options={"redirect_output": "sub/out"})}})
    (m.dir / "sub").mkdir()
    os.chown(m.dir / "sub", harness.NOBODY, -1)
    m.dir.chmod(0o755)
    with m:
        assert ends(m) == []
        assert (m.dir / "sub/out").stat().st_uid == harness.NOBODY


def test_user_that_is_none(musterd):
    m = musterd({"processes": {"b": sh("touch started"),
                               "a": sh("true", user="no-such-user")}})
    assert m.wait() == 5
    assert "processes.a.user: \"no-such-user\": no such user\n" in \
        m.stdout_text()
    assert not (m.dir / "started").exists()


@pytest.mark.parametrize("keys, told", [
    ({"group": "no-such-group"}, "no-such-group"),
    ({"groups": ["no-such-one", "root"]}, "no-such-one, root"),
    ({"group": 0, "groups": ["no-such-one"]}, "0, no-such-one")])
def test_group_that_is_none(musterd, keys, told):
    m = musterd({"processes": {"a": sh("true", **keys)}})
    assert m.wait() == 5
    assert f'processes.a: group "{told}": no such user or group' in \
        m.stdout_text() or "only root" in m.stdout_text()


def test_only_root_has_other_users(as_user):
    with harness.Musterd({"processes": {"a": sh("true", user=0)}},
                         user=as_user) as m:
        assert m.wait() == 5
        assert "only root" in m.stdout_text()


# --- descriptors, signals, session ---


def test_descriptors(musterd):
    """0, 1, 2, and no other."""
    m = musterd({"processes": {"a": python(
        "import os\nfor n in sorted(map(int, os.listdir('/proc/self/fd'))):\n"
        "    try:\n        print(n, os.readlink(f'/proc/self/fd/{n}'))\n"
        "    except OSError:\n        pass")}})
    got = [line for line in ends(m) if line[0].isdigit()]
    assert [line.split(":")[0] for line in got] == [
        "0 pipe", "1 pipe", "2 pipe"]
    assert got[1][2:] == got[2][2:] != got[0][2:]


def test_signals_are_at_their_defaults(musterd):
    ignored = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        m = musterd({"processes": {"a": job("cat", "/proc/self/status")}})
    finally:
        signal.signal(signal.SIGPIPE, ignored)
    got = dict(re.split(r":\s*", line) for line in ends(m)
               if ":" in line)
    assert int(got["SigBlk"], 16) == int(got["SigIgn"], 16) == 0
    assert int(got["SigCgt"], 16) == 0


def test_own_session(musterd):
    assert run(musterd, python(
        "import os; print(os.getsid(0) == os.getpgrp() == os.getpid())")) == [
        "True"]


def test_stdin_stays_open(musterd):
    """A reader blocks until musterd, or its own generation, ends."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "echo up; cat; echo got EOF > eof")}})
    m.wait_text("^up$")
    assert harness.process(m.processes()[0]["pid"]).name == "sh"
    harness.wait_for("cat", lambda: [p for p in m.jobs() if p.name == "cat"])
    assert not (m.dir / "eof").exists()
    assert m.post("/restart/1").status == 200
    assert m.processes()[0]["status"] == "running"


def test_no_stdin(musterd):
    assert run(musterd, sh("cat; readlink /proc/self/fd/0", stdin="null")) \
        == ["/dev/null"]


# --- where output goes ---


def test_redirect_output(musterd):
    """Truncated at each start, both streams, relative to the launch
    directory."""
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "echo out; echo err >&2; exec sleep 4000", options={
            "redirect_output": "log", "working_directory": "sub"})}})
    (m.dir / "sub").mkdir()
    (m.dir / "log").write_text("old\n")
    with m:
        m.wait_status()
        for _ in range(3):
            harness.wait_for("its output", lambda: (
                m.dir / "log").read_text() == "out\nerr\n")
            with open(m.dir / "log", "a", encoding="utf-8") as f:
                f.write("foreign\n")
            assert m.post("/restart/1").status == 200
        assert "out" not in m.stdout_text().splitlines()
        # It is kept as well.
        harness.wait_for("four times", lambda: m.get(
            "/v1/processes/1/streams/stdout").body == b"out\nerr\n" * 4)


@pytest.mark.parametrize("more", [
    {"redirect_output": "log", "append": True},
    {"stdout": {"file": "log", "append": True}}])
def test_append(musterd, more):
    m = harness.Musterd({**KEEP, "processes": {"a": sh(
        "echo out $$; exec sleep 4000", **more)}})
    (m.dir / "log").write_text("old\n")
    with m:
        m.wait_status()
        harness.wait_for("the first", lambda: "out" in (
            m.dir / "log").read_text())
        pids = [m.processes()[0]["pid"],
                m.post("/restart/1").json()["process"]["pid"]]
        harness.wait_for("both", lambda: (m.dir / "log").read_text() ==
                         "old\nout %d\nout %d\n" % tuple(pids))


def test_streams_apart(musterd):
    m = musterd({"processes": {"a": sh(
        "echo out; echo err >&2", stdout={"file": "o"}, stderr={"file": "e"})
    }})
    assert ends(m) == []
    assert (m.dir / "o").read_text() == "out\n"
    assert (m.dir / "e").read_text() == "err\n"


def test_stderr_shown_apart(musterd):
    m = musterd({"processes": {"a": sh("echo out; echo err >&2",
                                       stderr="show")}})
    assert ends(m) == ["out"]
    assert m.stderr_text() == "err\n"


@pytest.mark.parametrize("more", [
    {"suppress_output": True}, {"stdout": "keep"}, {"stdout": "discard"}])
def test_not_shown(musterd, more):
    m = musterd({**KEEP, "processes": {"a": sh("echo out; echo err >&2",
                                               **more)}})
    m.wait_status()
    m.wait_state("a", "exited")
    answer = m.get("/v1/processes/1/streams/stdout")
    if "discard" in more.values():
        assert answer.status == 404
    else:
        assert answer.body == b"out\nerr\n"
    assert m.stop() == 0
    assert m.stdout_text().splitlines()[1:] == [
        "Shutting down gracefully (SIGINT again to terminate "
        "immediately)..."]


def test_suppressed_process_never_blocks(musterd):
    m = musterd({"processes": {"a": python(
        "import os\nfor n in range(64): os.write(1, b'x' * 65536)\n"
        "open('done', 'w').close()", options={"suppress_output": True})}})
    ends(m)
    assert (m.dir / "done").exists()


def test_inherited_output(musterd):
    """musterd's own descriptor, not a pipe."""
    script = "import os; print(os.readlink('/proc/self/fd/1'), flush=True)"
    m = musterd({"processes": {"a": python(script, stdout="inherit")}})
    assert str(m.stdout) in ends(m)
    m = musterd({"processes": {"a": python(script)}})
    assert ends(m)[-1].startswith("pipe:")


def test_prefix(musterd):
    m = musterd({"processes": {
        "web": sh("echo one; printf two; sleep 0.1; echo; echo three",
                  prefix=True)}})
    assert ends(m) == ["web | one", "web | two", "web | three"]
