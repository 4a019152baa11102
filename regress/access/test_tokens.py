"""Bearer tokens: roles, scopes, what is told of them, and what is refused."""

import contextlib
import hashlib
import http.client
import json
import re
import signal
import subprocess
import time

import pytest

from certificates import Authority
from harness import MUSTERCTL, PYTHON, SLOW, job, wait_for

KEEP = {"keep_alive": True, "graceful_time": 2}
JOBS = {"web": job("sleep", "1000"), "db": job("sleep", "1001"),
        "webby": job("sleep", "1002")}
NOBODY = 65534


def entry(token, role, **more):
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {"role": role, "token": f"SHA256:{digest}", **more}


TOKENS = {
    "reader": entry("muster_r", "read"),
    "ci": entry("muster_o", "operate"),
    "boss": entry("muster_a", "admin"),
    "web-only": entry("muster_w", "admin", scope=["default.web"]),
    "all-of-it": entry("muster_s", "admin", scope=["default"]),
    "elsewhere": entry("muster_e", "admin", scope=["other", "web"]),
}


@pytest.fixture
def start(musterd, tmp_path):
    def run(tokens=None, **more):
        file = tmp_path / "tokens.json"
        file.write_text(json.dumps(TOKENS if tokens is None else tokens))
        file.chmod(0o644)
        m = musterd({**KEEP, "http": {"tokens": str(file)},
                     "processes": JOBS, **more})
        m.tokens = file
        return m.wait_status()
    return run


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def status(m, token, method="GET", path="/status", over="tcp"):
    return m.request(method, path, headers=bearer(token), over=over).status


def test_roles(start):
    m = start()
    for token, restart, end in (("muster_r", 403, 403),
                                ("muster_o", 200, 403)):
        assert status(m, token) == 200
        assert status(m, token, "POST", "/restart/1") == restart
        assert status(m, token, "DELETE", "/") == end
    assert status(m, "muster_a", "POST", "/restart/1") == 200
    assert status(m, "muster_a", "DELETE", "/") == 200
    assert m.wait() == 0


def test_unknown_tokens(start):
    m = start()
    for text in ("Bearer wrong", "Bearer", "Bearer ", "bearer muster_",
                 "Bearer muster_r muster_a", "Bearer " + "x" * 5000,
                 "Bearer \x80\xff", "Bearer " + TOKENS["boss"]["token"]):
        for over in ("tcp", "unix"):
            answer = m.get("/status", headers={
                "Authorization": text}, over=over)
            assert answer.status == 401, text
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.json()["code"] == "unauthorized"
    # RFC 9110 §11.1: the scheme in any case.
    assert m.get("/status", headers={
        "Authorization": "bEARER   muster_r"}).status == 200
    # What is for somebody else is not looked at.
    assert m.get("/status", headers={
        "Authorization": "Basic YTpi"}).status == 200


def names(m, token, path="/v1/processes"):
    got = m.get(path, headers=bearer(token)).json()
    return {p["name"].removeprefix("default.") for p in got["processes"]}


def test_scopes(start):
    m = start()
    ids = {name: p["id"] for name, p in m.all().items()}
    assert names(m, "muster_r") == set(JOBS)
    assert names(m, "muster_s") == set(JOBS)
    assert names(m, "muster_w") == {"web"}
    assert names(m, "muster_e") == set()
    assert m.get("/", headers=bearer("muster_w")).json()["count"] == 1
    counts = m.get("/v1", headers=bearer("muster_w")).json()["counts"]
    assert sum(counts.values()) == 1
    for name, want in (("web", 200), ("db", 404), ("webby", 404)):
        i = ids[name]
        assert status(m, "muster_w", "GET", f"/v1/processes/{i}") == want
        assert status(m, "muster_w", "GET",
                      f"/v1/processes/{i}/streams/stdout") == want
        before = m.all()[name]["pid"]
        assert status(m, "muster_w", "POST", f"/restart/{i}") == want
        assert (m.all()[name]["pid"] == before) == (want == 404)
    # The end is for all.
    for token in ("muster_w", "muster_s"):
        assert status(m, token, "DELETE", "/") == 403
    assert m.running()


