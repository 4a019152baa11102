"""The programs of a musterd that runs are confined, and so is whoever takes
the place of one that was lost."""

import os
import re
import signal
import ssl
import urllib.request

import pytest

import certificates
import harness
import live
from live import ROLES

NOTHING = "0" * 16
SAN_CALLS = 2 if harness.SAN else 0
MOST = {"manager": 40, "relay": 35, "httpd": 40, "verifier": 45,
        "resolver": 48}


def problems_of(m, role, pid):
    """What is not as it must be, of one process."""
    status = live.status(pid)
    expected = {"Seccomp": "2", "NoNewPrivs": "1", "CapInh": NOTHING,
                "CapPrm": NOTHING, "CapEff": NOTHING, "CapAmb": NOTHING,
                "Threads": "1", "TracerPid": "0"}
    if "Seccomp_filters" in status:     # from Linux 5.9 on
        expected["Seccomp_filters"] = "1"
    if m.dropped:
        user = status["Uid"].split()[0]
        expected |= {"CapBnd": NOTHING, "Groups": "",
                     "Uid": "\t".join([user] * 4),
                     "Gid": "\t".join([status["Gid"].split()[0]] * 4)}
        if user == "0" or status["Gid"].startswith("0"):
            yield f"{role}: root"
    for key, value in expected.items():
        if status[key].strip() != value:
            yield f"{role}: {key} is {status[key]}, not {value}"
    limits = live.limits(pid)
    none = ["Max core file size", "Max processes"]
    if role != "relay":
        none.append("Max file size")
    for key in none:
        if limits[key] != ("0", "0"):
            yield f"{role}: {key} is {limits[key]}"
    if os.getsid(pid) != pid:
        yield f"{role}: not in a session of its own"
    if os.stat(f"/proc/{pid}/mem").st_uid != 0:
        yield f"{role}: dumpable"


def check(m):
    """All components, by what /proc tells everybody."""
    problems = [p for role, pids in m.all_there().items() for pid in pids
                for p in problems_of(m, role, pid)]
    assert not problems


def lose_all(m):
    """Kill all components; no process of the configuration notices."""
    jobs = m.jobs()
    before = m.pids()
    lost = [pid for role in ROLES for pid in before[role]]
    for pid in lost:
        os.kill(pid, signal.SIGKILL)
    m.replaced(before, *lost)
    assert m.jobs() == jobs


def test_confined(everything):
    check(everything)
    lose_all(everything)
    check(everything)


# --- what they have in their hands ---

UNIX = "AF_UNIX SOCK_STREAM"
EACH = {"/dev/null rw": 3, "eventpoll": 1, "pipe r": 1, "pipe w": 1}


def expected_descriptors(m):
    """By role: how many of each kind. The pipe is libevent's; what is
    connected by AF_UNIX are the channels to parent and peers, and in the
    verifier the 16 pairs with which libcurl would wake up its transfers."""
    out = [f"{path} w" for path in (m.m.stdout, m.m.stderr)]
    return {
        "manager": EACH | {UNIX: 5},
        "relay": EACH | {UNIX: 4, "eventpoll": 2, "pipe r": 1 + 4,
                         "/memfd:journal rw": 3, f"{m.m.dir}/log w": 1,
                         **{path: 1 for path in out}},
        "httpd": EACH | {UNIX: 3, "AF_NETLINK SOCK_DGRAM 4": 1,
                         "AF_INET SOCK_STREAM listens": 1,
                         f"{UNIX} listens": 1},
        "verifier": EACH | {UNIX: 3 + 32, "/etc/ssl/certs/"
                            "ca-certificates.crt r": 1},
        "resolver": EACH | {UNIX: 2}}


def check_descriptors(m):
    expected = expected_descriptors(m)
    for role, pids in m.all_there().items():
        for pid in pids:
            try:
                harness.wait_for("the descriptors", lambda: (
                    live.descriptors(pid) == expected[role]), 2)
            except harness.Failure:
                assert (role, live.descriptors(pid)) == (role, expected[role])


@pytest.mark.needs_root
def test_descriptors(everything):
    check_descriptors(everything)
    lose_all(everything)
    check_descriptors(everything)


