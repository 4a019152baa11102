"""pymanager's own Python classes as verifiers, run unchanged."""

import base64
import os
import signal
import time

import pytest

import harness
from harness import PYTHON, job, python, sh

KEEP = {"keep_alive": True, "graceful_time": 1}
SLEEP = job("sleep", "4000")
HEAD = "from pymutils.verifier import Verifier\n"
PASS = HEAD + "class Mine(Verifier):\n    def run(self, proc):\n" \
    "        return True\n"


def start(files, process, arguments=None, name="checks.Mine", modules=None,
          **more):
    """A musterd with a process `a` that is verified by a class."""
    if modules is None:
        module, _, class_name = name.rpartition(".")
        modules = {module: {"verifiers": [class_name]}}
    verifier = {"type": name}
    if arguments is not None:
        verifier["arguments"] = arguments
    m = harness.Musterd({**KEEP, "modules": modules, **more, "processes": {
        "a": {**process, "verifier": verifier}, "b": sh("touch started")}})
    for path, text in files.items():
        (m.dir / path).parent.mkdir(parents=True, exist_ok=True)
        (m.dir / path).write_text(text)
    return m


def launches(m, timeout=15):
    """Start it; whether the launch passes."""
    m.start()
    harness.wait_for("an end of the launch", lambda: not m.running() or
                     m.status() == "running", timeout)
    assert m.running() or m.returncode == 5
    harness.wait_for("b", lambda: not m.running() or
                     (m.dir / "started").exists())
    return m.running()


@pytest.fixture
def mine():
    """musterds to close."""
    all_ = []

    def add(*args, **more):
        all_.append(start(*args, **more))
        return all_[-1]

    yield add
    for m in all_:
        m.close()


def run(body, head=HEAD):
    """A class whose run() has this body."""
    return head + "import os, time\nclass Mine(Verifier):\n" \
        "    def run(self, proc):\n" + "".join(
            f"        {line}\n" for line in body.splitlines())


@pytest.mark.parametrize("body, passes", [
    ("return True", True), ("return False", False), ("return 1", True),
    ("return None", False), ("raise ValueError('no')", False),
    ("import sys; sys.exit(0)", False), ("os._exit(1)", False)])
def test_result(mine, body, passes):
    m = mine({"checks.py": run(body)}, SLEEP)
    assert launches(m) == passes
    assert (m.dir / "started").exists() == passes
    if "ValueError" in body:
        assert "[ERROR] verifier checks.Mine: ValueError: no" in \
            m.stdout_text()
    if not passes:
        assert "VerificationFailedException" in m.stdout_text()
        why = "exited with code 1" if "_exit" in body else \
            "class returned False" if "return" in body else \
            "class raised an exception"
        assert f"verifier {why}" in m.stdout_text() + m.stderr_text()
    else:
        assert m.all()["a"]["verifier"]["last"] == \
            "verifier class returned True"


@pytest.mark.parametrize("raised, told", [
    (r"ValueError('bad\nthing\n\x1b[31m\r\u202e é')",
     r"ValueError: bad thing \x1b[31m\r\u202e é"),
    ("ValueError()", "ValueError"), ("KeyError('x')", "KeyError: 'x'"),
    (r"OSError(2, 'No\n\nsuch', 'a')",
     "FileNotFoundError: [Errno 2] No  such: 'a'")])
def test_exception(mine, raised, told):
    """All of its text, in one line."""
    m = mine({"checks.py": run(f"raise {raised}")}, SLEEP)
    assert not launches(m)
    assert f"[ERROR] verifier checks.Mine: {told}\n" in m.stdout_text()


def test_arguments(mine):
    text = HEAD + "class Mine(Verifier):\n" \
        "    def __init__(self, a, b=2, **more):\n" \
        "        self.all = (a, b, more)\n" \
        "    def run(self, proc):\n" \
        "        print(self.all, flush=True)\n" \
        "        return True\n"
    m = mine({"checks.py": text}, SLEEP, {
        "a": "é", "c": [1, None, {"x": 1.5}], "d": True})
    assert launches(m)
    m.wait_text(r"^\('é', 2, {'c': \[1, None, {'x': 1.5}\], 'd': True}\)$")


