"""What musterd -n and a start say of a configuration."""

import json
import os
import re
import socket
import subprocess

import pytest

import cases
import harness


def table(rows):
    return pytest.mark.parametrize("case", rows.values(), ids=rows.keys())


def yaml_or_json(document):
    """File name and text of a document of the tables."""
    return {"name": "a.json" if isinstance(document, dict) else "a.yaml",
            "text": cases.write(document)}


# --- what is right ---


@table(cases.ACCEPTED)
def test_accepted(check, case):
    result = check(json.dumps(case))
    assert (result.stdout, result.code) == ("configuration OK\n", 0)


@table(cases.ACCEPTED_TEXTS)
def test_accepted_text(check, case):
    name, text = case
    result = check(text, name=name)
    assert (result.stdout, result.code) == ("configuration OK\n", 0)


# --- what is wrong ---


@table(cases.REJECTED)
def test_rejected(check, case):
    document, text, *code = case
    code = code[0] if code else 5
    file = yaml_or_json(document)
    result = check(**file)
    assert text in result.lines[0]
    assert re.match(rf"{file['name']}:\d+:\d+: ", result.lines[0])
    assert result.code == code
    assert not any(line.startswith("[") for line in result.lines)
    # A start says the same of the first error, and starts nothing.
    start = check(None, "-q", name=file["name"])
    assert start.stdout == f"[ERROR] {result.lines[0]}\n"
    assert start.code == code


@table(cases.WARNINGS)
def test_warnings(check, case):
    document, text = case
    file = yaml_or_json(document)
    result = check(**file)
    assert result.lines[0].startswith(f"{file['name']}:")
    assert text in result.lines[0]
    assert result.code == 5
    start = check(None, "-q", name=file["name"])
    assert start.lines[0].startswith(f"[WARNING] {file['name']}:")
    assert text in start.lines[0]
    assert start.code == 0


@table(cases.SYNTAX)
def test_syntax(check, case):
    name, data, text = case
    result = check(data, name=name)
    assert result.stdout.startswith(name + text)
    assert len(result.lines) == 1
    kind = "YAML or JSON file" if "yaml" in name else \
        "JSON file" if "json" in name else "Procfile"
    assert result.stdout.endswith(f"{name} is not a valid {kind}.\n")
    assert result.code == 3
    start = check(None, "-q", name=name)
    assert (start.stdout, start.code) == (result.stdout, 3)


def test_all_errors_are_listed_up_to_20(check):
    document = {"processes": {f"j{i}": {"command": "x", "nice": 99}
                              for i in range(30)}}
    result = check(json.dumps(document, indent=1))
    assert len(result.lines) == 20
    for i, line in enumerate(result.lines):
        assert line == (f"a.json:{5 + 4 * i}:12: processes.j{i}.nice: want a "
                        "number -20 to 19, got 99")
    assert len(check(None, "-q").lines) == 1


def test_one_mistake_is_one_line(check):
    document = {"processes": {"a": "sleep 1"}}
    assert check(json.dumps(document)).lines == [
        "a.json:1:21: processes.a: want a mapping, got string"]


def test_all_errors_of_after(check):
    result = check("""processes:
  a: {command: x, after: a}
  b: {command: x, after: {nobody: exited, c: started}}
  c: {command: x, after: [d, bb, e]}
  d: {command: x, after: [b, c]}
  e: {command: x, after: [a, h]}
  f: {command: x, after: [g]}
  g: {command: x, after: [f, default.g]}
  hh: {command: x}
""", name="a.yaml")
    assert [line.removeprefix("a.yaml:") for line in result.lines] == [
        '3:27: processes.b.after: no job "nobody"',
        '4:30: processes.c.after: no job "bb"',
        '6:30: processes.e.after: no job "h"',
        "2:26: processes.a.after: a cycle: a -> a",
        "3:43: processes.b.after: a cycle: b -> c -> d -> b",
        "4:27: processes.c.after: a cycle: c -> d -> c",
        "7:27: processes.f.after: a cycle: f -> g -> f",
        "8:30: processes.g.after: a cycle: g -> g"]
    assert result.code == 5


def test_many_cycles(check):
    """Each with each other: only so many are looked for."""
    names = [f"j{i}" for i in range(300)]
    result = check(json.dumps({"processes": {
        name: {"command": "x", "after": names} for name in names}}))
    assert len(result.lines) == 20
    assert all(" -> " in line for line in result.lines)


