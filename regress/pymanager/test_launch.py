"""What a start does: exit codes, order, dependencies, restarts, the end."""

import json
import os
import re
import socket
import subprocess
import time

import pytest

import harness
from harness import PYTHON, job, python, sh

KEEP = {"keep_alive": True}
EXITED = {"type": "pymutils.exited_verifier.ExitedVerifier"}
EXITS = {"modules": {"pymutils.exited_verifier":
                     {"verifiers": ["ExitedVerifier"]}}}
STUBBORN = "import signal, time\n" \
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" \
    "print('up', flush=True)\n" \
    "time.sleep(4000)\n"


def lines(m):
    return m.stdout_text().splitlines()


def commands(m):
    return [line for line in lines(m) if line.startswith("$ ")]


# --- the command line ---


def test_version(musterd):
    m = musterd({}, "-V")
    assert m.wait() == 0
    assert re.fullmatch(r"musterd \d+\.\d+\.\d+\n", m.stdout_text())


def test_version_needs_no_configuration(musterd):
    assert musterd({}, "-f", "nowhere", "--version").wait() == 0


def test_help(musterd):
    m = musterd({}, "--help")
    assert m.wait() == 0
    assert m.stdout_text().startswith("usage: musterd ")
    for option in "-f, -d, -V, -v, -w, -l, -h, -n -x -p, -q --wait".split():
        assert option in m.stdout_text()


@pytest.mark.parametrize("option", ["-Z", "--what", "-f"])
def test_bad_option(musterd, option):
    m = musterd({}, option)
    assert m.wait() == 2
    assert "usage: musterd" in m.stderr_text()
    assert m.stdout_text() == ""


def test_words_are_ignored_and_options_abbreviated(musterd):
    m = musterd({"processes": {}}, "a", "--verb", "b")
    assert m.wait() == 0


@pytest.mark.parametrize("name", [
    "muster.yaml", "muster.yml", "muster.json", "pymanager.json"])
def test_finds_its_file(musterd, name):
    m = musterd({"processes": {"a": sh("echo from $0", "here")}}, find=True,
                name=name)
    assert m.wait() == 0
    assert lines(m) == ["$ sh -c echo from $0 here", "from here"]


def test_file_that_is_found_first(musterd):
    m = harness.Musterd({"processes": {"a": sh("echo yaml")}}, find=True,
                        name="muster.yaml")
    (m.dir / "pymanager.json").write_text("{}")
    (m.dir / "muster.json").write_text("{}")
    with m:
        assert m.wait() == 0
        assert "yaml" in lines(m)


# --- exit codes ---


def test_no_file(musterd):
    m = musterd({}, "--file", "no-such.json")
    assert m.wait() == 1
    assert m.stdout_text() == "Cannot find file no-such.json.\n"


def test_no_file_anywhere(musterd):
    m = musterd({}, find=True, name="another.json")
    assert m.wait() == 1
    assert m.stdout_text().startswith("Cannot find file ")


def test_a_directory_as_file(musterd):
    m = musterd({}, "-f", "/")
    assert m.wait() == 2
    assert re.fullmatch(r"Error while loading file /: .+\.\n", m.stdout_text())


def test_unreadable_file(as_user):
    m = harness.Musterd({"processes": {}}, user=as_user)
    m.file.chmod(0)
    with m:
        assert m.wait() == 2
        assert m.stdout_text() == \
            f"Error while loading file {m.file}: Permission denied.\n"


@pytest.mark.needs_root
def test_file_that_others_may_write(musterd):
    m = harness.Musterd({"processes": {"a": sh("touch started")}})
    m.file.chmod(0o666)
    with m:
        assert m.wait() == 2
        assert not (m.dir / "started").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"processes": {},}'])
def test_not_json(musterd, text):
    m = musterd(text)
    assert m.wait() == 3
    assert m.stdout_text().startswith(f"{m.file}:")
    assert m.stderr_text() == ""


def test_no_processes(musterd):
    m = musterd({"keep_alive": True})
    assert m.wait() == 4
    assert m.stdout_text() == \
        "[ERROR] No processes listed in the configuration file.\n"


