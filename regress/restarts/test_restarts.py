"""What brings a process back."""

import os
import shutil
import signal

import pytest

import harness
from harness import job, sh

KEEP = {"keep_alive": True}


@pytest.fixture
def program(musterd, tmp_path):
    """Starts musterd with a job whose program can be taken away."""
    path = tmp_path / "prog"
    shutil.copyfile("/bin/sleep", path)
    path.chmod(0o755)

    def start(**more):
        m = musterd({**KEEP, "processes": {"a": job(str(path), "4000",
                                                    **more)}})
        return m, path, m.wait_state("a", "running")["pid"]
    return start


def own_manager(m):
    return m.component("muster-manager")[0]


# --- a program that cannot be started again ---


@pytest.mark.parametrize("policy", ["always", "on-failure"])
def test_a_program_that_was_away_for_a_while(program, policy):
    m, path, pid = program(restart=policy, backoff={"max": 0.2})
    aside = path.with_name("aside")
    path.rename(aside)
    os.kill(pid, signal.SIGKILL)
    # The first restart has no pause; others have.
    m.wait_text(r"(?s)(No such file or directory.*){3}")
    aside.rename(path)
    assert m.wait_state("a", "running")["pid"] != pid
    assert m.running()


def test_a_program_that_stays_away(program):
    m, path, pid = program(restart="always", backoff={"initial": 0},
                           **{"start-limit": {"count": 4, "within": 60}})
    path.unlink()
    os.kill(pid, signal.SIGKILL)
    m.wait_state("a", "failed")
    # An end of it, and three that never began.
    assert m.stderr_text().count("No such file") + m.stdout_text().count(
        "No such file") == 3


def test_no_policy(program):
    """A restart that was asked for is answered, and not tried again."""
    m, path, _ = program()
    path.unlink()
    answer = m.post("/restart/1")
    assert answer.status == 500 and "No such file" in answer.text
    assert m.all()["a"]["state"] == "failed"


def test_it_was_the_one_that_counts(program):
    m, path, pid = program(**{"restart": "always", "on-exit": "shutdown",
                              "start-limit": {"count": 2, "within": 60}})
    path.unlink()
    os.kill(pid, signal.SIGKILL)
    assert m.wait() == 127


def test_the_next_manager_goes_on(program):
    """It finds a process that could not be started, and that waits."""
    m, path, pid = program(restart="always",
                           backoff={"initial": 0.1, "max": 0.1})
    aside = path.with_name("aside")
    path.rename(aside)
    os.kill(pid, signal.SIGKILL)
    m.wait_state("a", "backoff")
    harness.kill(own_manager(m))
    aside.rename(path)
    m.wait_state("a", "running")


def test_what_a_failed_start_has_left(musterd, tmp_path):
    """It goes before the next one comes; nobody takes that for an attack."""
    place = tmp_path / "place"
    place.mkdir()
    environment = tmp_path / "environment"
    environment.write_text("sleep 4000 &\n")
    m = musterd({**KEEP, "processes": {"a": job(
        "sleep", "4000", restart="always", backoff={"initial": 0},
        environment_file=str(environment), working_directory=str(place),
        **{"start-limit": {"count": 10, "within": 60}})}})
    pid = m.wait_state("a", "running")["pid"]
    manager = own_manager(m)
    place.rmdir()
    os.kill(pid, signal.SIGKILL)
    m.wait_state("a", "failed")
    assert own_manager(m) == manager
    assert not [p for p in m.descendants() if p.name == "sleep"]


def test_retries_in_a_row(musterd):
    """One that has lived well in between has all of them again."""
    m = musterd({**KEEP, "processes": {"a": sh(
        "echo x >>lives; "
        "test $(wc -l <lives) -eq 3 && exec sleep 0.6; exit 1",
        restart="always", backoff={"initial": 0},
        **{"start-limit": {"count": 1, "within": 0.5, "retry-after": 0.05,
                           "retries": 2}})}})
    m.wait_state("a", "failed", timeout=20)
    # Two retries, the third life is long; and two more after it.
    lives = (m.dir / "lives").read_text().count("x")
    assert lives == 5
