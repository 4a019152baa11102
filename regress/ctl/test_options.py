"""The command line, the help, the manual, and what is done by musterd."""

import re
import shutil
import subprocess

import pytest

import harness

MANUAL = (harness.ROOT / "ctl/musterctl.8").read_text()


def test_version(ctl):
    for args in (["--version"], ["-V"], ["status", "-V"]):
        r = ctl.bare(*args)
        assert re.fullmatch(r"musterctl \d+\.\d+\.\d+\n", r.stdout)
        assert (r.returncode, r.stderr) == (0, "")


def test_help(ctl):
    r = ctl.bare("help")
    assert r.returncode == 0
    assert ctl.bare("--help").stdout == ctl.bare("-h").stdout == r.stdout
    for verb in verbs(ctl):
        own = ctl.bare("help", verb)
        assert own.returncode == 0
        assert own.stdout.startswith("usage: musterctl [OPTION ...] " + verb)
        assert ctl.bare(verb, "--help").stdout == own.stdout
        assert ctl.bare("-h", verb).stdout == own.stdout
        assert max(map(len, own.stdout.splitlines())) <= 80
    assert max(map(len, r.stdout.splitlines())) <= 80
    assert "__complete" not in r.stdout


def verbs(ctl):
    text = ctl.bare("help").stdout.partition("options:")[0]
    return re.findall(r"^  ([a-z]+) ", text, re.M)


def options(text):
    return set(re.findall(r"^  .*(--[a-z-]+)", text, re.M)) | \
        set(re.findall(r"^  (-[a-zA-Z]),", text, re.M))


def test_the_manual_has_all_of_it(ctl):
    assert len(verbs(ctl)) >= 11
    for verb in verbs(ctl):
        assert re.search(rf"^\.It Cm {verb}\b", MANUAL, re.M), verb
        for option in options(ctl.bare("help", verb).stdout):
            part = MANUAL.partition(f".It Cm {verb}")[2].partition(
                ".It Cm ")[0]
            assert flag(option) in part, (verb, option)
    for option in options(ctl.bare("help").stdout):
        assert f".It Fl" in MANUAL and flag(option) in MANUAL, option


def flag(option):
    """As mdoc writes it: -x is Fl x, --xy is Fl Fl xy or Fl -xy."""
    return "Fl " + option[1:]


def test_the_manual_has_nothing_else(ctl):
    known = options(ctl.bare("help").stdout)
    for verb in verbs(ctl):
        known |= options(ctl.bare("help", verb).stdout)
    text = MANUAL.replace("musterd Fl", "")
    for name in re.findall(r"^\.It (?:Fl \w , )?Fl (-[a-z-]+)", text, re.M):
        assert "-" + name in known


def test_nothing(ctl):
    r = ctl.bare()
    assert (r.returncode, r.stdout) == (2, "")
    assert r.stderr.startswith("usage: musterctl ")


@pytest.mark.parametrize("verb", [
    "start", "stop", "scale", "load", "events", "top", "reload", "upgrade",
    "run", "send", "signal", "schema", "explain", "sessions",
    "unload", "jobs", "get", "update", "stopall", "manage", "commit", "stats",
    "show", "values", "sockets"])
def test_not_yet(ctl, verb):
    r = ctl.bare(verb, "web")
    assert (r.returncode, r.stdout) == (2, "")
    assert r.stderr == f"musterctl: {verb} is not available in this version\n"