# Each is found before anything is started.
@pytest.mark.parametrize("bad, text", [
    ([], "processes"),
    ({"b": {"executable": "sleep"}},
     "Missing executable or arguments in definition for process b."),
    ({"b": {"arguments": ["1"]}},
     "Missing executable or arguments in definition for process b."),
    ({"b": job("sleep", verifier={"arguments": {}})},
     "Missing verifier type for verifier of process b."),
    ({"b": job("sleep", verifier={"type": "no.Such"})},
     "Missing verifier no.Such used in process b"),
    ({"b": job("sleep", verifier=None)}, "processes.b.verifier"),
    ({"b": job("sleep", {})}, "processes.b.arguments"),
    ({"b": {"executable": "sleep", "arguments": "10"}},
     "processes.b.arguments"),
    ({"b": job("sleep", options={"suppress_output": True,
                                 "redirect_output": "x"})}, "exclude"),
    ({"b": job("sleep", options={"redirect_output": None})},
     "redirect_output"),
    ({"b": job("sleep", after=["c"])}, 'no job "c"'),
    ({"b": job("sleep", after=["c"]), "c": job("sleep", after=["b"])},
     "cycle"),
])
def test_semantic_errors(musterd, bad, text):
    if isinstance(bad, dict):
        bad = {"a": sh("touch started"), **bad}
    m = musterd({"processes": bad})
    assert m.wait() == 5
    assert lines(m)[0].startswith("[ERROR] ")
    assert text in m.stdout_text()
    assert f"{m.file}:" in m.stdout_text()
    assert not (m.dir / "started").exists()


def test_no_contradiction(musterd):
    m = musterd({"processes": {"a": sh("echo a", options={
        "suppress_output": False, "redirect_output": "x"})}})
    assert m.wait() == 0
    assert (m.dir / "x").read_text() == "a\n"


def test_program_is_missing(musterd):
    m = musterd({"graceful_time": 1, "processes": {
        "a": sh("echo up; exec sleep 4000"),
        "b": job("/no/such", "x"), "c": sh("touch started")}})
    assert m.wait() == 5
    assert "$ /no/such x" in lines(m)
    assert "[ERROR] could not set up processes: FileNotFoundError: [Errno 2]" \
        " No such file or directory: '/no/such'" in lines(m)
    assert not (m.dir / "started").exists()
    assert m.leftovers() == []


def test_program_is_no_program(musterd):
    m = harness.Musterd({"processes": {"a": job("./x")}})
    (m.dir / "x").write_text("")
    with m:
        assert m.wait() == 5
        assert "could not set up processes: PermissionError: [Errno 13] " \
            "Permission denied: './x'" in m.stdout_text()


@pytest.mark.parametrize("name, error", [
    ("./loop", "OSError: [Errno 40] Too many levels of symbolic links: "),
    ("./" + "x" * 300, "OSError: [Errno 36] File name too long: "),
    ("/dev/null/x", "NotADirectoryError: [Errno 20] Not a directory: "),
    ("x" * 300, "OSError: [Errno 36] File name too long: ")],
    ids=["loop", "long", "no directory", "long in PATH"])
def test_executable_is_no_file(name, error):
    """As Python tells it."""
    m = harness.Musterd({"processes": {"a": job(name)}})
    (m.dir / "loop").symlink_to("loop")
    with pytest.raises(OSError) as raised:
        subprocess.Popen([name], cwd=m.dir)
    assert f"[Errno {raised.value.errno}]" in error
    with m:
        assert m.wait() == 5
        assert f"could not set up processes: {error}'{name}'" \
            in m.stdout_text()


def test_directory_is_missing(musterd):
    m = musterd({"processes": {"a": job(
        "true", options={"working_directory": "nowhere"})}})
    assert m.wait() == 5
    assert "could not set up processes: FileNotFoundError: [Errno 2] No such" \
        f" file or directory: '{m.dir}/nowhere'" in m.stdout_text()


@pytest.mark.parametrize("path, error", [
    ("/", "IsADirectoryError: [Errno 21] Is a directory: '/'"),
    ("/dev/null/x", "NotADirectoryError: [Errno 20] Not a directory: "),
    ("link", "OSError: [Errno 40] A symbolic link, which is not followed: ")])
def test_output_file_is_no_file(musterd, path, error):
    m = harness.Musterd({"processes": {"a": job(
        "true", options={"redirect_output": path})}})
    (m.dir / "link").symlink_to("file")
    with m:
        assert m.wait() == 5
        assert f"could not set up processes: {error}" in m.stdout_text()


@pytest.mark.parametrize("process, said", [
    ({"executable": "echo", "arguments": "x"}, "x"),
    ({"executable": "echo", "arguments": ""}, ""),
    (sh("echo $PWD", options={"working_directory": None}), None),
    (sh("echo up", verifier={**EXITED, "arguments": {"timeout": None}}), "up"),
    (sh("echo up", verifier={**EXITED, "arguments": {"timeout": 1e9}}), "up")])
