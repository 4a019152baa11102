"""Fixtures: a musterd of which all programs run, as root and as a user."""

import os
import pathlib
import sys

import pytest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import live  # noqa: E402


def modes():
    if os.geteuid() != 0:
        return [pytest.param(None, id="user")]
    return [pytest.param(None, id="root"),
            pytest.param(harness.NOBODY, id="user")]


@pytest.fixture(params=modes())
def everything(request):
    """A live.Everything, once as root and once as somebody else."""
    with live.Everything(request.param) as m:
        yield m


@pytest.fixture
def everything_else():
    """The same with other arguments; one mode is enough."""
    started = []

    def start(*args, **options):
        started.append(live.Everything(None, *args, **options))
        return started[-1].__enter__()

    yield start
    for m in started:
        m.__exit__(None, None, None)
