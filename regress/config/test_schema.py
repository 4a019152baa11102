"""The JSON Schema of the configuration: it is that of the program, it takes
what musterd takes, and what it refuses musterd refuses as well."""

import json
import subprocess

import jsonschema
import pytest

import cases
import harness

FILE = harness.ROOT / "etc/schema/muster.schema.json"
SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# Of each kind, and at the edges of what numbers may be.
VALUES = [None, True, 0, -1, 1.5, 1 << 40, "", "x", "64KIB", "null", [], ["x"],
          [None], {}, {"x": 1}]
if harness.SAN:     # each start takes 20 times as long
    VALUES = VALUES[::4]


def as_json(path):
    """A YAML file as musterd reads it."""
    return json.loads(subprocess.run(
        [harness.OBJ / "regress/config/prog_json", path], check=True,
        stdout=subprocess.PIPE).stdout)


def test_it_is_the_one_of_the_program():
    program = harness.OBJ / "schema/schema"
    made = subprocess.run([program], check=True, stdout=subprocess.PIPE,
                          encoding="utf-8").stdout
    assert made == FILE.read_text(encoding="utf-8"), "run `make schema`"


def test_it_is_a_schema():
    VALIDATOR.check_schema(SCHEMA)


@pytest.mark.parametrize("case", cases.ACCEPTED.values(),
                         ids=cases.ACCEPTED.keys())
def test_accepted(case):
    VALIDATOR.validate(case)


@pytest.mark.parametrize("name", sorted(
    name for name, (file, _) in cases.ACCEPTED_TEXTS.items()
    if file != "Procfile"))
def test_accepted_text(tmp_path, name):
    file, text = cases.ACCEPTED_TEXTS[name]
    path = tmp_path / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    VALIDATOR.validate(as_json(path))


@pytest.mark.parametrize("path", sorted(
    str(p.relative_to(harness.ROOT)) for p in
    (harness.ROOT / "etc").rglob("*") if p.suffix in (".yaml", ".json") and
    (p.parent.name != "schema" and p.name != "openapi.json")))
def test_examples(path):
    VALIDATOR.validate(as_json(harness.ROOT / path))


@pytest.mark.parametrize("name", sorted(
    name for name, (_, text) in cases.WARNINGS.items()
    if "unknown key" in text))
def test_unknown_keys_are_refused(name):
    assert not VALIDATOR.is_valid(cases.WARNINGS[name][0])


# --- what it refuses ---


def groups():
    """Each group of keys: its name, its keys, and a document around it."""
    def top(name):
        return SCHEMA["$defs"][name]["properties"]

    yield "top", SCHEMA["properties"], lambda g: {"processes": {}, **g}
    yield "http", top("http"), lambda g: cases.top(http=g)
    yield "tls", top("tls"), lambda g: cases.top(http={"tls": {
        "certificate": "c", "key": "k", **g}})
    yield "process", top("process"), lambda g: {"processes": {
        "a": {"command": "x", **g}}}
    for name in ("backoff", "start-limit", "verifier"):
        yield name, top(name), lambda g, name=name: cases.doc(**{name: g})
    yield "stop", top("stop"), lambda g: cases.doc(stop=g)
    yield "output", top("output"), lambda g: cases.doc(
        stdout={"file": "x", **g})
    yield "verify", top("verify"), lambda g: cases.doc(
        verify={"exited": 0, **g})
    yield "module", top("module"), lambda g: cases.top(
        modules={"m": {"verifiers": [], **g}})
    for name in ("HttpOkVerifier", "ExitedVerifier"):
        yield name, top(name), lambda g, name=name: cases.doc(verifier={
            "type": f"pymutils.{name}", "arguments": g})


def refused(keys, around):
    """All documents with one value of one key that the schema refuses."""
    for key in keys:
        for value in VALUES:
            document = around({key: value})
            if not VALIDATOR.is_valid(document):
                yield document
    for key in ("unknown", "Command", "timeout ", "x"):
        document = around({key: 1})
        assert not VALIDATOR.is_valid(document)
        yield document


def test_all_groups_are_looked_at():
    looked = {name for name, _, _ in groups()}
    assert looked == {"top", *SCHEMA["$defs"]} - {"options"}
    # Options are keys of the job as well.
    job = SCHEMA["$defs"]["process"]["properties"]
    options = SCHEMA["$defs"]["options"]["properties"]
    assert {k: job[k] for k in options} == options


@pytest.mark.timeout(180)
@pytest.mark.parametrize("group", list(groups()), ids=lambda g: g[0])
def test_what_it_refuses_musterd_refuses(check, group):
    _, keys, around = group
    n = 0
    for document in refused(keys, around):
        result = check(json.dumps(document))
        assert result.code != 0, document
        assert result.stdout.startswith("a.json:1:"), document
        n += 1
    assert n > 3


@pytest.mark.parametrize("document", [
    {}, [], {"processes": {"": cases.J}}, {"processes": {"a/b": cases.J}},
    {"include": 1}, {"processes": {"a": []}}, {"processes": []}],
    ids=json.dumps)
def test_odd_documents(check, document):
    assert not VALIDATOR.is_valid(document)
    assert check(json.dumps(document)).code != 0