@pytest.mark.parametrize("top", [
    {}, {"default_shell": None}, {"http": {"enabled": 0, "port": None}},
    {"graceful_time": 10000000}, {"graceful_time": " 3 "}])
def test_odd_values_that_pymanager_takes(musterd, process, said, top):
    m = musterd({**EXITS, **top, "processes": {"a": process}},
                http="http" not in top)
    assert m.wait() == 0
    assert lines(m)[-1] == (str(m.dir) if said is None else said)
    assert "[WARNING] " in m.stdout_text() or not top


def test_port_as_python_reads_it(musterd):
    port = harness.free_port()
    m = musterd({**KEEP, "http": {"enabled": True, "port": f" {port}\n"},
                 "processes": {"a": sh("echo up")}})
    m.wait_text("^up$")
    with socket.create_connection(("127.0.0.1", port)):
        pass


def test_output_file_cannot_be_opened(musterd):
    m = musterd({"processes": {"a": job(
        "true", options={"redirect_output": "nowhere/x"})}})
    assert m.wait() == 5
    assert f"'{m.dir}/nowhere/x'" in m.stdout_text()


def test_failed_verification(musterd):
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i; done; " \
        "exit 7"
    m = musterd({**EXITS, "messages": ["verifier.fail"], "processes": {
        "first": sh("exec sleep 4000"), "it's": sh(script, verifier=EXITED),
        "third": sh("touch started")}})
    assert m.wait() == 5
    said = m.stdout_text()
    assert "[ERROR] could not set up processes: VerificationFailedException:" \
        " Process verification failed.\n" \
        f"Command line for process: ['sh', '-c', '{script}']\n" in said
    assert "Verifier fail: Expected exit code 0, got 7\n" in said
    # Why, and its last ten lines.
    assert re.search(r"^it's: .*ExitedVerifier.*: Expected exit code 0, got 7",
                     said, re.M)
    last = said[said.index("it's: last lines of its output:"):].splitlines()
    assert last[1:] == [f"    line {i}" for i in range(3, 13)]
    assert not (m.dir / "started").exists()
    assert m.leftovers() == []


def test_failed_launch_is_graceful(musterd):
    """TERM for all, side by side, and KILL when the time is over."""
    m = musterd({"graceful_time": 0.7, "processes": {
        "a": python(STUBBORN, verify={"command": "true"}),
        "b": python(STUBBORN),
        "polite": sh("trap 'echo bye; exit' TERM; echo up; "
                     "while :; do sleep 0.1; done"),
        "bad": sh("until grep -q up stdout; do sleep 0.05; done; sleep 0.2; "
                  "exit 1", verify="exited")}})
    m.wait_text(r"^\[ERROR\]")
    start = time.monotonic()
    assert m.wait() == 5
    assert 0.6 < time.monotonic() - start < 1.4 * harness.patience()
    assert "bye" in lines(m)


# --- the listener ---


def test_port_is_taken(musterd):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        m = musterd({"http": {"port": port},
                     "processes": {"a": sh("touch started")}})
        assert m.wait() == 1
    assert re.fullmatch(
        rf"\[ERROR\] {m.file}:\d+:\d+: .*port {port}: .*[Aa]ddress.*in use\n",
        m.stdout_text())
    assert not (m.dir / "started").exists()


def test_port_as_text(musterd):
    m = musterd({**KEEP, "http": {"port": str(harness.free_port())},
                 "processes": {"a": job("sleep", "4000")}})
    m.wait_status()


@pytest.mark.parametrize("port", [70000, "http", -1])
def test_port_that_is_none(musterd, port):
    m = musterd({"http": {"enabled": True, "port": port},
                 "processes": {"a": sh("touch started")}}, http=False)
    assert m.wait() in (1, 5)
    assert "http.port" in m.stdout_text()
    assert not (m.dir / "started").exists()


def test_one_instance(musterd):
    m = musterd({**KEEP, "processes": {"a": job("sleep", "4000")}})
    m.wait_status()
    second = harness.Musterd({}, "-f", str(m.file), env={
        "XDG_RUNTIME_DIR": m.env["XDG_RUNTIME_DIR"]})
    with second:
        assert second.wait() == 1
        assert f"{m.file} is in the hands of process {m.pid}\n" \
            in second.stderr_text()
    assert m.status() == "running"


