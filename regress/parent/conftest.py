import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import fakes  # noqa: E402
import harness  # noqa: E402


@pytest.fixture
def muster():
    """Starts a musterd whose components we are: see fakes.Parent."""
    mine = []

    def start(*args, **options):
        mine.append(fakes.Parent(*args, **options))
        return mine[-1]

    yield start
    for m in mine:
        m.end()
    left = [str(p) for m in mine for p in m.close()]
    if left:
        pytest.fail("left behind: " + ", ".join(left), pytrace=False)


def modes():
    """All that makes a difference to how processes are kept together."""
    if os.geteuid() != 0:
        return [pytest.param({"cgroup": False}, id="user")]
    return [pytest.param({"cgroup": True}, id="root-cgroup"),
            pytest.param({"cgroup": False}, id="root"),
            pytest.param({"cgroup": False, "user": harness.NOBODY},
                         id="user")]


@pytest.fixture(params=modes())
def mode(request):
    return request.param
