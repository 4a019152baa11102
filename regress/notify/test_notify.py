"""sd_notify: what a service manager above is told."""

import socket

from harness import job, sh


def listener(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    s.settimeout(20)
    return s


def told(s, until):
    """All datagrams up to the one that holds `until`."""
    got = []
    while not got or until not in got[-1]:
        got.append(s.recv(4096).decode())
    return got


def test_ready_after_all_is_verified(musterd, tmp_path):
    with listener(tmp_path / "n") as s:
        m = musterd({"keep_alive": True, "processes": {
            "slow": sh("sleep 0.5; touch up; sleep 1000",
                       verify={"file": "up"}),
            "b": job("sleep", "1000")}},
            env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        got = told(s, "READY=1")
        assert m.status() == "running"
        assert any("STATUS=0/2 ready, waiting for slow" in g for g in got)
        m.stop()
        assert "STOPPING=1" in told(s, "STOPPING=1")[-1]


def test_jobs_do_not_inherit_the_socket(musterd, tmp_path):
    with listener(tmp_path / "n"):
        m = musterd({"processes": {"a": sh("echo [$NOTIFY_SOCKET]")}},
                    env={"NOTIFY_SOCKET": str(tmp_path / "n")})
        assert m.wait() == 0
        assert "[]" in m.stdout_text()
