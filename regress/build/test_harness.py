"""The harness finds what it is there to find. musterd is played by a script."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import textwrap

import pytest

import harness

PLAYER = f"#!{harness.PYTHON}\n" + textwrap.dedent('''
    import http.server, json, os, signal, subprocess, sys

    with open(sys.argv[2]) as f:
        config = json.load(f)
    play = config["play"]
    if "stray" in play:
        # Its parent is gone at once: whoever is the subreaper inherits it.
        subprocess.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
    if "child" in play:
        subprocess.Popen(["sh", "-c", "sleep 1000 & wait"])
    if "report" in play:
        print("==7==ERROR: AddressSanitizer: heap-use-after-free", flush=True)
    if "tty" in play:
        os.write(os.open("/dev/tty", os.O_WRONLY),
                 b"%d %d" % os.get_terminal_size(1))
    if "die" in play:
        sys.exit(5)

    def end(number, frame):
        os._exit(0)

    signal.signal(signal.SIGTERM,
                  signal.SIG_IGN if "deaf" in play else end)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"status": "running", "uid": os.getuid(),
                               "processes": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    address = ("127.0.0.1", config["http"]["port"])
    http.server.HTTPServer(address, Handler).serve_forever()
''')


@pytest.fixture(autouse=True)
def player(tmp_path, monkeypatch):
    """musterd is the script above."""
    path = tmp_path / "player"
    path.write_text(PLAYER)
    path.chmod(0o755)
    monkeypatch.setattr(harness, "MUSTERD", str(path))


def play(*parts, **options):
    return harness.Musterd({"play": parts}, **options)


def test_start_and_stop(musterd):
    m = musterd({"play": []})
    m.wait_status("running")
    assert m.get("/").json()["processes"] == m.processes() == []
    assert m.stop() == 0
    assert m.leftovers() == []


def test_what_is_left_behind_is_found_and_killed():
    m = play("stray").start().wait_status()
    m.stop()
    left = harness.wait_for("the stray", lambda: [
        p for p in m.leftovers() if p.name == "sleep"])
    assert len(m.leftovers()) == 1
    with pytest.raises(harness.Failure, match="left behind"):
        m.close()
    assert not harness.alive(left[0].pid)


def test_children_of_the_test_are_no_leftovers():
    m = play().start().wait_status()
    with subprocess.Popen(["sleep", "1000"]) as mine:
        m.stop()
        assert m.leftovers() == []
        m.close()
        assert harness.alive(mine.pid)
        mine.kill()


def test_descendants():
    m = play("child").start().wait_status()
    harness.wait_for("parents first", lambda: [
        p.name for p in m.descendants()] == ["sh", "sleep"])
    with pytest.raises(harness.Failure, match="left behind"):
        m.close()


def test_one_that_does_not_stop():
    m = play("deaf", "child", grace=0.3).start().wait_status()
    family = harness.wait_for("the family", m.descendants)
    with pytest.raises(harness.Failure, match="does not stop"):
        m.close()
    assert not any(harness.alive(p.pid) for p in family)
    assert m.returncode == -signal.SIGKILL


def test_report_of_a_sanitizer():
    m = play("report").start().wait_status()
    with pytest.raises(harness.Failure, match="sanitizer"):
        m.close()


def test_an_early_end_is_told():
    m = play("die").start()
    with pytest.raises(harness.Failure, match="ended with 5"):
        m.wait_status("running")
    m.close()


def test_a_failure_in_the_test_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        with play("stray") as m:
            m.wait_status()
            1 / 0
    assert m.leftovers() == []


def test_terminal():
    with play("tty", terminal=True) as m:
        m.wait_text(r"^80 24$")
        m.wait_status()
    assert m.stdout_text() == ""


@pytest.mark.needs_root
def test_as_user(as_user, monkeypatch):
    monkeypatch.setattr(harness.Musterd, "_reachable",
                        lambda self: str(self.dir / "player"))
    m = play(user=as_user)
    script = m.dir / "player"
    script.write_text(PLAYER)
    script.chmod(0o755)
    with m:
        m.wait_status()
        assert m.get("/").json()["uid"] == as_user == harness.NOBODY


# The last one's failure takes longer to report than there is for cleaning up.
@pytest.mark.parametrize("body, said", [
    ("time.sleep(60)", "no end after"),
    ("conftest.CLEANUP = 1; time.sleep(60)", "no end after"),
    ("raise Slow", "slowly told"),
])
def test_limit_of_time(tmp_path, body, said):
    (tmp_path / "test_late.py").write_text(textwrap.dedent(f'''
        import time
        import conftest
        import pytest

        class Slow(Exception):
            def __str__(self):
                end = time.monotonic() + 1.5
                while time.monotonic() < end:
                    pass
                return "slowly told"

        @pytest.mark.timeout(1)
        def test_late():
            {body}
    '''))
    done = subprocess.run(
        [harness.PYTHON, "-m", "pytest", "-q", "-p", "conftest", "-p",
         "no:xdist", "-p", "no:cacheprovider", "-c",
         str(harness.ROOT / "pytest.ini"), "--rootdir", str(tmp_path),
         str(tmp_path)], capture_output=True, encoding="utf-8", check=False,
        env={**os.environ, "PYTHONPATH": str(harness.ROOT / "regress"),
             "SAN": "", "MUSTER_TOTALS": ""})
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
    assert "INTERNALERROR" not in done.stdout


def runner():
    """regress/run as a module."""
    path = str(pathlib.Path(harness.ROOT) / "regress/run")
    loader = importlib.machinery.SourceFileLoader("run", path)
    spec = importlib.util.spec_from_loader("run", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("code, text, counts", [
    (0, "1..2\nok 1 - a\nok 2 - b\n", (2, 0, 0)),
    (1, "1..2\nok 1 - a\nnot ok 2 - b\n# not ok - t\n", (1, 1, 0)),
    (0, "1..2\nok 1 - a\nnot ok 2 # SKIP b\n", (1, 0, 1)),
    # It ended after the first test, or at its end; it ran nothing.
    (-6, "1..2\nok 1 - a\n", (1, 1, 0)),
    (0, "1..2\nok 1 - a\n", (1, 1, 0)),
    (1, "1..1\nok 1 - a\n", (1, 1, 0)),
    (0, "", (0, 1, 0)),
])
def test_totals_of_a_unit(code, text, counts):
    assert runner().tally(code, text) == counts


@pytest.mark.parametrize("code, failed, ended, failures", [
    (0, 0, True, 0), (1, 2, True, 2),
    # It ended in the middle, with and without failures until then.
    (3, 2, False, 3), (2, 0, False, 1), (-9, 1, False, 2),
    (1, 0, True, 1),
])
def test_totals_of_pytest(tmp_path, monkeypatch, code, failed, ended, failures):
    def fake(words, env, **more):
        pathlib.Path(env["MUSTER_TOTALS"]).write_text(json.dumps(
            {"passed": 5, "failed": failed, "skipped": []}))
        return subprocess.CompletedProcess(words, code)

    module = runner()
    monkeypatch.setattr(module, "LOGS", tmp_path)
    monkeypatch.setattr(module.subprocess, "run", fake)
    counts, whole = module.pytest([])
    assert (whole, counts["failed"], counts["passed"]) == (ended, failures, 5)
