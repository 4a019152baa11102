"""The JSON Schema of the configuration: it is that of the program, it takes
what musterd takes, and what it refuses musterd refuses as well."""

import json
import random
import re
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


def verdicts(documents):
    """What musterd -n says of each: "OK" or an error."""
    said = subprocess.run(
        [harness.OBJ / "regress/config/prog_verdicts"], check=True,
        input="".join(json.dumps(d) + "\n" for d in documents),
        stdout=subprocess.PIPE, encoding="utf-8").stdout.split("\n")
    assert len(said) == len(documents) + 1
    return said[:-1]


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
    for kind in ({"exited": 0}, {"http": "http://a"}):
        yield "verify", top("verify"), lambda g, kind=kind: cases.doc(
            verify={**kind, **g})
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
    groups_ = {k for k, v in SCHEMA["$defs"].items() if "patternProperties" in v}
    assert looked == {"top", *groups_} - {"options"}
    # Options are keys of the job as well.
    job = SCHEMA["$defs"]["process"]["properties"]
    options = SCHEMA["$defs"]["options"]["properties"]
    assert {k: job[k] for k in options} == options


@pytest.mark.parametrize("group", list(groups()), ids=lambda g: g[0])
def test_what_it_refuses_musterd_refuses(group):
    _, keys, around = group
    documents = list(refused(keys, around))
    for document, text in zip(documents, verdicts(documents)):
        assert text.startswith("a.json:1:"), (document, text)
    assert len(documents) > 3


def test_keys_of_http_go_with_http_alone():
    """A key that is right, beside each kind: the schema and musterd agree."""
    kinds = {"http": "http://a", "http+unix": "/a", "tcp": 1, "unix": "/a",
             "exited": 0, "command": "x", "file": "x"}
    keys = {k: v for k, v in cases.HTTP_KEYS.items() if k != "ca"}
    keys |= {"path": "/x", "timeout": 1, "interval": 1, "attempt_timeout": 1,
             "attempt-timeout": 1}
    documents = [cases.doc(verify={kind: value, key: keys[key]})
                 for kind, value in kinds.items() for key in keys]
    said = [text == "OK" for text in verdicts(documents)]
    assert said == [VALIDATOR.is_valid(d) for d in documents]
    # Seven of two kinds, path, timeout of all, pauses of all but exited, and
    # of a file the pause alone.
    assert sum(said) == 7 * 2 + 1 + 7 + 3 * 6 - 2


@pytest.mark.parametrize("document", [
    {}, [], *(cases.doc(stop=name) for name in (
        "0", "65", "SIG15", "RTMIN+31", "RTMAX+1", " 1", "RTMINX")),
    {"processes": {"": cases.J}}, {"processes": {"a/b": cases.J}},
    {"include": 1}, {"processes": {"a": []}}, {"processes": []}],
    ids=json.dumps)
def test_odd_documents(document):
    assert not VALIDATOR.is_valid(document)
    assert verdicts([document])[0] != "OK"


# --- both ways: what it takes musterd takes, but for what it cannot know ---

# Files, users and other jobs; what excludes each other; texts with a grammar.
UNKNOWABLE = re.compile(r"cannot (read|look up)|no such user|no job \"|a cycle|"
                        r"exclude each other|Missing verifier |has no url|"
                        r"the URL |want (a|an) (URL|HOST:PORT|absolute)|"
                        r"name and value of a header|without effect|"
                        r"loopback|whoever reaches|no name of an env|"
                        r"want (a|of) (size|duration) of|at least 1 ms|"
                        r"verify(\[\d\])?\.[^:]*: |a quote is not closed|"
                        r"given twice|want a number, \"unlimited\"|"
                        r"a name has 1 to|larger than|is included twice|"
                        r"soft is more|"
                        r"an octal mask|command: Missing|"
                        r"duplicate key|emptied at each start")
TEXTS = ["", "x", "1s", "1.5 ms", "64k", "022", "TERM", "SIGint",
         "RTMIN+1", "sigrtmax-30", "RTMAX-31", "15", "65", "show",
         "join", "A=b", "process.exit", "verifier.failed", "5001", "70000",
         "127.0.0.1", "::1", "localhost:80", "http://localhost/", "200-299",
         "never", "always", "exited", "null", "unlimited", "verified",
         "pymutils.ExitedVerifier", "http_verifier.HttpOkVerifier", "/x"]
NUMBERS = [0, 1, 3, 15, 64, 100, 255, 5001, 65536, 1 << 33, -1, -5, 0.5, 2.5]
ANY = [None, True, False, [], {}, *NUMBERS, *TEXTS]


class Generator:
    """Small documents that the schema takes, most of them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.known = {}

    def value(self, schema, depth=0):
        if "$ref" in schema:
            return self.value(SCHEMA["$defs"][schema["$ref"][8:]], depth)
        if self.random.random() < 0.04:
            return self.random.choice(ANY)
        if "anyOf" in schema and "properties" not in schema:
            return self.value(self.random.choice(schema["anyOf"]), depth)
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type", "null")
        kind = self.random.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            return [self.value(schema.get("items", {"type": "string"}),
                               depth + 1)
                    for _ in range(self.random.randrange(4))]
        return self.random.choice(self.fitting(schema))

    def fitting(self, schema):
        key = json.dumps(schema)
        if key not in self.known:
            validator = jsonschema.Draft202012Validator(schema)
            self.known[key] = [v for v in ANY if validator.is_valid(v)] or [0]
        return self.known[key]

    def object(self, schema, depth):
        keys = schema.get("properties", {})
        some = sorted(keys)
        result = {k: self.value(keys[k], depth + 1) for k in self.random.sample(
            some, min(len(some), self.random.randrange(4)))}
        for key in schema.get("required", []):
            result.setdefault(key, self.value(keys[key], depth + 1))
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in self.random.sample(["a", "b", "x-c"], 2):
                result[name] = self.value(more, depth + 1)
        return result

    def document(self):
        document = self.object(SCHEMA, 0)
        job = self.object(SCHEMA["$defs"]["process"], 2)
        if self.random.random() < 0.9:
            job |= {"executable": "x", "arguments": []} \
                if self.random.random() < 0.5 else {"command": "x"}
        document["processes"] = {"a": job}
        return document


def test_both_ways():
    """Random documents: the schema and musterd -n say the same of each."""
    make = Generator(5001)
    documents = [make.document() for _ in range(20000)]
    taken = 0
    different = []
    for document, text in zip(documents, verdicts(documents)):
        valid = VALIDATOR.is_valid(document)
        taken += valid and text == "OK"
        if valid != (text == "OK") and (
                not valid or not UNKNOWABLE.search(text)):
            why = "" if valid else jsonschema.exceptions.best_match(
                VALIDATOR.iter_errors(document)).message
            different.append((json.dumps(document), why[:200], text))
    assert not different, f"{len(different)}: {different[:9]}"
    assert taken > 500
