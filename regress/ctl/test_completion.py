"""The completion scripts: the same as in the tree, and they complete."""

import os
import shlex
import shutil
import subprocess

import pytest

import harness
from fakemusterd import process

FILES = {"bash": "musterctl.bash", "zsh": "_musterctl",
         "fish": "musterctl.fish"}
FOLDER = harness.ROOT / "etc/completions"
VERBS = ["completion", "help", "info", "logs", "ps", "restart", "shutdown",
         "status", "test", "token", "validate", "wait"]
GLOBAL = ["--cacert", "--cert", "--color", "--file", "--help", "--host",
          "--json", "--key", "--quiet", "--socket", "--token-file",
          "--version", "-H", "-V", "-f", "-h", "-q", "-s"]


@pytest.mark.parametrize("shell", FILES)
def test_files(ctl, shell):
    r = ctl.bare("completion", shell)
    assert r.returncode == 0
    assert r.stdout == (FOLDER / FILES[shell]).read_text()


@pytest.mark.needs_program("shellcheck")
def test_shellcheck():
    subprocess.run(["shellcheck", str(FOLDER / FILES["bash"])], check=True)


def test_complete(ctl, fake):
    fake.processes = [process(1, "web"), process(2, "web", instance=1),
                      process(3, "a b:c"), process(4, "no\nway"),
                      process(5, "db", "failed")]
    r = ctl("__complete")
    assert r.stdout == "web\trunning\na b:c\trunning\ndb\tfailed\n"
    fake.close()
    r = ctl("__complete")
    assert (r.stdout, r.stderr) == ("", "")
    assert r.returncode != 0


@pytest.fixture
def binary(place):
    """A directory for PATH with musterctl in it."""
    (place / "path").mkdir()
    (place / "path/musterctl").symlink_to(harness.MUSTERCTL)
    (place / "some file").write_text("")
    return place / "path"