def test_files_of_its_own_are_removed(musterd):
    m = musterd({**KEEP, "processes": {}}, http=False)
    harness.wait_for("the socket", m.default_socket().exists)
    assert m.default_socket("lock").read_text() == f"{m.pid}\n"
    m.socket = m.default_socket()
    m.wait_status(over="unix")
    assert m.stop() == 0
    assert not m.default_socket().exists()
    assert not m.default_socket("lock").exists()


# --- warnings ---


def test_unknown_keys(musterd):
    config = {"procesess": 1, "x-mine": 1, "processes": {
        "a": job("true", options={"surpress_output": True, "x-mine": {}},
                 verifer=None)}}
    m = musterd(config)
    assert m.wait() == 0
    said = m.stdout_text()
    for key, hint in (("procesess", "processes"),
                      ("processes.a.options.surpress_output",
                       "suppress-output"),
                      ("processes.a.verifer", "verifier")):
        assert re.search(rf"^\[WARNING\] {m.file}:\d+:\d+: {key}: unknown key "
                         rf'\(did you mean "{hint}"\?\)$', said, re.M), key
    assert "x-mine" not in said
    assert "$ true" in lines(m)
    # Line and column of the key itself.
    line, column = re.search(rf"{m.file}:(\d+):(\d+): procesess",
                             said).groups()
    text = m.file.read_text().splitlines()[int(line) - 1]
    assert text[int(column) - 1:].startswith('"procesess"')


def test_check_only(musterd):
    m = musterd({"processes": {"a": sh("touch started")}}, "-n")
    assert m.wait() == 0
    assert m.stdout_text() == "configuration OK\n"
    assert not (m.dir / "started").exists()


def test_check_only_is_strict(musterd):
    m = musterd({"procesess": 1, "processes": {"a": job("true", verifer=1)}},
                "-n")
    assert m.wait() == 5
    assert len(lines(m)) == 2
    assert all(line.startswith(f"{m.file}:") for line in lines(m))


@pytest.mark.parametrize("text, code", [
    ("{", 3), ("{}", 4), ('{"processes": {"a": {}}}', 5)])
def test_check_only_has_the_codes_of_a_start(musterd, text, code):
    m = musterd(text, "-n")
    assert m.wait() == code


def test_check_only_beside_a_running_one(musterd):
    m = musterd({**KEEP, "processes": {}})
    m.wait_status()
    with harness.Musterd({}, "-n", "-f", str(m.file)) as other:
        assert other.wait() == 0


def test_duplicate_keys(musterd):
    """The place of the first, the value of the last, and a warning."""
    one, two, three = (json.dumps(sh(f"echo {n}", verify="exited"))
                       for n in ("one", "two", "three"))
    m = musterd('{"processes": {"a": %s, "b": %s, "a": %s}}' % (
        one, two, three))
    assert m.wait() == 0
    assert re.search(rf"^\[WARNING\] {m.file}:1:\d+: .*\ba\b.*twice",
                     m.stdout_text(), re.M) or \
        re.search(r"^\[WARNING\] .*duplicate", m.stdout_text(), re.M)
    assert commands(m) == ["$ sh -c echo three", "$ sh -c echo two"]


# --- both spellings ---


@pytest.mark.parametrize("keys, stays", [
    ({"keep-alive": True}, True), ({"keep_alive": True}, True),
    ({"keep-alive": True, "keep_alive": False}, False),
    ({"keep_alive": True, "keep-alive": False}, True),
    ({"keep_alive": "yes"}, True), ({"keep_alive": []}, False),
    ({"keep_alive": 0}, False), ({}, False)])
def test_keep_alive(musterd, keys, stays):
    m = musterd({**keys, "processes": {"a": job("true")}})
    if not stays:
        assert m.wait() == 0
        return
    m.wait_status()
    m.wait_state("a", "exited")
    time.sleep(0.2)
    assert m.status() == "running"
    assert m.processes()[0]["status"] == "terminated"


@pytest.mark.parametrize("keys", [
    {"graceful_time": 0.4}, {"graceful-time": 0.4}, {"graceful_time": "0.4"},
    {"graceful-time": 60, "graceful_time": 0.4}])
def test_graceful_time(musterd, keys):
    m = musterd({**keys, "processes": {"a": python(STUBBORN)}})
    m.wait_text("^up$")
    start = time.monotonic()
    assert m.stop() == 0
    assert 0.35 < time.monotonic() - start < 1.2 * harness.patience()


