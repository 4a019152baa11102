import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parent")]
import peers  # noqa: E402


@pytest.fixture
def owned(musterd):
    """Starts a musterd of which we own some programs: see peers.Owned."""
    mine = []

    def start(config, who, **options):
        mine.append(peers.Owned(musterd, config, who, **options))
        return mine[-1]

    yield start
    for o in mine:
        o.end()
