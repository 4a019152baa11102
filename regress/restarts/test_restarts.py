"""What brings a process back, and what is asked of all that it has left."""

import os
import re
import shutil
import signal

import pytest

import harness
from harness import job, sh

KEEP = {"keep_alive": True}
# Of the group; it notes what it was told, and says when it listens.
NOTES = ("trap '' INT; trap 'touch told; exit' TERM; touch ready; "
         "while :; do sleep 0.1; done")


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
    m.wait_text(r"(?s)(No such file.*){3}")
    assert (m.stderr_text() + m.stdout_text()).count("No such file") == 3


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
    manager = own_manager(m).pid
    place.rmdir()
    os.kill(pid, signal.SIGKILL)
    m.wait_state("a", "failed")
    assert own_manager(m).pid == manager
    harness.wait_for("the end of the last", lambda: not [
        p for p in m.descendants() if p.name == "sleep"])


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


# --- what is left of a process that was asked to end ---


def test_its_other_sessions_are_asked(musterd):
    """Not only killed at the end of the graceful time."""
    m = musterd({"graceful_time": 50, "processes": {"a": sh(
        f'setsid sh -c "{NOTES}" & exec sleep 4000')}}, grace=60)
    harness.wait_for("the other session", (m.dir / "ready").exists)
    assert m.stop(30) == 0
    assert (m.dir / "told").exists()


def test_its_group_is_asked_once(musterd):
    """A second signal would mean: at once."""
    m = musterd({"graceful_time": 50, "processes": {"a": sh(
        "sh -c \"trap 'echo told >>told; sleep 0.3' TERM; touch ready; "
        "while ! test -e told; do sleep 0.02; done\" & exec sleep 4000")}})
    harness.wait_for("the child", (m.dir / "ready").exists)
    assert m.stop(30) == 0
    assert (m.dir / "told").read_text() == "told\n"


def test_the_sequence_goes_on_without_the_first(musterd):
    m = musterd({"processes": {"a": sh(
        f'sh -c "{NOTES}" & trap exit INT; while :; do sleep 0.1; done',
        stop=[{"signal": "INT", "wait": 0.3}, {"signal": "TERM",
                                               "wait": 50}])}})
    harness.wait_for("the child", (m.dir / "ready").exists)
    assert m.stop(30) == 0
    assert (m.dir / "told").exists()


def test_its_own_graceful_time(musterd):
    """It holds for what is left by one that ends by itself, too."""
    m = musterd({**KEEP, "graceful_time": 50, "processes": {"a": sh(
        "setsid sh -c \"trap '' TERM; echo \\$\\$ >pid; mv pid ready; "
        "while :; do sleep 0.1; done\" & while ! test -e ready; do "
        "sleep 0.02; done", graceful_time=0.2)}})
    m.wait_state("a", "exited", timeout=20)
    assert re.fullmatch(r"\d+\n", (m.dir / "ready").read_text())
    assert not harness.alive(int((m.dir / "ready").read_text()))


# --- what others wait for ---

# Instance 0 ends when it likes, the other one when it is told.
TASK = ("echo $0 >> ran; [ $0 = 0 ] || while ! [ -f go ]; do sleep 0.02; done; "
        "exit {0}")


def ran(m, times):
    path = m.dir / "ran"
    harness.wait_for("so many runs", lambda: path.exists() and
                     path.read_text().count("0\n") == times)


def test_each_instance_must_end_well(musterd):
    """One that ends well twice does not stand for two."""
    m = musterd({**KEEP, "processes": {
        "task": sh(TASK.format(0), "$(instance)", instances=2),
        "late": job("sleep", "4000", after={"task": "exited"})}})
    ran(m, 1)
    for n in range(2, 4):
        assert m.ctl("restart", "id:1").returncode == 0
        ran(m, n)
    harness.wait_for("its end", lambda: m.get(
        "/v1/processes/1").json()["state"] == "exited")
    assert m.state("late") == "waiting"
    os.kill(own_manager(m).pid, signal.SIGKILL)
    harness.wait_for("an answer", lambda: m.post("/restart/9").status == 404)
    assert m.state("late") == "waiting"
    (m.dir / "go").touch()
    m.wait_state("late", "running")


def test_the_instance_that_ended_badly_is_told(musterd):
    m = musterd({**KEEP, "processes": {
        "task": sh(TASK.format("$0"), "$(instance)", instances=2),
        "late": job("sleep", "4000", after={"task": "exited"})}})
    ran(m, 1)
    (m.dir / "go").touch()
    assert m.wait() == 5
    assert "RuntimeError: task exited with code 1, and late waits for its " \
        "success" in m.stdout_text()


def test_that_it_gives_up_is_told(musterd):
    m = musterd({**KEEP, "processes": {"a": sh(
        "exit 3", restart="always", backoff={"initial": 0},
        **{"start-limit": {"count": 3}})}})
    m.wait_text(r"^\[WARNING\] manager: default.a: exited with code 3, and is "
                r"not started again \(start-limit\)$")
    m.wait_state("a", "failed")


def test_an_output_file_that_cannot_be(musterd):
    """There is no more to be seen in it."""
    m = musterd({"processes": {"a": job("true", redirect_output="no/log")}})
    assert m.wait() == 5
    assert "%s/no/log' (output file)" % m.dir in m.stdout_text()
    assert "more is in" not in m.stdout_text() + m.stderr_text()