def test_warnings_do_not_hide_an_error(check):
    document = {f"unknown{i}": i for i in range(100)}
    document["processes"] = {"a": {"command": "x", "nice": 99}}
    start = check(json.dumps(document), "-q")
    assert start.stdout.startswith("[ERROR] a.json:1:")
    assert "processes.a.nice: want a number" in start.stdout
    assert start.code == 5


@pytest.mark.parametrize("key", ["comand", "ExecStart", "argumnets"])
def test_a_start_tells_the_key_that_is_misspelt(check, key):
    """It has one line, and warnings are not in it."""
    start = check(json.dumps({"processes": {"a": {"user": "0", key: "x"}}}),
                  "-q")
    assert (start.code, len(start.lines)) == (5, 1)
    assert re.search(f'process a. \\({key}: did you mean "(command|arguments)"',
                     start.stdout)


def test_n_tells_the_code_of_a_start(check):
    """An unknown key alone is none; what a start ends with comes first."""
    assert check('{"proceses": {}}').code == 4
    assert check('{"zzz": 1, "http": {"enabled": true, "port": 70000}, '
                 '"processes": {}}').code == 1


def test_a_key_of_another_tool_shows_its_place(check):
    result = check('processes:\n  a:\n    command: x\n    autorestart: true\n',
                   name="a.yaml")
    assert result.stdout == ('a.yaml:4:5: processes.a.autorestart: unknown '
                             'key (did you mean "restart"?)\n')


# --- pymanager's exit codes and texts ---


def test_not_found(check):
    for args in (("-n",), ("-q",)):
        result = check(None, *args, name="nowhere.json")
        assert result.stdout == "Cannot find file nowhere.json.\n"
        assert result.code == 1


@pytest.mark.parametrize("kind, reason", [
    ("directory", "Not a regular file"), ("fifo", "Not a regular file"),
    ("socket", "No such device or address"), ("loop", "Too many levels of "
                                              "symbolic links")])
def test_unreadable(check, tmp_path, kind, reason):
    path = tmp_path / "a.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
    else:
        path.symlink_to("a.json")
    for args in (("-n",), ("-q",)):
        result = check(None, *args)
        assert result.stdout == f"Error while loading file a.json: {reason}.\n"
        assert result.code == 2


@pytest.mark.parametrize("directory", ["/dev/fd", "/proc/self/fd"])
def test_a_pipe_of_the_shell(directory):
    """musterd -f <(...): it is there, and no file."""
    reader, writer = os.pipe()
    try:
        name = f"{directory}/{reader}"
        done = subprocess.run([harness.MUSTERD, "-n", "-f", name],
                              pass_fds=(reader,), stdout=subprocess.PIPE,
                              encoding="utf-8", check=False)
    finally:
        os.close(reader)
        os.close(writer)
    assert (done.returncode, done.stdout) == (
        2, f"Error while loading file {name}: Not a regular file.\n")


def test_a_file_that_cannot_be_read_to_its_end(check):
    result = check(None, name="/proc/self/mem")
    assert (result.code, result.stdout, result.stderr) == (
        2, "Error while loading file /proc/self/mem: Input/output error.\n",
        "")


def test_no_permission(as_user):
    with harness.Musterd({"processes": {}}, user=as_user, strict=False,
                         http=False) as m:
        m.wait()
        m.file.chmod(0)
        m.start()
        assert m.wait() == 2
        assert m.stdout_text().endswith(
            f"Error while loading file {m.file}: Permission denied.\n")


@pytest.mark.needs_root
def test_root_does_not_trust_a_file_of_others(check, tmp_path):
    check('{"processes": {}}')
    (tmp_path / "a.json").chmod(0o664)
    result = check(None)
    assert result.stdout == ("Error while loading file a.json: Others than "
                             "its owner may write to it.\n")
    assert result.code == 2


@pytest.mark.parametrize("text", ["{}", '{"http": {"enabled": false}}'])
def test_no_processes(check, text):
    start = check(text, "-q")
    assert start.stdout == ("[ERROR] No processes listed in the "
                            "configuration file.\n")
    assert start.code == 4
    result = check(None)
    assert result.stdout == ("a.json:1:1: No processes listed in the "
                             "configuration file.\n")
    assert result.code == 4