def test_arguments_that_do_not_fit(mine):
    m = mine({"checks.py": PASS}, SLEEP, {"what": 1})
    assert not launches(m)
    assert "TypeError" in m.stdout_text()


def test_base_class_passes(mine):
    assert launches(mine({"checks.py": HEAD + "class Mine(Verifier): pass\n"},
                         SLEEP))


@pytest.mark.parametrize("head", [
    "from pymutils.verifier import Verifier\n",
    "import pymutils.verifier\nVerifier = pymutils.verifier.Verifier\n",
    "from utils.verifier import Verifier\n",
    "from verifier import Verifier\n"])
def test_ways_to_the_base_class(mine, head):
    """Its place changed over time."""
    assert launches(mine({"checks.py": run("return True", head)}, SLEEP))


# --- the process that it is given ---


EXITED = "class Mine(ExitedVerifier):\n    pass\n"
FROM = ["from pymutils.exited_verifier import ExitedVerifier\n",
        "from pymutils import ExitedVerifier\n",
        "from exited_verifier import ExitedVerifier\n"]


@pytest.mark.parametrize("head", FROM)
@pytest.mark.parametrize("arguments, text", [
    ({}, "Expected exit code 0, got 3"), ({"expect_code": 3}, None),
    ({"expect_code": 3, "timeout": 0.01, "more": 1},
     "Process did not exit in given timeframe 0.01s")])
def test_class_made_of_the_exited_class(mine, head, arguments, text):
    m = mine({"checks.py": head + EXITED}, sh(
        "exec sleep 4000" if "timeout" in arguments else "exit 3"), arguments,
        messages="verifier.fail")
    assert launches(m) == (text is None)
    assert ("Verifier fail:" in m.stdout_text()) == (text is not None)
    assert (text or "") in m.stdout_text()


def test_class_made_of_the_http_class(mine):
    """It asks again after the interval, until there is a 2xx."""
    answers = "import http.server as s\nn = 0\n" \
        "class H(s.BaseHTTPRequestHandler):\n" \
        "    def do_GET(self):\n        global n\n        n += 1\n" \
        "        self.send_response(299 if n == 3 else 404)\n" \
        "        self.end_headers()\n        print(self.headers['X'])\n" \
        "s.HTTPServer(('127.0.0.1', %d), H).serve_forever()\n"
    port = harness.free_port()
    m = mine({"checks.py": "from pymutils.http_verifier import HttpOkVerifier"
              "\nclass Mine(HttpOkVerifier):\n    pass\n"},
             job(PYTHON, "-uc", answers % port), {
                 "url": f"http://127.0.0.1:{port}/", "interval": 0.2,
                 "headers": {"X": "mine"}}, messages="verifier.verbose")
    assert launches(m, 35)
    said = m.stdout_text()
    # Python writes the ends of lines by themselves.
    assert said.count("Verifier fail: Got status 404 from server.") == 2
    assert f"Verifier: Attempting connection to http://127.0.0.1:{port}/ " \
        "with a timeout of 0.2s\n" in said
    assert said.count("mine") == 3


def test_password_of_the_http_class(mine):
    """It is sent, and never shown."""
    answers = "import http.server as s\n" \
        "class H(s.BaseHTTPRequestHandler):\n    def do_GET(self):\n" \
        "        told = self.headers['Authorization'] == %r\n" \
        "        self.send_response(200 if told else 401)\n" \
        "        self.end_headers()\n" \
        "s.HTTPServer(('127.0.0.1', %d), H).serve_forever()\n"
    port = harness.free_port()
    login = "Basic " + base64.b64encode(b"u:s3cr@t").decode()
    m = mine({"checks.py": "from pymutils.http_verifier import HttpOkVerifier"
              "\nclass Mine(HttpOkVerifier):\n    pass\n"},
             job(PYTHON, "-uc", answers % (login, port)), {
                 "url": f"http://u:s3cr%40t@127.0.0.1:{port}/",
                 "interval": 0.2}, messages="verifier.verbose")
    assert launches(m, 35)
    assert f"connection to http://u:***@127.0.0.1:{port}/ with" in \
        m.stdout_text()
    assert "s3cr" not in m.stdout_text()