@pytest.mark.needs_root
def test_another_user_needs_one(start):
    m = start()

    def ask(*words):
        return subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *words,
             f"http://127.0.0.1:{m.port}/status"], user=NOBODY,
            group=NOBODY, extra_groups=[], capture_output=True, check=True,
            encoding="utf-8").stdout

    assert ask() == "401"
    assert ask("-H", "Authorization: Bearer muster_r") == "200"
    assert ask("-H", "Authorization: Bearer muster_x") == "401"


def test_a_token_is_not_asked_for_its_host(start):
    m = start()
    foreign = {"Host": "build.example.com"}
    assert m.get("/status", headers=foreign).status == 403
    assert m.get("/status",
                 headers={**foreign, **bearer("muster_r")}).status == 200
    # A page of another origin has no business here even so.
    assert m.get("/status", headers={
        **bearer("muster_r"), "Origin": "http://evil.example"}).status == 403


def test_every_change_is_told(start):
    m = start()
    web = m.all()["web"]["id"]
    status(m, "muster_o", "POST", f"/restart/{web}")
    status(m, "muster_r", "POST", f"/restart/{web}")
    status(m, "muster_o", "POST", "/restart/777")
    status(m, "muster_x", "POST", "/restart/%1b%5B31m%0A777")
    status(m, "muster_x", "POST", f"/restart/{web}")
    status(m, "muster_o", "DELETE", "/")
    status(m, "muster_s", "DELETE", "/")
    status(m, "muster_e", "POST", f"/restart/{web}")
    assert m.delete("/", headers={"Origin": "http://evil"}).status == 403
    # These would not have changed anything.
    status(m, "muster_x", "GET", f"/restart/{web}")
    status(m, "muster_x", "POST", "/status")
    status(m, "muster_x", "DELETE", "/v1/processes/1")
    m.post(f"/restart/{web}", over="unix")
    m.delete("/", over="unix")
    m.wait()
    lines = [line for line in m.stderr_text().splitlines()
             if line.startswith("[AUDIT] ")]
    wanted = (
        rf"restart {web} \(default\.web\) by token ci from 127.0.0.1:\d+: 200",
        rf"restart {web} \(default\.web\) by token reader from "
        r"127.0.0.1:\d+: 403 forbidden",
        r"restart 777 by token ci from 127.0.0.1:\d+: 404 process-not-found",
        rf"restart {web} \(default\.web\) by uid \d+ from 127.0.0.1:\d+: "
        r"401 unauthorized",
        r"shutdown by token ci from 127.0.0.1:\d+: 403 forbidden",
        r"shutdown by token all-of-it from 127.0.0.1:\d+: 403 forbidden",
        rf"restart {web} \(default\.web\) by token elsewhere from "
        r"127.0.0.1:\d+: 404 process-not-found",
        r"shutdown by uid \d+ from 127.0.0.1:\d+: 403 forbidden",
        rf"restart {web} \(default\.web\) by uid \d+ from unix:pid=\d+: 200",
        r"shutdown by uid \d+ from unix:pid=\d+: 200")
    assert len(lines) == len(wanted), lines
    for line, want in zip(lines, wanted):
        assert re.fullmatch(r"\[AUDIT\] " + want, line), line
    assert "muster_" not in m.stderr_text() + m.stdout_text()