@pytest.mark.parametrize("value", [-1, "soon"])
def test_bad_graceful_time(musterd, value):
    """A warning; the 10 seconds stay (more than 1, less than for ever)."""
    m = musterd({"graceful_time": value,
                 "processes": {"a": python(STUBBORN)}})
    m.wait_text("^up$")
    assert re.search(rf"^\[WARNING\] .*invalid graceful_time '{value}', must "
                     r"be a positive number\.$", m.stdout_text(), re.M)
    m.signal(15)
    time.sleep(1)
    assert m.running()
    m.signal(2)
    assert m.wait() == 0


# --- order ---


def test_whole_output(musterd):
    m = musterd({**EXITS, "messages": ["process.exit"], "processes": {
        "a": sh("echo one", verifier=EXITED),
        "b": sh("echo two; echo three >&2; exit 3", verifier={
            **EXITED, "arguments": {"expect_code": 3}}),
        "c": sh("kill -9 $$", verifier={
            **EXITED, "arguments": {"expect_code": -9}})}})
    assert m.wait() == 0
    assert lines(m) == [
        "$ sh -c echo one", "one",
        "Process sh -c echo one exited with code 0",
        "$ sh -c echo two; echo three >&2; exit 3", "two", "three",
        "Process sh -c echo two; echo three >&2; exit 3 exited with code 3",
        "$ sh -c kill -9 $$",
        "Process sh -c kill -9 $$ exited with code -9"]
    assert m.stderr_text() == ""


def test_order_without_verifiers(musterd):
    """In file order, however many."""
    names = [f"{(n * 37) % 100:02}" for n in range(100)]
    m = musterd({"processes": {n: job("echo", n) for n in names}})
    assert m.wait() == 0
    assert commands(m) == [f"$ echo {n}" for n in names]
    assert sorted(set(lines(m)) - set(commands(m))) == sorted(names)


def test_each_waits_for_the_one_before(musterd):
    m = musterd({"processes": {
        "a": sh("sleep 0.3; echo a > up; exec sleep 4000",
                verify={"file": "up"}),
        "b": sh("test -f up && echo seen", verify="exited")}, **KEEP})
    m.wait_status("launching processes")
    assert m.state("b") == "waiting"
    assert [p["id"] for p in m.processes()] == []
    m.wait_status()
    assert "seen" in lines(m)
    assert [p["id"] for p in m.processes()] == [1, 2]


def test_the_end_is_noticed_at_once(musterd):
    m = musterd({"processes": {"a": sh("sleep 0.2"), "b": job("true")}})
    start = time.monotonic()
    assert m.wait() == 0
    assert time.monotonic() - start < 1 * harness.patience()


def test_no_process(musterd):
    m = musterd({"processes": {}})
    assert m.wait() == 0
    assert m.stdout_text() == ""


def test_no_process_and_keep_alive(musterd):
    m = musterd({**KEEP, "processes": {}})
    m.wait_status()
    assert m.get("/").body == b'{"count": 0, "processes": []}'
    assert m.post("/restart/1").status == 404


# --- after ---


def test_independent_jobs_start_side_by_side(musterd):
    """Each waits for the other: in file order they never would be up."""
    script = "touch {0}; until [ -f {1} ]; do sleep 0.02; done"
    m = musterd({"processes": {
        "a": sh(script.format("x", "y"), verify="exited", after=[]),
        "b": sh(script.format("y", "x"), verify="exited")}})
    assert m.wait() == 0


def test_after_verified(musterd):
    m = musterd({"processes": {
        "late": sh("test -f up && echo late", verify="exited",
                   after=["slow"]),
        "free": sh("test -f up || echo free", verify="exited"),
        "slow": sh("sleep 0.3; touch up; exec sleep 4000",
                   verify={"file": "up"})}, **KEEP})
    m.wait_status()
    assert {"late", "free"} <= set(lines(m))


def waits(m):
    """What each tells for which it waits."""
    return {name.removeprefix("default."): p.get("waiting_for")
            for name, p in m.all().items()}


def test_after_tells_for_which(musterd):
    """The first that is missing of those that it names."""
    def up(n):
        return sh(f"until test -f {n}; do sleep 0.02; done; touch {n}.up; "
                  "exec sleep 4000", verify={"file": f"{n}.up"})
    m = musterd({**KEEP, "processes": {
        "web": job("sleep", "4000", after=["db", "cache"]),
        "behind": job("sleep", "4000", after={"web": "started"}),
        "cache": up("c"), "db": up("d")}})
    none = {"db": None, "cache": None}
    m.wait_state("db", "starting")
    harness.wait_for("it", lambda: waits(m) == {
        "web": "default.db", "behind": "default.web", **none})
    r = m.get("/v1/ready")
    assert r.status == 503
    assert {"default.web: waiting for db", "default.behind: waiting for web"} \
        < set(r.json()["detail"].splitlines())
    (m.dir / "d").touch()
    harness.wait_for("the next", lambda: waits(m)["web"] == "default.cache")
    # A manager that comes back finds it again.
    harness.kill(m.component("muster-manager")[0])
    harness.wait_for("the same", lambda: waits(m) == {
        "web": "default.cache", "behind": "default.web", **none})
    (m.dir / "c").touch()
    m.wait_status()
    assert set(waits(m).values()) == {None}