# The words, and what must be proposed for the last of them.
CASES = [
    ([""], VERBS),
    (["st"], ["status"]),
    (["-"], GLOBAL),
    (["--c"], ["--cacert", "--cert", "--color"]),
    (["--cacert", "some"], ["some file"]),
    (["token", "x", "--role", "o"], ["operate"]),
    (["--color", ""], ["always", "auto", "never"]),
    (["--color", "a"], ["always", "auto"]),
    (["--json", "w"], ["wait"]),
    (["-f", "x", "r"], ["restart"]),
    (["-s", "@SOCKET@", "status", ""], ["db", "other", "web"]),
    (["-s", "@SOCKET@", "restart", "web", "o"], ["other"]),
    (["--socket", "@SOCKET@", "logs", "-f", "w"], ["web"]),
    (["-s", "@SOCKET@", "logs", "-n", "5", "w"], ["web"]),
    (["logs", "--st"], ["--stderr"]),
    (["wait", "--f"], ["--file", "--for"]),
    (["wait", "--for", ""], ["exit", "running", "stopped", "verified"]),
    (["restart", "--progress", "p"], ["plain"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["help", "s"], ["shutdown", "status"]),
    (["validate", "some"], ["some file"]),
    (["-f", "some"], ["some file"]),
    (["info", ""], []),
]


def words(case, fake):
    return [w.replace("@SOCKET@", fake.path) for w in case]


def env(place, binary):
    return {"PATH": f"{binary}:/usr/bin:/bin", "HOME": str(place),
            "LC_ALL": "C.UTF-8", "TERM": "dumb",
            **{k: v for k, v in os.environ.items() if "SAN_OPTIONS" in k}}


def bash(place, binary, typed, words_=None):
    typed = ["musterctl", *typed]
    script = (
        f"source {FOLDER / FILES['bash']}\n"
        "complete -p musterctl >/dev/null || exit 1\n"
        f"COMP_WORDS=({' '.join(map(shlex.quote, typed))})\n"
        f"COMP_CWORD={len(typed) - 1}\n"
        "_musterctl\n"
        '((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"\n')
    return subprocess.run(
        ["bash", "--norc", "-c", script], cwd=place, encoding="utf-8",
        env=env(place, binary), capture_output=True, check=True,
        timeout=60).stdout.splitlines()


@pytest.fixture
def three(fake):
    fake.processes = [process(1, "web"), process(2, "db"),
                      process(3, "other")]
    return fake


@pytest.mark.parametrize("case, wanted", CASES)
def test_bash(place, binary, three, case, wanted):
    assert sorted(bash(place, binary, words(case, three))) == wanted


@pytest.mark.parametrize("case, wanted", [
    # bash takes "=" and ":" for words of their own.
    (["--color", "=", "al"], ["always"]),
    (["--color", "="], ["always", "auto", "never"]),
    (["--socket", "=", "@SOCKET@", "status", "w"], ["web"]),
    (["wait", "--for", "=", "st"], ["stopped"]),
    (["-s", "@SOCKET@", "status", "--", "w"], ["web"]),
    (["test", "--", "shel"], None),
])
def test_bash_words(place, binary, three, case, wanted):
    found = bash(place, binary, words(case, three))
    if wanted is None:
        assert all(name.startswith("shel") for name in found)
    else:
        assert sorted(found) == wanted


def test_bash_quotes(place, binary, three):
    three.processes = [process(1, "a b"), process(2, "$(touch x)")]
    assert bash(place, binary, ["-s", three.path, "ps", ""]) == [
        "a\\ b", "\\$\\(touch\\ x\\)"]


@pytest.mark.needs_program("fish")
@pytest.mark.parametrize("case, wanted", CASES)
def test_fish(place, binary, three, case, wanted):
    line = " ".join(["musterctl", *(shlex.quote(w) if w else ""
                                    for w in words(case, three))])
    r = subprocess.run(
        [shutil.which("fish"), "--no-config", "-c",
         f"source {FOLDER / FILES['fish']}; complete -C {shlex.quote(line)}"],
        cwd=place, env=env(place, binary), capture_output=True,
        encoding="utf-8", timeout=60, check=True)
    assert r.stderr == ""
    found = sorted({entry.partition("\t")[0]
                    for entry in r.stdout.splitlines()})
    # fish leaves short options out where there are long ones.
    if case[-1].startswith("--"):
        wanted = [w for w in wanted if w.startswith("--")]
    assert [f.rstrip("=") for f in found] == wanted


ZSH = """
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "-f", "-i"])
def until(text, limit=20):
    shown = b""
    end = time.monotonic() + limit
    while text not in shown and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                shown += os.read(fd, 65536)
            except OSError:
                break
    return shown
"""


@pytest.mark.needs_program("zsh")
@pytest.mark.timeout(180)
def test_zsh(place, binary, three):
    """Through zpty, as users have it: compinit, a tab, what is listed."""
    cases = [words(case, three) for case, _ in CASES]
    lines = [" ".join(["musterctl", *(shlex.quote(w) if w else ""
                                      for w in case)]) for case in cases]
    script = r"""
zmodload zsh/zpty
zpty -b z zsh -f -i
z() { zpty -w z "$1" }
z 'PS1= PS2= PROMPT= RPROMPT=; unsetopt zle_bracketed_paste 2>/dev/null'
z "fpath=($1 \$fpath); autoload -U compinit; compinit -u -d $2/dump"
z 'zstyle ":completion:*" list-packed false'
z 'compadd() {
	local -a __found
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
		builtin compadd "$@"; return
	fi
	builtin compadd -A __found "$@"
	builtin compadd "$@"
	print -rl -- MATCH-$^__found >>'$2'/found
}'
z 'bindkey "^I" complete-word; LISTMAX=0; unsetopt automenu; echo re""ady'
zpty -r -m z line '*ready*'
for line in "${(f)$(<$2/lines)}"; do
	print -r -- "LINE" >>$2/found
	zpty -w -n z "$line"$'\t'
	zpty -w -n z $'\C-u'"print -r done >$2/done"$'\n'
	repeat 500; do
		[[ -e $2/done ]] && break
		sleep 0.02
		zpty -r -t z ignored
	done
	rm -f $2/done
done
"""
    (place / "lines").write_text("\n".join(lines) + "\n")
    subprocess.run(
        ["zsh", "-f", "-c", script, "zsh", str(FOLDER), str(place)],
        cwd=place, env=env(place, binary), check=True, timeout=150)
    parts = (place / "found").read_text().split("LINE\n")[1:]
    assert len(parts) == len(lines)
    problems = []
    for (case, wanted), part in zip(CASES, parts):
        found = {line[6:].rstrip("=") for line in part.splitlines()
                 if line.startswith("MATCH-")}
        wanted = {w.replace(" ", "\\ ") for w in wanted}
        if wanted != found - {""}:
            problems.append((case, wanted, found))
    assert problems == []