def test_what_was_tried_is_told_in_one_line_each(start):
    """Whatever stands in the path; and not without end."""
    m = start()
    for _ in range(2):
        for text in ("%0A[AUDIT]%20x", "%E2%80%AE7", "7%20by%20root", "x" * 999):
            status(m, "muster_x", "POST", f"/restart/{text}")
    many = 400
    with contextlib.closing(m.connect()) as c:
        for _ in range(many):
            c.request("POST", "/restart/1", headers=bearer("muster_r"))
            assert c.getresponse().read()

    def lines():
        return [line for line in m.stderr_text().splitlines()
                if line.startswith("[AUDIT] ")]

    def told():
        return sum(int(re.match(r"\[AUDIT\] (\d+) more attempts by others "
                                r"from worker \d: refused$", line).group(1))
                   if "more attempts" in line else 1 for line in lines())

    wait_for("all of them", lambda: told() >= many + 6)
    assert told() <= many + 6
    assert len(lines()) < 100
    text = m.stderr_text()
    assert text.count("[AUDIT] restart ? by uid") >= 6
    assert "\n[AUDIT] x" not in text and "\u202e" not in text
    assert "by root" not in text and "xx" not in text
    # Others are told of as ever.
    assert status(m, "muster_o", "POST", "/restart/1") == 200
    wait_for("the line", lambda: "by token ci from" in m.stderr_text())


def test_they_go_with_a_reload(start):
    m = start()
    follower = m.connect()
    follower.request("GET", "/v1/processes/1/streams/stdout?follow=1",
                     headers=bearer("muster_r"))
    answer = follower.getresponse()
    assert answer.status == 200
    m.tokens.write_text(json.dumps({"new": entry("muster_n", "read")}))
    m.signal(signal.SIGHUP)
    wait_for("the new one", lambda: status(m, "muster_n") == 200)
    wait_for("the end of the old one", lambda: status(m, "muster_r") == 401)
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    follower.close()
    # A broken file changes nothing.
    m.tokens.write_text("{")
    m.signal(signal.SIGHUP)
    wait_for("the complaint", lambda: "reload refused" in m.stdout_text())
    assert status(m, "muster_n") == 200


# --- files ---


GOOD = "SHA256:" + "ab" * 32


@pytest.mark.parametrize("text, want", [
    ("a: {token: '%s'}" % GOOD, "a: want a role"),
    ("a: {role: read}", "a: want token or certificate"),
    ("a: {role: read, token: '%s', certificate: '%s'}" % (GOOD, GOOD),
     "a: want token or certificate"),
    ("a: {role: root, token: '%s'}" % GOOD, "a.role: want one of read"),
    ("a: {role: opperate, token: '%s'}" % GOOD, 'did you mean "operate"?'),
    ("a: {role: read, token: muster_plain}", "a.token: want SHA256:"),
    ("a: {role: read, token: 'SHA256:abc'}", "a.token: want SHA256:"),
    ("a: {role: read, token: '%s', scope: []}" % GOOD, "a.scope: want 1 to"),
    ("a: read", "a: want a name and a mapping"),
    ("a: {role: read, token: '%s'}\na: {role: read, token: '%s'}" % (
        GOOD, GOOD), "a"),
    ("a: {role: read, token: '%s', expires: soon}" % GOOD,
     "a.expires: want a date"),
    ("- a", "want a mapping, got list"),
    ("{", ""),
])
def test_one_line_for_what_is_wrong(musterd, tmp_path, text, want):
    file = tmp_path / "t.yaml"
    file.write_text(text + "\n")
    for args in (["-n"], []):
        m = musterd({**KEEP, "http": {"tokens": str(file)},
                     "processes": JOBS}, *args)
        assert m.wait() != 0
        told = m.stdout_text() + m.stderr_text()
        assert len(told.splitlines()) == 1, told
        assert want in told
        assert f"{file}:" in told


def test_a_missing_file(musterd, tmp_path):
    m = musterd({**KEEP, "http": {"tokens": str(tmp_path / "none")},
                 "processes": JOBS})
    assert m.wait() != 0
    assert "http.tokens: cannot read" in m.stdout_text()