def test_order_tells_for_which(musterd):
    """The next one; those behind it will be told when it is their turn."""
    m = musterd({**KEEP, "processes": {
        "off": job("sleep", "4000", autostart=False),
        "first": sh("exec sleep 4000", verify={"file": "go"}),
        "not": job("sleep", "4000", autostart=False),
        "next": job("sleep", "4000"), "last": job("sleep", "4000")}})
    m.wait_state("first", "starting")
    harness.wait_for("it", lambda: waits(m)["next"] == "default.first")
    assert {n for n, other in waits(m).items() if other} == {"next"}
    (m.dir / "go").touch()
    m.wait_status()
    assert set(waits(m).values()) == {None}


def test_after_started_and_exited(musterd):
    m = musterd({"processes": {
        "job": sh("sleep 0.3; touch done"),
        "beside": sh("test -f done || echo beside", after={"job": "started"}),
        "behind": sh("test -f done && echo behind", verify="exited",
                     after={"job": "exited"})}})
    assert m.wait() == 0
    assert {"beside", "behind"} <= set(lines(m))


def test_after_a_chain(musterd):
    m = musterd({"processes": {
        "c": sh("echo c", verify="exited", after=["b"]),
        "b": sh("echo b", verify="exited", after=["a"]),
        "a": sh("sleep 0.1; echo a", verify="exited")}})
    assert m.wait() == 0
    assert [line for line in lines(m) if len(line) == 1] == ["a", "b", "c"]


def test_dependency_that_fails(musterd):
    m = musterd({"processes": {
        "job": sh("sleep 0.1; exit 4"), "other": job("sleep", "4000"),
        "behind": sh("touch started", after={"job": "exited"})}})
    assert m.wait() == 5
    assert re.search(r"^\[ERROR\] could not set up processes: .*\bjob exited "
                     r"with code 4.*behind", m.stdout_text(), re.M)
    assert not (m.dir / "started").exists()


def test_start_parallel(musterd):
    script = "mkdir x || { echo two; exit 1; }; sleep 0.1; rmdir x"
    m = musterd({"start-parallel": 1, "processes": {
        n: sh(script, verify="exited", after=[]) for n in "abc"}})
    assert m.wait() == 0


def test_not_started(musterd):
    m = musterd({**KEEP, "processes": {
        "off": sh("touch started", autostart=False),
        "on": job("sleep", "4000")}})
    m.wait_status()
    assert m.state("off") == "stopped"
    assert [p["id"] for p in m.processes()] == [2]
    assert m.get("/v1/ready").status == 200
    assert not (m.dir / "started").exists()


def test_not_started_but_needed(musterd):
    m = musterd({"processes": {
        "off": sh("echo off", autostart=False, verify="exited"),
        "on": sh("echo on", after=["off"])}})
    assert m.wait() == 0
    assert [line for line in lines(m) if line[0] == "o"] == ["off", "on"]


def test_instances(musterd):
    m = musterd({**KEEP, "processes": {
        "a": sh("echo $0 $1 $X; exec sleep 4000", "$(name)", "$(instance)",
                instances=3, environment={"X": "x$(instance)"})}})
    m.wait_status()
    harness.wait_for("three", lambda: {"a 0 x0", "a 1 x1", "a 2 x2"} <=
                     set(lines(m)))
    assert [p["id"] for p in m.processes()] == [1, 2, 3]
    rows = m.get("/v1/processes?job=a").json()["processes"]
    assert [p["instance"] for p in rows] == [0, 1, 2]
    # What is told of them is what is run.
    for i, p in enumerate(rows):
        assert p["args"][-2:] == ["a", f"{i}"]
        assert p["command"].endswith(f"sleep 4000 a {i}")
        assert f"$ {p['command']}" in lines(m)
    assert "$(" not in m.ctl("status", "a").stdout + m.stdout_text()


# --- restarts ---


@pytest.mark.parametrize("policy, code, comes_back", [
    ("never", 1, False), ("never", 0, False), ("on-failure", 1, True),
    ("on-failure", 0, False), ("always", 0, True), ("always", 1, True)])