def test_bad_option(check):
    result = check("{}", "--no-such-option")
    assert "usage: musterd" in result.stderr
    assert (result.stdout, result.code) == ("", 2)


def test_the_port_is_in_use(check):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        result = check(json.dumps({"http": {"enabled": True, "port": port},
                                   "processes": {}}), "-q")
    assert result.stdout.startswith("[ERROR] a.json:1:")
    assert f"port {port}: Address already in use" in result.stdout
    assert result.code == 1


def test_set_up_fails(check):
    result = check('{"processes": {"a": {"executable": "/nonexistent/x", '
                   '"arguments": []}}}', "-q")
    assert ("[ERROR] could not set up processes: FileNotFoundError: [Errno 2]"
            " No such file or directory: '/nonexistent/x'") in result.stdout
    assert result.code == 5


@pytest.mark.needs_root
@pytest.mark.parametrize("user, why", [
    ("no-such-user", "no such user"), ("no-such-user\n    group: root",
                                       "no such user"),
    (3999999999, "a number that the system does not know needs group beside "
     "it")])
def test_no_such_user(check, user, why):
    """Also where the first that wants the user is the file for output."""
    name = str(user).split("\n", maxsplit=1)[0]
    result = check("processes:\n  a:\n    command: x\n    redirect-output: "
                   f"log\n    user: {user}\n", name="a.yaml")
    assert (result.stdout, result.code) == (
        f'a.yaml:5:11: processes.a.user: "{name}": {why}\n', 5)


@pytest.mark.needs_root
def test_a_number_without_a_user(check):
    assert check("processes: {a: {command: x, user: 3999999999, group: 0}}",
                 name="a.yaml").code == 0


# --- pymanager's quirks ---


@pytest.mark.parametrize("token", ["hunter2", 31337, ["hunter2"],
                                   {"hunter2": "31337"}, "SHA256:hunter2"])
def test_tokens_are_never_shown(check, tmp_path, token):
    (tmp_path / "tokens.json").write_text(json.dumps(
        {"ci": {"role": "read", "token": token}}))
    result = check(json.dumps(cases.top(http={"tokens": "tokens.json"})))
    assert result.code == 5
    assert "ci.token: want " in result.stdout
    assert "hunter2" not in result.stdout and "31337" not in result.stdout


def test_q1_nothing_to_do_ends_at_once(check):
    assert check('{"processes": {}}', "-q").code == 0


def test_q1_nothing_to_do_stays_with_keep_alive(musterd):
    m = musterd({"keep_alive": True, "processes": {}})
    m.wait_status("running")
    assert m.get("/").json() == {"count": 0, "processes": []}


@pytest.mark.parametrize("key", ["keep-alive", "keep_alive"])
def test_q2_both_spellings(musterd, key):
    m = musterd({key: True, "processes": {
        "a": {"executable": "true", "arguments": []}}})
    m.wait_status("running")
    harness.wait_for("its end", lambda: m.processes()[0]["status"] ==
                     "terminated")
    assert m.running()


@pytest.mark.parametrize("order", [1, -1])
def test_q2_the_underscore_wins(check, order):
    keys = [("keep-alive", True), ("keep_alive", False)][::order]
    result = check(json.dumps({**dict(keys), "processes": {}}), "-q")
    assert ("keep-alive: given twice, with - and with _: the one with _ "
            "counts") in result.stdout
    assert result.code == 0


@pytest.mark.parametrize("shell", [True, "sh", "bash"])
def test_q5_the_shell_gets_all_words(check, shell):
    result = check(json.dumps({"processes": {"a": {
        "executable": "echo", "arguments": ["$A$B", "|", "tr", "x", "y;",
                                            "echo", "*.json"],
        "options": {"shell": shell}, "environment": {"A": "x", "B": "x"}}}}),
        "-q")
    assert result.stdout == ("$ echo $A$B | tr x y; echo *.json\n"
                             "yy\na.json\n")


def test_q5_default_shell_false_means_none(check):
    result = check('{"default_shell": false, "processes": {"a": {"executable":'
                   ' "echo", "arguments": ["$A"], "options": {"shell": true}'
                   '}}}', "-q")
    assert result.stdout == "$ echo $A\n$A\n"


