"""The fixture `check`: run musterd on a file."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

import harness

# With importlib as import mode, the tables are found only so.
sys.path.insert(0, str(pathlib.Path(__file__).parent))


@dataclasses.dataclass
class Result:
    """How musterd ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self):
        return self.stdout.splitlines()


@pytest.fixture
def check(tmp_path):
    """check(text, *args, name=): with no arguments it is musterd -n."""

    def run(text, *args, name="a.json", env=None):
        path = tmp_path / name
        if text is not None:
            if isinstance(text, str):
                text = text.encode()
            path.write_bytes(text)
        done = subprocess.run(
            [harness.MUSTERD, "-f", name, *(args or ("-n",))], cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path),
                 "XDG_RUNTIME_DIR": str(tmp_path), **(env or {})},
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            timeout=20 * harness.patience(), check=False)
        assert not harness.REPORT.search(done.stderr), done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    return run