def test_password_is_not_for_another_host(mine):
    """To whom a redirect leads."""
    first, second = harness.free_port(), harness.free_port()
    answers = "import http.server as s, threading as t\n" \
        "class B(s.BaseHTTPRequestHandler):\n    def do_GET(self):\n" \
        "        print('told', self.headers['Authorization'])\n" \
        "        self.send_response(200)\n        self.end_headers()\n" \
        "class A(s.BaseHTTPRequestHandler):\n    def do_GET(self):\n" \
        "        print('first', self.headers['Authorization'])\n" \
        "        self.send_response(302)\n" \
        "        self.send_header('Location', 'http://127.0.0.2:%d/')\n" \
        "        self.end_headers()\n" \
        "b = s.HTTPServer(('127.0.0.2', %d), B)\n" \
        "t.Thread(target=b.serve_forever).start()\n" \
        "s.HTTPServer(('127.0.0.1', %d), A).serve_forever()\n"
    m = mine({"checks.py": "from pymutils.http_verifier import HttpOkVerifier"
              "\nclass Mine(HttpOkVerifier):\n    pass\n"},
             job(PYTHON, "-uc", answers % (second, second, first)), {
                 "url": f"http://u:secret@127.0.0.1:{first}/",
                 "interval": 0.2})
    assert launches(m, 35)
    assert "first Basic " in m.stdout_text()
    assert "told None" in m.stdout_text()


def test_class_made_of_the_http_class_gives_up(mine):
    port = harness.free_port()
    m = mine({"checks.py": "from pymutils import HttpOkVerifier\n"
              "class Mine(HttpOkVerifier):\n    pass\n"}, SLEEP, {
                  "url": f"http://127.0.0.1:{port}/", "interval": 0.1,
                  "timeout": 0.3}, messages="verifier.fail")
    assert not launches(m)
    assert "Verifier fail: Connection error: " in m.stdout_text()


def test_what_else_pymanager_has(mine):
    m = mine({"checks.py": run(
        "debug('hidden'); verbose('hidden'); log('seen')\n"
        "print(Globals.status, proc.commandLine, proc.cmdString, flush=True)\n"
        "return True", HEAD + "from pymutils.debug import debug, log, verbose\n"
        "from pymutils.global_storage import Globals\n")},
        sh("exec sleep $0", "40 00"))
    assert launches(m)
    assert "\nseen\nlaunching processes ['sh', '-c', 'exec sleep $0', '40 00']" \
        " sh -c exec sleep $0 40 00\n" in m.stdout_text()
    assert "hidden" not in m.stdout_text()


def test_pid(mine):
    m = mine({"checks.py": run(
        "open('pid', 'w').write(str(proc.pid()))\nreturn True")}, SLEEP)
    assert launches(m)
    assert int((m.dir / "pid").read_text()) == m.processes()[0]["pid"]


def test_wait_poll_and_code(mine):
    m = mine({"checks.py": run(
        "import subprocess\n"
        "assert proc.poll() is None\n"
        "assert proc.status_string() == 'running'\n"
        "assert proc.code(blocking=False) is None\n"
        "try:\n"
        "    proc.wait(0.05)\n"
        "    return False\n"
        "except subprocess.TimeoutExpired: pass\n"
        "open('go', 'w').close()\n"
        "assert proc.wait(10) == 7\n"
        "assert proc.poll() == proc.code() == 7\n"
        "assert proc.status_string() == 'terminated'\n"
        "return True")},
        sh("until [ -f go ]; do sleep 0.02; done; exit 7"))
    assert launches(m), m.tail()
    assert m.processes()[0]["code"] == 7


