"""Fixtures: a real muster-verifier and muster-resolver, and servers."""

import pathlib
import sys

import pytest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import imsgpeer  # noqa: E402
import servers  # noqa: E402

LIBEXEC = harness.OBJ / "libexec/muster"


class Starter:
    """Starts components; at the end each must end well when we go."""

    def __init__(self, path):
        self.path = path
        self.started = []

    def start(self, cls, name, *args, **options):
        log = self.path / f"{name}.{len(self.started)}.stderr"
        with open(log, "wb") as f:
            c = cls(LIBEXEC / name, *args, stderr=f, **options)
        c.log = log
        c.expected = 0
        self.started.append(c)
        return c

    def finish(self):
        problems = []
        for c in self.started:
            code = c.close()
            text = c.log.read_text(errors="replace")
            if code != c.expected or harness.REPORT.search(text) or \
                    "sandbox:" in text:
                problems.append(f"{c.log.name}: code {code}\n{text}")
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def components(tmp_path):
    starter = Starter(tmp_path)
    yield starter
    starter.finish()


@pytest.fixture
def verifier(components):
    return components.start(imsgpeer.Verifier, "muster-verifier")


@pytest.fixture
def serve():
    """serve(handler, ...) makes a Server that is closed at the end."""
    mine = []

    def start(*args, **options):
        mine.append(servers.Server(*args, **options))
        return mine[-1]

    yield start
    for server in mine:
        server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return servers.Authority(str(tmp_path_factory.mktemp("authority")))