def test_q8_no_graceful_time(musterd):
    m = musterd({"graceful_time": "soon", "processes": {
        "a": {"executable": "sleep", "arguments": ["100"]}}})
    m.wait_status("running")
    assert m.wait_text(
        r"invalid graceful_time 'soon', must be a positive number\.")


def test_q19_a_list(check):
    assert check("[]", "-q").code == 3
    result = check('{"processes": []}', "-q")
    assert "processes: want a mapping, got list" in result.stdout
    assert result.code == 5


def test_duplicates_have_the_last_value_at_the_first_place(check):
    result = check('{"processes": {\n'
                   ' "a": {"executable": "echo", "arguments": ["1"]},\n'
                   ' "b": {"executable": "echo", "arguments": ["2"]},\n'
                   ' "a": {"executable": "echo", "arguments": ["3"]}}}', "-q")
    assert result.lines[0] == (
        '[WARNING] a.json:4:2: duplicate key "a", first on line 2: the last '
        'value counts')
    assert [line for line in result.lines if line[0] == "$"] == [
        "$ echo 3", "$ echo 2"]
    assert result.code == 0
    assert check(None).code == 5


# --- includes ---


def include(tmp_path, **files):
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)


def test_include(check, tmp_path):
    (tmp_path / "sub").mkdir()
    include(tmp_path / "sub", one="include: two.yaml\nx-y: 1\n"
            "processes: {b: {command: echo b}}",
            two="processes: {c: {command: echo c, verify: exited}}")
    result = check("processes: {a: {command: echo a, verify: exited}}\n"
                   "include: sub/one.yaml", "-q", name="a.yaml")
    assert [line for line in result.lines if line[0] == "$"] == [
        "$ echo a", "$ echo c", "$ echo b"]
    assert result.code == 0


def test_include_alone(check, tmp_path):
    include(tmp_path, one="processes: {}")
    assert check("include: [one.yaml]", name="a.yaml").code == 0


def test_an_error_in_an_included_file(check, tmp_path):
    include(tmp_path, one="processes:\n  a: {command: x, nice: 99}")
    result = check("include: one.yaml", name="a.yaml")
    assert result.stdout == (f"{tmp_path}/one.yaml:2:25: processes.a.nice: "
                             "want a number -20 to 19, got 99\n")
    assert result.code == 5


@pytest.mark.parametrize("files, text", [
    ({"one": "include: one.yaml"},
     "/one.yaml:1:10: include: {0}/one.yaml is included twice"),
    ({"one": "include: two.yaml", "two": "include: one.yaml"},
     "/two.yaml:1:10: include: {0}/one.yaml is included twice"),
    ({}, "a.yaml:1:11: include[0]: cannot read {0}/one.yaml: No such file or "
     "directory"),
    ({"one": "keep-alive: true"}, "/one.yaml:1:1: keep-alive: an included "
     "file has processes, modules and include only"),
    ({"one": "prcesses: {}"}, '/one.yaml:1:1: prcesses: unknown key (did you '
     'mean "processes"?)'),
    ({"one": "processes: {a: {command: x}}"},
     "processes.a: the name is given twice"),
    ({"one": "["}, "/one.yaml is not a valid YAML or JSON file."),
], ids=["itself", "each other", "nothing", "another key", "an unknown key",
        "the same job", "no YAML"])
def test_bad_includes(check, tmp_path, files, text):
    include(tmp_path, **files)
    result = check("include: [one.yaml]\nprocesses: {a: {command: x}}",
                   name="a.yaml")
    assert text.format(tmp_path) in result.lines[0]
    assert result.code == (3 if text.endswith("file.") else 5)


def test_output_to_an_included_file(check, tmp_path):
    include(tmp_path, one="processes:\n  a: {command: x, redirect-output: "
            "two.yaml}", two="processes: {}")
    result = check("include: [one.yaml, two.yaml]", name="a.yaml")
    assert result.stdout == (f"{tmp_path}/one.yaml:2:36: processes.a: its "
                             "output file is the configuration\n")
    assert result.code == 5