@pytest.mark.parametrize("words, text", [
    (["statsu"], 'unknown verb statsu (did you mean "status"?)'),
    (["restrat", "x"], 'unknown verb restrat (did you mean "restart"?)'),
    (["x\x1b"], "unknown verb x\\e; see musterctl help"),
    (["help", "x"], "unknown verb x; see musterctl help"),
    (["help", "statsu"], 'unknown verb statsu (did you mean "status"?)'),
    (["-s", "x", "test", "--", "true"], "-s names a musterd that runs; this "
     "starts one itself, of the file of -f"),
    (["-H", "http://x", "validate"], "-H names a musterd that runs; this "
     "starts one itself, of the file of -f"),
    (["--josn", "status"], "unknown option --josn (did you mean --json?)"),
    (["status", "-x"], "unknown option -x; see musterctl status --help"),
    (["-n", "3", "logs"], "unknown option -n; see musterctl --help"),
    (["--follow", "logs"], "unknown option --follow; see musterctl --help"),
    (["logs", "--timeout=1", "x"],
     "unknown option --timeout; see musterctl logs --help"),
    (["--socket"], "option --socket needs a value: SOCKET"),
    (["status", "-s"], "option --socket needs a value: SOCKET"),
    (["--json=1", "status"], "option --json takes no value"),
    (["--color=blue", "status"],
     "option --color: blue: want auto always never"),
    (["logs", "-n", "x", "y"], "option --lines: x: want a number, or all"),
    (["logs", "-n-1", "y"], "option --lines: -1: want a number, or all"),
    (["shutdown", "now"], "usage: musterctl shutdown"),
    (["validate", "a", "b"], "usage: musterctl validate [FILE]"),
    (["validate", "--json"], "validate has no --json"),
    (["test", "true"], "test: the command stands after --"),
    (["test", "--"], "test: the command stands after --"),
    (["completion"], "usage: musterctl completion bash|zsh|fish"),
    (["completion", "csh"], "completion: csh: want bash, zsh or fish"),
    (["restart"], "restart: which processes? (--all for all of them)"),
    (["info", "-"], "usage: musterctl info"),
])
def test_usage(ctl, words, text):
    r = ctl.bare(*words)
    assert (r.returncode, r.stdout) == (2, "")
    assert r.stderr == f"musterctl: {text}\n"


def test_options_anywhere(ctl, fake):
    fake.output = {(1, "stdout"): b"a\n"}
    for args in (["-s", fake.path, "--json", "logs", "-n", "1", "web"],
                 ["logs", "web", "-n1", "--json", "--socket", fake.path],
                 ["logs", "--json", f"-s{fake.path}", "--lines=1", "--",
                  "web"]):
        r = ctl.bare(*args)
        assert r.returncode == 0, r.stderr
        assert '"data":"a\\n"' in r.stdout
    # Behind -- there are names.
    assert ctl("status", "--", "-q").stderr == \
        "musterctl: -q: no such process\n"


# --- what musterd does ---


@pytest.fixture
def musterd(place):
    """A program that tells how it was called, beside bin/musterctl."""
    for folder in ("bin", "sbin", "other"):
        (place / folder).mkdir()
    shutil.copy(harness.MUSTERCTL, place / "bin")
    for folder in ("sbin", "other"):
        path = place / folder / "musterd"
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" {folder} "$@"\n'
                        'cat\necho said >&2\nexit 7\n')
        path.chmod(0o755)

    def run(*args, env=None, binary=place / "bin/musterctl"):
        r = subprocess.run(
            [binary, *args], cwd=place, input="typed\n", encoding="utf-8",
            env={"PATH": f"{place}/other:/usr/bin:/bin", **(env or {})},
            capture_output=True, timeout=30, check=False)
        return r.returncode, r.stdout.splitlines(), r.stderr
    return run


@pytest.mark.parametrize("args, words", [
    (["validate"], ["-n"]),
    (["validate", "x y.yaml"], ["-n", "-f", "x y.yaml"]),
    (["-f", "x", "validate"], ["-n", "-f", "x"]),
    (["validate", "-f", "x"], ["-n", "-f", "x"]),
    (["test", "--", "make", "-k", "--", "a b"],
     ["-x", "--", "make", "-k", "--", "a b"]),
    (["test", "-f", "x", "--", "true"], ["-f", "x", "-x", "--", "true"]),
    (["-q", "test", "--", "--help"], ["-q", "-x", "--", "--help"]),
])
def test_musterd(musterd, args, words):
    """Found beside us; exit code and streams are its own."""
    assert musterd(*args) == (7, ["sbin", *words, "typed"], "said\n")


def test_musterd_elsewhere(musterd, place):
    assert musterd("validate", env={
        "MUSTERD": str(place / "other/musterd")})[1][0] == "other"
    assert musterd("validate", env={"MUSTERD": "musterd"})[1][0] == "other"
    (place / "sbin/musterd").unlink()
    assert musterd("validate", env={"MUSTERD": ""})[1][0] == "other"
    (place / "other/musterd").unlink()
    assert musterd("validate") == \
        (1, [], "musterctl: musterd: No such file or directory\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(ctl, fake, closed):
    """A socket must not become standard output."""
    subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", harness.MUSTERCTL, "-s",
         fake.path, "status"], check=True, stdout=subprocess.PIPE,
        timeout=30)
    assert fake.requests == ["GET /v1/processes"]