def test_restart_policy(musterd, policy, code, comes_back):
    m = musterd({**KEEP, "processes": {"a": sh(
        f"test -f again && exec sleep 4000; touch again; exit {code}",
        restart=policy)}})
    m.wait_status()
    if comes_back:
        harness.wait_for("generation 2", lambda: m.all()["a"]["pid"] and
                         m.all()["a"]["generation"] == 2)
        assert m.wait_state("a", "running")["restarts"] == 1
    else:
        p = m.wait_state("a", "exited")
        assert (p["generation"], p["exit"]["code"]) == (1, code)
        assert m.processes() == [{
            "id": 1, "command": p["command"], "status": "terminated",
            "code": code}]


def test_success_codes(musterd):
    m = musterd({**KEEP, "processes": {
        "good": sh("exit 3", restart="on-failure", success_codes=[3, -15]),
        "killed": sh("kill $$", restart="on-failure", success_codes=[3, -15]),
        "bad": sh("test -f again && exec sleep 4000; touch again",
                  restart="on-failure", success_codes=[3])}})
    m.wait_status()
    m.wait_state("good", "exited")
    m.wait_state("killed", "exited")
    harness.wait_for("generation 2", lambda: m.all()["bad"]["pid"] and
                     m.all()["bad"]["generation"] == 2)
    assert m.all()["good"]["generation"] == 1
    assert m.all()["killed"]["exit"]["signal"] == "SIGTERM"


def test_the_code_that_is_asked_for(musterd):
    """It is no failure, for all that asks: restarts, readiness, `after`."""
    m = musterd({**KEEP, "processes": {
        "good": sh("exit 3", restart="on-failure", verify={"exited": 3}),
        "next": sh("exec sleep 4000", after={"good": "exited"})}})
    m.wait_status()
    p = m.wait_state("good", "exited")
    assert (p["verified"], p["generation"]) == (True, 1)
    assert m.get("/v1/ready").json() == {"ready": True}


def test_no_backoff(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "echo x >> runs; test $(wc -l < runs) -ge 30 && exec sleep 4000",
        restart="always", backoff={"initial": 0})}})
    harness.wait_for("30 runs", lambda: m.status() == "running" and
                     m.all()["a"]["generation"] == 30, 5)


def test_backoff(musterd):
    """No delay before the first; then 0.2 s, 0.4 s, 0.4 s."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "date +%s.%N >> runs", restart="always",
        backoff={"initial": "200ms", "max": 0.4})}})
    harness.wait_for("five runs", lambda: (m.dir / "runs").exists() and len(
        (m.dir / "runs").read_text().split()) >= 5)
    times = [float(t) for t in (m.dir / "runs").read_text().split()]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert gaps[0] < 0.15 * harness.patience()
    for gap, least in zip(gaps[1:], (0.18, 0.36, 0.36)):
        assert least <= gap < least + 0.5 * harness.patience()
    assert m.wait_state("a", "backoff")["pid"] is None


def test_start_limit(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "echo x >> runs; exit 1", restart="always", backoff={"initial": 0},
        start_limit={"count": 3, "within": 10})}})
    m.wait_status()
    m.wait_state("a", "failed")
    time.sleep(0.2)
    assert (m.dir / "runs").read_text() == "x\n" * 3
    assert m.all()["a"]["generation"] == 3
    assert m.get("/v1/ready").status == 503


@pytest.fixture
def program():
    """A job of a program that can be taken away: musterd, and its path."""
    mine = []

    def program_(**options):
        m = harness.Musterd({**KEEP, "processes": {
            "a": job("./x", **options)}})
        mine.append(m)
        path = m.dir / "x"
        path.write_text("#!/bin/sh\nexec sleep 4000\n")
        path.chmod(0o755)
        m.start().wait_status()
        # The shell has read it.
        harness.wait_for("its exec", lambda: [p.name for p in m.jobs()]
                         == ["sleep"])
        return m, path

    yield program_
    for m in mine:
        m.close()


@pytest.mark.parametrize("restart", ["always", "on-failure"])
@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_a_program_that_comes_back(program, restart, how):
    """As while a package is being replaced: it is kept up."""
    m, path = program(restart=restart, backoff={"initial": 0.2, "max": 0.2})
    pid = m.all()["a"]["pid"]
    path.rename(m.dir / "y")
    if how == "killed":
        os.kill(pid, 9)
    else:
        assert m.post("/restart/1").status == 500
    harness.wait_for("some tries", lambda: m.all()["a"]["generation"] >= 4)
    m.wait_state("a", "backoff")
    (m.dir / "y").rename(path)
    m.wait_state("a", "running")
    assert m.get("/v1/ready").status == 200


def test_a_program_that_does_not_come_back(program):
    m, path = program(restart="always", backoff={"initial": 0},
                      start_limit={"count": 3, "within": 60})
    path.unlink()
    os.kill(m.all()["a"]["pid"], 9)
    m.wait_state("a", "failed")
    assert m.all()["a"]["generation"] == 3


def test_a_program_that_is_gone_is_not_tried_without_a_pause(program):
    m, path = program(restart="always", backoff={"initial": 0})
    path.unlink()
    os.kill(m.all()["a"]["pid"], 9)
    begin = time.monotonic()
    harness.wait_for("five tries", lambda: m.all()["a"]["generation"] >= 6)
    assert time.monotonic() - begin > 0.35


def test_stop_of_a_program_that_is_gone(program):
    m, path = program(restart="always", backoff={"initial": 60})
    path.unlink()
    os.kill(m.all()["a"]["pid"], 9)
    m.wait_state("a", "backoff")
    assert m.stop() == 0


def test_failed_is_an_end(musterd):
    m = musterd({"processes": {"a": sh(
        "exit 1", restart="always", backoff={"initial": 0},
        start_limit={"count": 2})}})
    assert m.wait() == 0


def test_restarts_of_a_verified_one(musterd):
    """Its start is verified anew; meanwhile it is not verified."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "sleep 0.2; touch up; exec sleep 4000", restart="always",
        verify={"file": "up"})}})
    m.wait_status()
    (m.dir / "up").unlink()
    before = m.all()["a"]
    assert before["verified"]
    os.kill(before["pid"], 9)
    harness.wait_for("generation 2", lambda: m.all()["a"]["generation"] == 2)
    assert m.state("a") == "starting" and not m.all()["a"]["verified"]
    assert m.get("/v1/ready").status == 503
    p = m.wait_state("a", "running")
    assert p["verified"] and p["pid"] != before["pid"]