@pytest.mark.parametrize("option", ["-l", "-p"])
@pytest.mark.parametrize("name", ["a.json", "link", "hard"])
def test_the_configuration_is_not_written_to(check, tmp_path, option, name):
    text = '{"processes": {}}'
    path = tmp_path / "a.json"
    path.write_text(text)
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    for more in ("-n",), ("-q",):
        result = check(None, option, name, *more)
        assert (result.code, result.stdout, result.stderr) == (
            2, "", f"musterd: {option} {name}: this is the configuration\n")
    assert path.read_text() == text
    assert check(None, option, "other", "-q").code == 0


def test_included_file_is_not_written_to(tmp_path):
    """By -l, nor over links that no path tells of."""
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "over").symlink_to(real)
    (real / "inc.yaml").write_text("processes: {}")
    for text, args in (
            ("include: [inc.yaml]\nprocesses: {}", ["-l", str(real / "inc.yaml")]),
            ("processes: {a: {command: 'sleep 4000', redirect-output: "
             f"'{tmp_path}/over/m.yaml'}}}}", [])):
        (real / "m.yaml").write_text(text)
        done = subprocess.run(
            [harness.OBJ / "sbin/musterd", "-f", real / "m.yaml", *args],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", timeout=30)
        assert done.returncode in (1, 5)
        assert "It is the configuration" in done.stdout
        assert (real / "m.yaml").read_text() == text
    assert (real / "inc.yaml").read_text() == "processes: {}"


def test_the_number_of_an_old_configuration(musterd):
    """A file that has it by chance is no configuration: editors replace."""
    m = musterd({"keep_alive": True, "processes": {
        "a": harness.sh("exec sleep 4000", redirect_output="log")}})
    m.wait_status()
    old = m.file.with_suffix(".old")
    m.file.rename(old)
    m.file.write_text(old.read_text())
    (m.dir / "log").unlink()
    old.rename(m.dir / "log")   # the number of the one that was read
    assert m.post("/restart/1").json()["success"]


def test_included_many_times(tmp_path):
    """Eight levels of ten would be a hundred million files."""
    names = [f"f{i}" for i in range(9)]
    for name, below in zip(names, names[1:]):
        include(tmp_path, **{
            name: f"include: [{', '.join([below + '.yaml'] * 10)}]"})
    code, _, seconds, _ = measure(tmp_path, "f0.yaml")
    assert code == 5
    assert harness.SAN or seconds < 2


# --- files that are made to hurt ---


def letters(n, body):
    return b"".join(body % {b"i": b"%06d" % i} for i in range(n))


BOMB = b"x-0: &b0 [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"x-%d: &b%d [%s]\n" % (i, i, b", ".join([b"*b%d" % (i - 1)] * 9))
    for i in range(1, 12)) + b"processes: {}\n"