def test_code_of_a_signal(mine):
    m = mine({"checks.py": run("return proc.wait() == -9")},
             sh("sleep 0.1; kill -9 $$"))
    assert launches(m)


def test_write(mine):
    """Its standard input stays open afterwards."""
    m = mine({"checks.py": run(
        "proc.write(b'hello\\n')\n"
        "while not os.path.exists('got'): time.sleep(0.01)\n"
        "return open('got').read() == 'hello\\n'")},
        sh("read x; echo $x > tmp; mv tmp got; cat; touch ended"))
    assert launches(m)
    time.sleep(0.1)
    assert not (m.dir / "ended").exists()


def test_signals(mine):
    m = mine({"checks.py": run(
        "import signal\n"
        "while not os.path.exists('up'): time.sleep(0.01)\n"
        "proc.signal(signal.SIGUSR1)\n"
        "while not os.path.exists('usr1'): time.sleep(0.01)\n"
        "proc.terminate()\n"
        "return proc.wait(10) == 3")},
        sh("trap 'touch usr1' USR1; trap 'exit 3' TERM; touch up; "
           "while :; do sleep 0.1; done"))
    assert launches(m)


@pytest.mark.parametrize("body", ["proc.kill()", "proc.force_terminate(0.1)"])
def test_kill(mine, body):
    m = mine({"checks.py": run(
        "while not os.path.exists('up'): time.sleep(0.01)\n" + body +
        "\nreturn proc.wait(10) == -9")},
        python("import signal, time\n"
               "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
               "open('up', 'w').close()\ntime.sleep(4000)"))
    assert launches(m)


def test_of_one_that_has_ended(mine):
    """pid() and signal() need a living one."""
    m = mine({"checks.py": run(
        "proc.wait()\n"
        "for f in (proc.pid, lambda: proc.signal(15)):\n"
        "    try:\n"
        "        f()\n"
        "        return False\n"
        "    except Exception as e:\n"
        "        assert 'not running' in str(e), e\n"
        "proc.terminate()\nproc.kill()\n"
        "return True")}, sh("exit 0"))
    assert launches(m)


# --- what it says ---


@pytest.mark.parametrize("messages, told", [
    ([], []), (["verifier.fail"], ["Verifier fail: one"]),
    (["verifier.verbose"], ["Verifier fail: one", "Verifier: two"])])
def test_messages(mine, messages, told):
    m = mine({"checks.py": run(
        "self.log_fail('one')\nself.log_verbose('two')\nreturn True")},
        SLEEP, messages=messages)
    assert launches(m)
    said = [line for line in m.stdout_text().splitlines()
            if line.startswith("Verifier")]
    assert said == told


def test_order_of_what_it_prints(mine):
    m = mine({"checks.py": run("print('printed')\nreturn True")},
             sh("echo output; exec sleep 4000"))
    assert launches(m)
    said = m.stdout_text().splitlines()
    assert said.index("printed") < said.index("$ sh -c touch started")
    assert said.count("printed") == said.count("output") == 1


# --- where classes are found ---


def test_class_of_the_top_level_package(mine):
    """pymanager looks there, whatever the module is."""
    m = mine({"pkg/__init__.py": "from .mod import Mine\n",
              "pkg/mod.py": PASS}, SLEEP, name="pkg.mod.Mine")
    assert launches(m)
    m = mine({"pkg/__init__.py": PASS, "pkg/mod.py": ""}, SLEEP,
             name="pkg.mod.Mine")
    assert launches(m)


def test_class_of_a_module_in_a_package(mine):
    m = mine({"pkg/__init__.py": "", "pkg/mod.py": PASS}, SLEEP,
             name="pkg.mod.Mine")
    assert launches(m)


