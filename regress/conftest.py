"""Fixtures, markers, limits of time and the totals of the tests in Python."""

import faulthandler
import gc
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import threading

import pytest

import harness

LIMIT = 60
CLEANUP = 20    # seconds for what cleans up after a test that was late


# --- markers ---


def pytest_runtest_setup(item):
    root = os.geteuid() == 0
    if item.get_closest_marker("needs_root") and not root:
        pytest.skip("needs root")
    if item.get_closest_marker("needs_user") and root:
        pytest.skip("needs a user other than root")
    if item.get_closest_marker("needs_cgroup") and not harness.cgroup_root():
        pytest.skip("there is no cgroup2 hierarchy that we may write to")
    for marker in item.iter_markers("needs_program"):
        if not shutil.which(marker.args[0]):
            pytest.skip(f"there is no {marker.args[0]}")


# --- fixtures ---


@pytest.fixture(autouse=True)
def no_descriptors_left(request):
    """Who plays a component is given descriptors by the dozen, and would have
    no room for them in the end."""
    if request.node.path.parent.name not in ("hostile", "parent"):
        yield
        return
    before = set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    left = {int(fd) for fd in set(os.listdir("/proc/self/fd")) - before}
    # A socket that is still known to somebody would close another's number.
    for s in [o for o in gc.get_objects() if isinstance(o, socket.socket)]:
        if s.fileno() in left:
            left.discard(s.fileno())
            s.close()
    for fd in left:
        try:
            os.close(fd)
        except OSError:
            pass    # that of the listing itself


@pytest.fixture
def musterd():
    """Starts musterd: see harness.Musterd, which it returns."""
    mine = []

    def start(config, *args, **options):
        mine.append(harness.Musterd(config, *args, **options))
        return mine[-1].start()

    yield start
    problems = []
    for m in reversed(mine):
        try:
            m.close()
        except harness.Failure as failure:
            problems.append(str(failure))
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def as_user():
    """A uid other than root's for musterd(user=...); None: we are such."""
    return harness.NOBODY if os.geteuid() == 0 else None


@pytest.fixture
def cgroup():
    """The directory below which control groups can be made."""
    path = harness.cgroup_root()
    if path is None:
        pytest.skip("there is no cgroup2 hierarchy that we may write to")
    return path


# --- each test ends in time, and its files are kept if it fails ---


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    marker = item.get_closest_marker("timeout")
    limit = int((marker.args[0] if marker else LIMIT) * harness.patience())

    def late(number, frame):
        signal.alarm(CLEANUP)
        if not item.reporting:
            pytest.fail(f"no end after {limit} s")

    main = threading.current_thread() is threading.main_thread()
    # Should that not get through, the worker dies half a minute later.
    faulthandler.dump_traceback_later(limit + 30, exit=True)
    if main:
        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(limit)
    harness.Musterd.started.clear()
    item.went_wrong = False
    item.reporting = False
    yield
    if main:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    faulthandler.cancel_dump_traceback_later()
    for m in harness.Musterd.started:
        m.close(check=False)
        m.remove(kept(item) if item.went_wrong else None)


def kept(item):
    """Where the files of a test that failed are kept."""
    name = re.sub(r"[^\w.-]+", "-", item.nodeid)[:150]
    return harness.OBJ / "regress/failed" / name


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    item.reporting = True   # an exception here would end the whole worker
    report = (yield).get_result()
    item.reporting = False
    if not report.failed:
        return
    item.went_wrong = True
    for m in harness.Musterd.started:
        report.sections.append((
            "musterd", f"{m._text(m.file)}{m.tail()}\n"
            f"files: {kept(item) / m.dir.name}"))


def pytest_sessionfinish():
    if harness.Musterd.reachable:
        shutil.rmtree(harness.Musterd.reachable, ignore_errors=True)


# --- the totals, for regress/run ---


def pytest_terminal_summary(terminalreporter):
    path = os.environ.get("MUSTER_TOTALS")
    if not path or hasattr(terminalreporter.config, "workerinput"):
        return
    stats = terminalreporter.stats

    def count(*kinds):
        return sum(len(stats.get(kind, [])) for kind in kinds)

    def why(report):
        if isinstance(report.longrepr, tuple):
            return report.longrepr[2].removeprefix("Skipped: ")
        return getattr(report, "wasxfail", "") or "expected to fail"

    skips = stats.get("skipped", []) + stats.get("xfailed", [])
    totals = {"passed": count("passed", "xpassed"),
              "failed": count("failed", "error"),
              "skipped": [[r.nodeid, why(r)] for r in skips]}
    pathlib.Path(path).write_text(json.dumps(totals), encoding="utf-8")
