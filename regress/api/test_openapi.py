"""etc/openapi.json says what the code does."""

import json
import re

import jsonschema
import pytest

from harness import ROOT, job, sh, wait_for


def document():
    return json.loads((ROOT / "etc/openapi.json").read_text())


def routes():
    """(path, method) of each route of httpd/route.c."""
    text = (ROOT / "httpd/route.c").read_text()
    found = set()
    for words, allow in re.findall(
            r'\{\{((?:"[^"]*", )*NULL|NULL)\},[^"]*"([A-Z,]+)"', text):
        path = "/" + "/".join(
            "*" if w == "*" else w for w in re.findall(r'"([^"]*)"', words))
        for method in allow.replace(",HEAD", "").split(","):
            found.add((path, method.lower()))
    return found


def test_the_same_set_of_routes():
    described = set()
    for path, methods in document()["paths"].items():
        for method in methods:
            described.add((re.sub(r"\{[^}]*\}", "*", path), method))
    assert described == routes()
    assert len(described) > 8


def test_the_page_names_them():
    """muster-api(7) has each method, path and parameter of the query."""
    page = (ROOT / "httpd/muster-api.7").read_text().replace("\\\n", "")
    shown = {(path, method.lower()): set(re.findall(r"Op Cm (\w+)", rest))
             for method, path, rest in re.findall(
                 r"^\.It Cm ([A-Z]+) Pa (\S+)(.*)$", page, re.M)}
    assert shown == {
        (path, method): {p["name"] for p in operation.get("parameters", [])
                         if p["in"] == "query"}
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()}


def test_each_answers(musterd):
    m = musterd({"keep_alive": True,
                 "processes": {"a": job("sleep", "1000")}})
    m.wait_status()
    for path, methods in document()["paths"].items():
        path = path.replace("{stream}", "stdout").replace("{id}", "1")
        if "get" in methods:
            assert m.get(path).status == 200, path
        else:
            assert m.get(path).status == 405, path
        assert m.request("PATCH", path).status == 405, path
    assert m.get("/v1/nothing").json()["code"] == "not-found"


def test_it_is_served(musterd):
    m = musterd({"keep_alive": True, "processes": {}})
    m.wait_status()
    assert m.get("/v1/openapi.json").json() == document()


# --- the schemas ---


def valid(schema, value):
    """It is as the document says, and the document says all of it."""
    d = document()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(
        {**schema, "components": d["components"]},
        format_checker=jsonschema.FormatChecker()).validate(value)


def answer(path, status="200", type_="application/json"):
    said = document()["paths"][path]["get"]["responses"][status]
    return said["content"][type_]["schema"]


def test_states():
    text = (ROOT / "manager/feed.c").read_text()
    assert document()["components"]["schemas"]["State"]["enum"] == \
        re.findall(r'\[STATE_\w+\] = "(\w+)"', text)


@pytest.fixture
def many(musterd):
    """Processes in many states."""
    m = musterd({"keep_alive": True, "processes": {
        "code": sh("exit 3", verify={"exited": 3}),
        "signal": sh("kill -USR1 $$", verify={"exited": -10}),
        "verified": sh("echo a; printf '\\377\\n'; echo c >&2; touch up; "
                       "exec sleep 4000", verify={"file": "up"},
                       stderr="show"),
        "before": sh("exec sleep 4000", verify={"file": "go"},
                     working_directory="/"),
        "after": job("sleep", "4000", after="before"),
        "later": job("sleep", "4000", after="after")}})
    m.wait_status("launching processes")
    wait_for("them", lambda: {
        "waiting", "starting", "running", "exited"} <= {
            p["state"] for p in m.get("/v1/processes").json()["processes"]})
    return m


def test_processes(many):
    rows = many.get("/v1/processes").json()
    assert any(p["exit"] and "signal" in p["exit"] for p in rows["processes"])
    valid(answer("/v1/processes"), rows)
    for p in rows["processes"]:
        one = many.get(f"/v1/processes/{p['id']}").json()
        valid(answer("/v1/processes/{id}"), one)
        assert set(one) == set(p)
    for line in many.get("/v1/processes", headers={
            "Accept": "application/x-ndjson"}).text.splitlines():
        valid(answer("/v1/processes", type_="application/x-ndjson"),
              json.loads(line))


def test_the_rest(many):
    valid(answer("/v1"), many.get("/v1").json())
    got = many.get("/v1/ready")
    assert got.status == 503
    valid(answer("/v1/ready", "503", "application/problem+json"), got.json())
    (many.dir / "go").touch()
    wait_for("all", lambda: many.get("/v1/ready").status == 200)
    valid(answer("/v1/ready"), many.get("/v1/ready").json())
    rows = {p["name"]: p for p in many.get("/v1/processes").json()["processes"]}
    one = rows["default.verified"]["id"]
    wait_for("its output", lambda: "c" in many.get(
        f"/v1/processes/{one}/streams/stderr").text)
    path = "/v1/processes/{id}/streams/{stream}"
    kinds = set()
    for stream in 1, 2:
        for line in many.get(f"/v1/processes/{one}/streams/{stream}", headers={
                "Accept": "application/x-ndjson"}).text.splitlines():
            valid(answer(path, type_="application/x-ndjson"), json.loads(line))
            kinds |= set(json.loads(line))
    assert kinds >= {"data", "data_b64", "generation"}


def said(path, method, got):
    """What the document says of that answer."""
    d = document()
    responses = d["paths"][path][method]["responses"]
    one = responses.get(str(got.status), responses.get("default"))
    if "$ref" in one:
        one = d["components"]["responses"][one["$ref"].rsplit("/", 1)[1]]
    type_ = got.headers["Content-Type"].split(";")[0]
    return one["content"][type_]["schema"]


@pytest.mark.parametrize("path, query, method, status", [
    ("/", "", "get", 200), ("/status", "", "get", 200),
    ("/restart/{id}", "/restart/1", "post", 200),
    ("/restart/{id}", "/restart/x", "post", 400),
    ("/restart/{id}", "/restart/99", "post", 404),
    ("/v1/ready", "/v1/ready?wait=x", "get", 400),
    ("/v1/processes", "/v1/processes?job=none", "get", 404),
    ("/v1/processes", "/v1/processes?job=%zz", "get", 400),
    ("/v1/processes/{id}", "/v1/processes/99", "get", 404),
    ("/v1/processes/{id}/streams/{stream}", "/v1/processes/1/streams/3",
     "get", 404),
    ("/v1/processes/{id}/streams/{stream}", "/v1/processes/1/streams/1?tail=x",
     "get", 400), ("/", "", "delete", 200)])
def test_each_status(musterd, path, query, method, status):
    m = musterd({"keep_alive": True, "processes": {
        "a": job("sleep", "1000"), "b": sh("exit 3")}})
    m.wait_status()
    got = m.request(method.upper(), query or path)
    assert got.status == status
    valid(said(path, method, got), got.json())


def test_what_any_may_say(musterd):
    m = musterd({"keep_alive": True, "processes": {"a": job("sleep", "9")}})
    m.wait_status()
    got = m.get("/v1", headers={"Host": "example.org"})
    assert got.status == 403
    valid(said("/v1", "get", got), got.json())


def test_a_wrong_answer_is_seen():
    with pytest.raises(jsonschema.ValidationError):
        valid(answer("/v1"), {"name": "muster"})