@pytest.mark.parametrize("files, warning", [
    ({}, "[WARNING] module checks not found."),
    ({"checks.py": "x = 1\n"},
     "[WARNING] missing verifier 'Mine' from module checks"),
    ({"checks.py": "Mine = 1\n"},
     "[WARNING] object 'Mine' from module checks is not a class"),
    ({"checks.py": "class Mine: pass\n"},
     "[WARNING] object 'Mine' from module checks is not a subclass of "
     "Verifier")])
def test_class_that_cannot_be_used(mine, files, warning):
    m = mine(files, SLEEP)
    assert not launches(m)
    assert warning in m.stdout_text()
    assert "checks.Mine" in m.stdout_text()


@pytest.mark.parametrize("modules", [
    {}, {"checks": {"verifiers": ["Other"]}}, {"checks": {}},
    {"checks": None}, {"other": {"verifiers": ["Mine"]}}])
def test_class_that_is_not_listed(mine, modules):
    """The original's message; nothing is started."""
    m = mine({"checks.py": PASS}, sh("touch a"), modules=modules)
    m.start()
    assert m.wait() == 5
    assert "Missing verifier checks.Mine used in process a" in m.stdout_text()
    assert not (m.dir / "a").exists()


def test_module_without_a_list(musterd):
    m = musterd({"modules": {"checks": {}}, "processes": {"a": job("true")}})
    assert m.wait() == 0
    assert "[WARNING] " in m.stdout_text()
    assert "module checks does not contain a list of verifiers to load." in \
        m.stdout_text()


# --- its life ---


def test_again_at_a_restart(mine):
    m = mine({"checks.py": run(
        "open('runs', 'a').write('x')\n"
        "return not os.path.exists('bad')")}, SLEEP)
    assert launches(m)
    assert m.post("/restart/1").status == 200
    assert (m.dir / "runs").read_text() == "xx"
    (m.dir / "bad").touch()
    got = m.post("/restart/1")
    assert got.status == 500 and got.json()["success"] is False
    assert m.status() == "running"
    assert m.processes()[0]["status"] == "running"


def test_it_has_no_limit_of_time(mine):
    """But the other processes start, and the end comes, without it."""
    m = mine({"checks.py": run(
        "open('up', 'w').close()\ntime.sleep(4000)")}, SLEEP)
    m.start()
    harness.wait_for("its run", (m.dir / "up").exists)
    assert m.status() == "launching processes"
    start_ = time.monotonic()
    assert m.stop() == 0
    assert time.monotonic() - start_ < 1.5 * harness.patience()
    assert not (m.dir / "started").exists()


def test_what_it_starts_goes_with_it(mine):
    m = mine({"checks.py": run(
        "import subprocess\n"
        "p = subprocess.Popen(['sleep', '4000'], start_new_session=True)\n"
        "open('child', 'w').write(str(p.pid))\nreturn True")}, SLEEP)
    assert launches(m)
    child = int((m.dir / "child").read_text())
    harness.wait_for("its end", lambda: not harness.alive(child), 3)


@pytest.mark.needs_root
def test_user(mine):
    """It is run as the user of the process."""
    m = mine({"checks.py": run("return os.getuid() == 65534")},
             job("sleep", "4000", user="nobody"))
    m.dir.chmod(0o755)
    assert launches(m), m.tail()


def test_instances(mine):
    m = mine({"checks.py": run(
        "open('pids', 'a').write('%d\\n' % proc.pid())\nreturn True")},
        job("sleep", "4000", instances=3))
    assert launches(m)
    assert sorted(map(int, (m.dir / "pids").read_text().split())) == sorted(
        p["pid"] for p in m.processes() if p["id"] <= 3)


def test_kill_of_the_adapter(mine):
    """A class that was ended has not verified anything."""
    m = mine({"checks.py": run(
        "open('own', 'w').write('%d\\n' % os.getpid())\ntime.sleep(4000)")},
        SLEEP)
    m.start()
    pid = int(harness.wait_for("its pid", lambda: (m.dir / "own").exists()
                               and (m.dir / "own").read_text()))
    os.kill(pid, signal.SIGKILL)
    assert m.wait() == 5
    assert "was ended by SIGKILL" in m.stdout_text()