def test_musterctl_makes_them(start, tmp_path):
    done = subprocess.run(
        [MUSTERCTL, "token", "ops", "--role=operate",
         "--scope=default.web", "--scope", "default.db",
         "--expires=2990-12-31"], capture_output=True, check=True,
        encoding="utf-8")
    token, line = done.stdout.splitlines()
    assert re.fullmatch("muster_[0-9a-f]{64}", token)
    assert token not in line and done.stderr == ""
    m = start({})
    m.tokens.write_text(line + "\n")
    m.tokens = m.tokens.rename(m.tokens.with_suffix(".yaml"))
    config = json.loads(m.file.read_text())
    config["http"]["tokens"] = str(m.tokens)
    m.file.write_text(json.dumps(config))
    m.signal(signal.SIGHUP)
    wait_for("the token", lambda: status(m, token) == 200)
    assert names(m, token) == {"web", "db"}
    secret = tmp_path / "secret"
    secret.write_text(token + "\n")
    url = f"http://127.0.0.1:{m.port}"

    def ctl(*words, env=None):
        return subprocess.run(
            [MUSTERCTL, "-H", url, *words], capture_output=True, check=False,
            encoding="utf-8", env={**m.env, **(env or {})}, timeout=30)

    assert "webby" in ctl("status").stdout
    got = ctl("--token-file", str(secret), "status").stdout
    assert "web " in got and "webby" not in got
    assert ctl("restart", "db", env={"MUSTER_TOKEN": token}).returncode == 0
    got = ctl("shutdown", env={"MUSTER_TOKEN": token})
    assert got.returncode == 4 and "admin" in got.stderr
    got = ctl("status", env={"MUSTER_TOKEN": "wrong"})
    assert got.returncode == 4 and "not known" in got.stderr
    assert ctl("--token-file", "/nowhere", "status").returncode != 0
    two = {subprocess.run([MUSTERCTL, "token"], capture_output=True,
                          check=True).stdout for _ in range(20)}
    assert len(two) == 20
    for words in (["a b"], ["x", "--role=root"], ["x", "--scope=a]"],
                  ["x", "--expires=soon"], ["x", "--expires=2030-13-01"]):
        assert ctl("token", *words).returncode == 2, words