def test_on_exit_shutdown(musterd):
    m = musterd({**KEEP, "processes": {
        "main": sh("sleep 0.2; exit 9", on_exit="shutdown"),
        "side": job("sleep", "4000")}})
    assert m.wait() == 9
    assert m.leftovers() == []


def test_on_exit_shutdown_by_a_signal(musterd):
    m = musterd({**KEEP, "processes": {
        "main": sh("sleep 0.2; kill -USR1 $$", on_exit="shutdown")}})
    assert m.wait() == 128 + 10


# --- the stop sequence ---


def test_stop_sequence(musterd):
    script = "import os, signal, sys, time\n" \
        "def note(number, frame):\n" \
        "    os.write(1, signal.Signals(number).name.encode() + b'\\n')\n" \
        "for s in ('HUP', 'INT', 'TERM', 'USR1'):\n" \
        "    signal.signal(getattr(signal, 'SIG' + s), note)\n" \
        "print('up', flush=True)\n" \
        "while True: time.sleep(100)"
    m = musterd({"processes": {"a": python(script, stop=[
        {"signal": "HUP", "wait": "200ms"}, {"signal": "SIGUSR1",
                                             "wait": 0.2},
        {"signal": 2, "wait": "0.2s"}])},
        "messages": ["process.exit"]})
    m.wait_text("^up$")
    start = time.monotonic()
    assert m.stop() == 0
    assert 0.55 < time.monotonic() - start < 1.4 * harness.patience()
    said = lines(m)
    assert [line for line in said if line.startswith("SIG")] == [
        "SIGHUP", "SIGUSR1", "SIGINT"]
    assert said[-1].endswith(" exited with code -9")


def test_stop_signal(musterd):
    m = musterd({"processes": {"a": sh(
        "trap 'echo got it; exit' QUIT; echo up; "
        "while :; do sleep 0.1; done", stop="QUIT")}})
    m.wait_text("^up$")
    assert m.stop() == 0
    assert "got it" in lines(m)


def test_graceful_time_of_a_job(musterd):
    m = musterd({"processes": {"a": python(STUBBORN, graceful_time=0.3)}})
    m.wait_text("^up$")
    start = time.monotonic()
    assert m.stop() == 0
    assert time.monotonic() - start < 1.2 * harness.patience()


def test_python_is_there():
    """Other tests start it as a job."""
    assert os.access(PYTHON, os.X_OK)