@pytest.mark.needs_root
def test_root_directory(everything_else):
    """It is empty; the resolver keeps the real one and has Landlock."""
    m = everything_else()
    for _ in range(2):
        for role, pids in m.all_there().items():
            for pid in pids:
                entries = os.listdir(f"/proc/{pid}/root/")
                assert bool(entries) == (role == "resolver"), role
                assert os.listdir(f"/proc/{pid}/cwd/") == [] or \
                    role == "resolver"
        lose_all(m)


# --- what is told ---


def counts(m):
    """How many calls each component says that it may make."""
    return {role: int(m.m.wait_text(
        rf" {role}: sandboxed: (\d+) system calls are allowed$")[1])
        for role in ROLES}


def test_counts(everything_else):
    for role, count in counts(everything_else("-w")).items():
        print(f"{role}: {count} system calls")
        assert 20 <= count <= MOST[role] + SAN_CALLS


@pytest.mark.needs_root
def test_trap(everything_else):
    """With MUSTER_TRAP each names the call that ends it."""
    m = everything_else(env={"MUSTER_TRAP": "1"})
    check_trapped(m, "execve", "/bin/true", 0, 0)
    if not harness.SAN:     # its run-time has such habits
        check_trapped(m, "access", "/etc/passwd", 0)


def check_trapped(m, call, *args):
    assert not re.search(rf"sandbox: .*{call}", m.m.stderr_text())
    before = m.all_there()
    for role in ROLES:
        pid = before[role][0]
        assert m.inject(pid).call("live", "native", call, *args) == "trapped"
        m.m.wait_text(rf"^musterd: {role}: sandbox: system call \d+ {call} "
                      "is not allowed$")
        m.m.wait_text(rf"muster-{role} \d has ended with status 159$")
    m.replaced(before, *(before[role][0] for role in ROLES))


def test_no_trap(everything_else):
    """Nothing is refused in daily work, not even what is no crime."""
    m = everything_else(env={"MUSTER_TRAP": "1"})
    assert m.m.ctl("status").returncode == 0
    assert m.m.get("/v1/processes/3/streams/stdout").text == "c\n"
    m.m.post("/restart/4", timeout=40)
    m.m.signal(signal.SIGHUP)
    m.m.wait_status()
    assert "sandbox:" not in m.m.stderr_text()


# --- the workers that can TLS ---


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pair(authority):
    return tuple(map(str, authority.issue("server")))


@pytest.mark.needs_program("openssl")
def test_tls_is_confined(everything_else, pair):
    m = everything_else(tls=pair)
    check(m)
    lose_all(m)
    check(m)


@pytest.mark.needs_root
@pytest.mark.needs_program("openssl")
def test_tls_has_the_filter_of_httpd(everything_else, pair):
    m = everything_else(tls=pair)
    before = m.all_there()
    for pid in before["httpd"]:
        assert not live.different(live.filter_of("-f", pid),
                                  live.filter_of("-r", "httpd"))
        assert sorted(live.descriptors(pid)) == sorted(
            expected_descriptors(m)["httpd"])
        assert os.listdir(f"/proc/{pid}/root/") == []
    lost = before["httpd"][0]
    injector = m.inject(lost)
    assert injector.call("live", "native", "execve", "/bin/true", 0, 0) == \
        "killed"
    m.replaced(before, lost)


@pytest.mark.needs_program("openssl")
def test_no_trap_with_tls(everything_else, authority, pair):
    """TLS is served, and a new certificate taken, by what is allowed."""
    m = everything_else(tls=pair, env={"MUSTER_TRAP": "1"})
    trust = ssl.create_default_context(cafile=str(authority.cert))
    url = f"https://localhost:{m.m.port}/status"
    for _ in range(2):
        for _ in range(8):
            with urllib.request.urlopen(url, context=trust) as answer:
                assert answer.status == 200
        authority.issue("server")
        m.m.signal(signal.SIGHUP)
        m.m.wait_status(over="unix")
    with pytest.raises(OSError):
        urllib.request.urlopen(url, context=ssl.create_default_context())
    m.all_there()
    assert "sandbox:" not in m.m.stderr_text()