ABUSES = {
    "deep JSON": ("a.json", b'{"processes": ' + b"[" * 100000, 3,
                  "nested deeper than 64 levels"),
    "deep objects": ("a.json", b'{"a":' * 100000, 3, "nested deeper than 64"),
    "deep YAML": ("a.yaml", b"processes: " + b"[" * 100000, 3,
                  "nested deeper than 64 levels"),
    "deep mappings": ("a.yaml", b"processes: " + b"{a: " * 100000, 3,
                      "nested deeper than 64 levels"),
    "alias bomb": ("a.yaml", BOMB, 3, "too many nodes (alias bomb?)"),
    "merge bomb": ("a.yaml", BOMB.replace(b"[", b"{<<: [").replace(
        b"]", b"]}"), 3, ""),
    "unknown keys": ("a.json", b'{"processes": {}' + letters(
        500000, b', "sart-par%(i)s": 0') + b"}", 5, "unknown key"),
    "wrong values": ("a.json", b'{"processes": {"a": {"executable": "x", '
                     b'"arguments": [' + b"[]," * 900000 + b'[]]}}}', 5,
                     "arguments[0]: want a string, got list"),
    "wrong limits": ("a.json", b'{"processes": {"a": {"command": "x", '
                     b'"limits": {' + letters(300000, b'"nofi%(i)s": 0,') +
                     b'"x": 0}}}}', 5, "unknown limit"),
    "a long word in many jobs": (
        "a.yaml", b"x-a: &a ['" + b"y" * 120000 + b"']\nprocesses:\n" +
        letters(10000, b"  j%(i)s: {executable: x, arguments: *a}\n"), 5,
        "the configuration is too large: more than 64 MiB"),
    "a long word, many times": (
        "a.yaml", b"x-a: &a '" + b"y" * 120000 + b"'\nprocesses: {a: "
        b"{executable: x, arguments: [" + b"*a, " * 20000 + b"x]}}", 5,
        "the configuration is too large"),
    "environments": (
        "a.yaml", b"x-a: &a\n" + letters(60, b"  V%(i)s: " + b"z" * 100 +
                                         b"\n") + b"processes:\n" + letters(
            15000, b"  j%(i)s: {command: x, environment: *a}\n"), 5,
        "the configuration is too large"),
    "a large argument of a class": (
        "a.yaml", b"x-a: &a '" + b"y" * 1000000 + b"'\nmodules: {m: "
        b"{verifiers: [V]}}\nprocesses: {a: {command: x, verifier: {type: m.V,"
        b" arguments: {x: [" + b"*a, " * 2000 + b"x]}}}}", 5,
        "arguments of more than 131071 bytes"),
    "replacements": (
        "a.yaml", b"expand: true\nprocesses: {a: {command: \"" +
        b"${LARGE}" * 50000 + b"\"}}", 5, "too long with its ${"),
    "replacements in many jobs": (
        "a.yaml", b"expand: true\nx-a: &a \"" + b"${LARGE}" * 10 +
        b"\"\nprocesses:\n" + letters(15000, b"  j%(i)s: {command: *a}\n"), 5,
        "the configuration is too large"),
    "a long list of after": (
        "a.yaml", b"x-a: &a [" + letters(60, b"u%(i)s, ") + b"u]\nprocesses:\n"
        + letters(15000, b"  j%(i)s: {command: x, after: *a}\n"), 5, ""),
    "after nobody": (
        "a.json", b'{"processes": {' + letters(
            16000, b'"j%(i)s": {"command": "x", "after": ["jj%(i)s"]},') +
        b'"j": {"command": "x"}}}', 5, 'after: no job "jj000000" (did you '
        'mean "j000000"?)'),
    "a long cycle": (
        "a.json", json.dumps({"processes": {f"j{i}": {
            "command": "x", "after": f"j{(i + 1) % 16000}"}
            for i in range(16000)}}).encode(), 5, " -> ... -> j0"),
    "a long chain": (
        "a.json", json.dumps({"processes": {f"j{i}": {
            "command": "x", "after": [f"j{i + 1}"] if i < 15999 else []}
            for i in range(16000)}}).encode(), 0, "configuration OK"),
    "many jobs": ("a.json", b'{"processes": {' + letters(
        16385, b'"%(i)s": {"command": "x"},') + b'"x": {}}}', 5,
        "more than 16384 jobs"),
    "16 MiB": ("a.json", b'{"processes": {}, "x-a": "' + b"a" * (
        (16 << 20) - 28) + b'"}', 0, "configuration OK"),
    "16 MiB and a byte": ("a.json", b" " * ((16 << 20) + 1), 2,
                          "Error while loading file a.json: File too large."),
    "a long Procfile": ("Procfile", letters(16382, b"j%(i)s: x y\n"), 0,
                        "configuration OK"),
}


def measure(tmp_path, name):
    """musterd -n: exit code, output, processor seconds and KiB at most."""
    out = tmp_path / "out"
    with open(out, "wb") as f:
        child = subprocess.Popen(
            [harness.MUSTERD, "-n", "-f", name], cwd=tmp_path,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path),
                 "LARGE": "x" * 10000},
            stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return (child.returncode, out.read_text(encoding="utf-8"),
            usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


@table(ABUSES)
def test_abuse(tmp_path, case):
    name, data, code, text = case
    (tmp_path / name).write_bytes(data)
    result, stdout, seconds, size = measure(tmp_path, name)
    assert text in stdout.split("\n")[0]
    assert result == code
    assert 1 <= stdout.count("\n") <= 20 and len(stdout) < 16384
    if not harness.SAN:
        assert seconds < 2
        assert size < 200 * 1024


def test_a_file_of_100_mib(tmp_path):
    with open(tmp_path / "a.json", "wb") as f:
        f.truncate(100 << 20)
    result, stdout, seconds, size = measure(tmp_path, "a.json")
    assert (result, stdout) == (2, "Error while loading file a.json: File too "
                                "large.\n")
    assert harness.SAN or (seconds < 2 and size < 200 * 1024)