def test_the_end_of_a_token(start):
    m = start({"old": entry("muster_1", "admin", expires="2020-01-01"),
               "new": entry("muster_2", "read", expires="2990-01-01"),
               "soon": entry("muster_3", "read", expires=time.strftime(
                   "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2)))})
    answer = m.get("/status", headers=bearer("muster_1"))
    assert answer.status == 401
    assert answer.json()["detail"] == "this token has expired"
    assert status(m, "muster_2") == 200
    wait_for("its end", lambda: status(m, "muster_3") == 401)


def test_what_is_followed_ends_with_its_token(start):
    """Of two that follow, the one whose token goes on goes on."""
    soon = int(time.time()) + 3
    m = start({"long": entry("muster_l", "read"),
               "soon": entry("muster_s", "read", expires=time.strftime(
                   "%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon)))})
    followers = []
    for token in ("muster_l", "muster_s"):
        c = m.connect()
        c.request("GET", "/v1/processes/1/streams/stdout?follow=1",
                  headers={**bearer(token),
                           "Accept": "application/octet-stream"})
        answer = c.getresponse()
        assert answer.status == 200
        followers.append((c, answer))
    with pytest.raises(http.client.IncompleteRead):
        followers[1][1].read()
    # Not when it is asked whether its reader is still there (15 s).
    assert soon <= time.time() < soon + 8 * SLOW
    followers[0][0].sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        followers[0][1].fp.raw.read(1)
    for c, _ in followers:
        c.close()


@pytest.mark.needs_root
def test_users_go_with_a_reload(musterd):
    """A connection of one who was allowed is his no longer."""
    m = musterd({**KEEP, "http": {"allow-users": ["nobody"]},
                 "processes": JOBS}).wait_status()
    script = (
        "import http.client, sys\n"
        f"c = http.client.HTTPConnection('127.0.0.1', {m.port}, timeout=20)\n"
        "c.connect()\n"
        "for line in sys.stdin:\n"
        "    s = c.sock\n"
        "    c.request('GET', '/status')\n"
        "    a = c.getresponse()\n"
        "    a.read()\n"
        "    print(a.status, s is not None, flush=True)\n")
    with subprocess.Popen(
            [PYTHON, "-c", script], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, encoding="ascii", user=NOBODY,
            group=NOBODY, extra_groups=[]) as p:

        def ask():
            p.stdin.write("\n")
            p.stdin.flush()
            return p.stdout.readline()

        assert ask() == "200 True\n"
        config = json.loads(m.file.read_text())
        del config["http"]["allow-users"]
        m.file.write_text(json.dumps(config))
        m.signal(signal.SIGHUP)
        told = []
        wait_for("the refusal", lambda: told.append(ask()) or
                 told[-1][:3] == "403")
        assert told[-1] == "403 True\n"
        p.stdin.close()


def test_keys_of_the_audit(start):
    m = start(None, **{"log-format": "json"})
    status(m, "muster_o", "POST", "/restart/1")
    wait_for("a line", lambda: '"audit"' in m.stderr_text())
    line = json.loads([x for x in m.stderr_text().splitlines()
                       if '"audit"' in x][0])
    assert line["msg"] == "audit" and line["who"] == "token ci"
    assert line["from"].startswith("127.0.0.1:")
    assert line["what"].startswith("restart 1 (default.")
    assert line["result"] == "200"


# --- addresses ---


def test_a_foreign_address_wants_protection(musterd, tmp_path):
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps(TOKENS))
    pair = Authority(tmp_path).issue("server")
    tls = {"certificate": str(pair[0]), "key": str(pair[1])}
    for settings, want in (
            ({}, "wants tls and tokens or a client-ca (or insecure: true)"),
            ({"tokens": str(file)}, "wants tls (or"),
            ({"tls": tls}, "wants tokens or a client-ca (or"),
            ({"tls": tls, "tokens": str(file)}, None)):
        for address in ("0.0.0.0", "::"):
            m = musterd({**KEEP, "http": {"address": address, **settings},
                         "processes": JOBS}, "-n")
            code = m.wait()
            if want is None:
                assert code == 0, m.stdout_text()
                continue
            assert code != 0
            assert f"{address} is not a loopback address" in m.stdout_text()
            assert want in m.stdout_text()


def test_insecure(musterd):
    m = musterd({**KEEP, "http": {"address": "0.0.0.0", "insecure": True},
                 "processes": JOBS}).wait_status()
    assert "whoever reaches 0.0.0.0 port" in m.stdout_text()
    # A name that is not ours may still be somebody's trick.
    assert m.get("/status", headers={"Host": "evil.example"}).status == 403
    assert m.get("/status", headers={"Host": "10.1.2.3"}).status == 200
    if m.user is None:
        done = subprocess.run(
            ["curl", "-sS", "-X", "POST",
             f"http://127.0.0.1:{m.port}/restart/1"], capture_output=True,
            check=True)
        assert json.loads(done.stdout)["success"]


def test_refusals_are_told_to_who_asks(musterd, tmp_path):
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps(TOKENS))
    m = musterd({**KEEP, "http": {"tokens": str(file)},
                 "processes": JOBS}, "-v").wait_status()
    status(m, "muster_r", "DELETE", "/")
    status(m, "wrong", "GET", "/v1/processes")
    assert m.wait_text(r"refused \(403\): DELETE / by token reader from 127")
    assert m.wait_text(r"refused \(401\): GET /v1/processes by ")
    assert "wrong" not in m.stdout_text() + m.stderr_text()
