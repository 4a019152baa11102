"""The examples do what they say, started as their reader would."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

import harness

EXAMPLES = harness.ROOT / "etc/examples"


def copy(m, name):
    """Put an example where musterd is started."""
    shutil.copytree(EXAMPLES / name, m.dir, dirs_exist_ok=True)


def webapp(**options):
    """musterd in a copy of webapp/, on ports of its own."""
    ports = {name: str(harness.free_port())
             for name in ("STORE_PORT", "WEB_PORT", "MUSTER_PORT")}
    text = (EXAMPLES / "webapp/muster.yaml").read_text(encoding="utf-8")
    m = harness.Musterd(text, *options.pop("args", ()), name="muster.yaml",
                        env={**ports, "WEBAPP": None}, **options)
    copy(m, "webapp")
    m.port = int(ports["MUSTER_PORT"])
    m.url = f"http://127.0.0.1:{ports['WEB_PORT']}"
    return m


def fetch(url):
    with urllib.request.urlopen(url, timeout=5 * harness.patience()) as answer:
        return answer.read().decode()


def test_webapp():
    with webapp() as m:
        m.wait_status("running", 40)
        assert fetch(m.url + "/") == "Hello, visit 1\n"
        assert fetch(m.url + "/") == "Hello, visit 2\n"
        assert fetch(m.url + "/health") == "ok\n"
        rows = {p["command"].split()[-1]: p for p in m.processes()}
        assert rows["migrate.py"]["status"] == "terminated"
        assert rows["migrate.py"]["code"] == 0
        assert rows["store.py"]["status"] == rows["web.py"]["status"] == \
            "running"
        # Not by lines: Python writes the end of one by itself.
        text = m.stdout_text()
        order = list(re.finditer(r"\$ /usr/bin/python3 (\S+)$", text, re.M))
        assert [line[1] for line in order] == [
            "store.py", "migrate.py", "web.py"]
        # The migration had ended before the application was started.
        assert text.index("Process /usr/bin/python3 migrate.py exited with "
                          "code 0") < order[2].start()
        assert m.stop() == 0


def test_webapp_comes_back():
    with webapp() as m:
        m.wait_status("running", 40)
        pid = next(p["pid"] for p in m.processes()
                   if p["command"].endswith("web.py"))
        os.kill(pid, signal.SIGKILL)

        def again():
            try:
                return fetch(m.url + "/health") == "ok\n"
            except OSError:
                return False

        harness.wait_for("another process", lambda: pid not in [
            p.get("pid") for p in m.processes()])
        harness.wait_for("its answer", again)


def runner(command):
    return webapp(args=["-q", "-x", "--", *command])


def test_webapp_runner():
    """musterd -x -- COMMAND: all is up while it runs, and gone after it."""
    script = ("import sys, urllib.request\n"
              "print(urllib.request.urlopen(sys.argv[1]).read().decode())")
    m = runner([])
    m.args += [harness.PYTHON, "-c", script, m.url + "/"]
    with m:
        assert m.wait(60) == 0
        assert m.stdout_text() == "Hello, visit 1\n\n"
    with pytest.raises(OSError):
        fetch(m.url)


@pytest.mark.parametrize("command, code", [
    (["true"], 0), (["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill $$"], 143),
    (["/nonexistent/program"], 127)])
def test_webapp_runner_ends_with_the_code(command, code):
    with runner(command) as m:
        assert m.wait(60) == code


def test_webapp_runner_fails_when_something_fails():
    m = runner(["touch", "started"])
    (m.dir / "migrate.py").write_text("raise SystemExit('it went wrong')\n")
    with m:
        assert m.wait(60) == 5
        assert not (m.dir / "started").exists()
        assert "it went wrong" in m.stderr_text()
        assert m.stdout_text() == ""


def pymanager(*args, **options):
    """musterd in a copy of pymanager/, on ports of its own."""
    text = (EXAMPLES / "pymanager/pymanager.json").read_text(encoding="utf-8")
    port = harness.free_port()
    text = text.replace("18082", str(port)).replace("5001", "@PORT@")
    m = harness.Musterd(text, *args, name="pymanager.json", **options)
    written = m.file.read_text(encoding="utf-8")
    copy(m, "pymanager")
    m.file.write_text(written, encoding="utf-8")
    m.url = f"http://127.0.0.1:{port}/"
    return m


def test_pymanager():
    with pymanager() as m:
        m.wait_status("running", 40)
        assert "is served by a process" in fetch(m.url)
        rows = m.get("/").json()
        assert rows["count"] == 3
        prepare, test, quiet = rows["processes"]
        assert prepare == {"id": 1, "command": "echo prepared by "
                           "$USER_OF_THIS", "status": "terminated", "code": 0}
        assert test["status"] == quiet["status"] == "running"
        assert "prepared by pymanager\n" in m.stdout_text()
        assert "GET / HTTP" in (m.dir / "access.log").read_text()
        # keep_alive: it stays, and all can be started again.
        for p in (test, quiet):
            os.kill(p["pid"], signal.SIGKILL)
        harness.wait_for("their ends", lambda: all(
            p["status"] == "terminated" for p in m.processes()))
        assert m.post("/restart/3").json()["process"]["status"] == "running"
        assert m.delete("/").json() == {"success": True}
        assert m.wait() == 0


def test_pymanager_runner():
    with pymanager("-q", "-x", "--", "sh", "-c",
                   "cat access.log; exit 4") as m:
        assert m.wait(60) == 4
        assert "GET / HTTP" in m.stdout_text()


# --- the default configuration ---


DEFAULT = (harness.ROOT / "etc/muster.yaml").read_text(encoding="utf-8")


def test_the_default_configuration(tmp_path):
    with harness.Musterd(DEFAULT, name="muster.yaml",
                         env={"XDG_RUNTIME_DIR": str(tmp_path)}) as m:
        # It has nothing to do and stays.
        harness.wait_for("its components", lambda: m.component("muster-httpd"))
        assert m.stop() == 0
        assert m.stdout_text() in ("", "Shutting down gracefully (SIGINT again"
                                   " to terminate immediately)...\n")


def test_what_is_commented_out_is_right(tmp_path):
    """A line that is commented out has no blank, or two, after the #."""
    text = "".join(
        line[1:] if line.startswith("#") and line[1:2] != " " or
        line.startswith("#  ") else line
        for line in DEFAULT.replace("\nprocesses: {}\n", "\n").splitlines(
            keepends=True))
    assert "migrate up" in text and "\nprocesses:" in text
    (tmp_path / "muster.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "site.yaml").write_text("processes: {}\n", encoding="utf-8")
    done = subprocess.run([harness.MUSTERD, "-n", "-f", "muster.yaml"],
                          cwd=tmp_path, capture_output=True, check=False,
                          env={**os.environ,
                               "XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.stdout == b"configuration OK\n"


def test_make_run_finds_the_example():
    """`make run` starts the example from the top of the tree."""
    done = subprocess.run(
        [harness.MUSTERD, "-n", "-f", "etc/examples/webapp/muster.yaml"],
        cwd=harness.ROOT, capture_output=True, check=False)
    assert done.stdout == b"configuration OK\n"
    makefile = (harness.ROOT / "GNUmakefile").read_text(encoding="utf-8")
    assert "-f etc/examples/webapp/muster.yaml" in makefile
    assert "WEBAPP" in makefile


@pytest.mark.parametrize("path", sorted(
    str(p.relative_to(EXAMPLES)) for p in EXAMPLES.rglob("*.json")))
def test_json_examples_are_json(path):
    json.loads((EXAMPLES / path).read_text(encoding="utf-8"))
