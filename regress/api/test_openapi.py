"""etc/openapi.json says what the code does."""

import json
import re

from harness import ROOT, job


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
        for method in allow.split(","):
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
