"""Live components are driven through system calls that they would not do: they
are refused or end the component, which is replaced, and nothing else."""

import os
import platform
import socket
import struct

import pytest

import harness
import live
from live import ROLES

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(platform.machine() != "x86_64",
                       reason="calls are injected on x86_64 only")]

EPERM, ENOENT, EAGAIN, EACCES, ENOTTY, ENOSYS, EAFNOSUPPORT = (
    -1, -2, -11, -13, -25, -38, -97)
ENTRIES = 512       # more than there are system calls
X32 = 0x40000000
AT_FDCWD = -100
SIGCHLD, CLONE_NEWNS, CLONE_NEWUSER = 17, 0x20000, 0x10000000
PTRACE_ATTACH, RLIMIT_NPROC = 16, 6
READ, DIRECTORY, EXECUTE = os.O_RDONLY, os.O_DIRECTORY, 4


def words(text):
    return set(text.split())


# Who may do what, whatever the arguments. It stands here once more, so that
# nothing is added to the list without a thought.
EVERY = words("""
    brk clock_gettime close epoll_ctl epoll_pwait epoll_wait exit_group fstat
    futex getpid getrandom gettid gettimeofday madvise mremap munmap newfstatat
    read recvmsg restart_syscall rt_sigprocmask rt_sigreturn sendmsg write
    writev""")
NETWORK = words("exit getsockname getsockopt recvfrom sendto sysinfo")
ASKS = words("connect poll ppoll")
MAY = {
    "manager": EVERY | {"exit", "sysinfo"},
    "relay": EVERY | words("clock_nanosleep fallocate lseek pread64 pwrite64 "
                           "splice"),
    "httpd": EVERY | NETWORK | words("accept4 poll ppoll shutdown"),
    "verifier": EVERY | NETWORK | ASKS | words("getpeername rt_sigaction "
                                               "shutdown"),
    "resolver": EVERY | NETWORK | ASKS | words("lseek readv sendmmsg uname"),
}
# Who may do what with some arguments, but not with -1 for each.
CHECKED = {role: words("fcntl mmap mprotect tgkill") for role in ROLES}
CHECKED["relay"] = words("fcntl ioctl mmap tgkill")
CHECKED["verifier"] |= {"socket", "setsockopt"}
CHECKED["resolver"] |= words("ioctl openat socket setsockopt")
# What does no harm to the caller, and nothing else either.
REFUSED = dict.fromkeys(words("access faccessat faccessat2 lstat open openat "
                              "readlink readlinkat stat statx"), EACCES)
REFUSED_BY = {
    "manager": REFUSED | {"ioctl": ENOTTY},
    "relay": REFUSED | {"ioctl": ENOTTY, "mprotect": EACCES,
                        "sysinfo": ENOSYS},
    "httpd": REFUSED | {"ioctl": ENOTTY},
    "verifier": REFUSED | {"ioctl": ENOTTY},
    "resolver": {k: v for k, v in REFUSED.items() if k != "openat"} |
    {"ioctl": ENOTTY, "mmap": EACCES, "mprotect": EACCES},
}
# The kernel takes these past each filter, and they need a probe of root's.
PAST = {335: "uretprobe", 336: "uprobe"}
if harness.SAN:
    EVERY_SAN = {"sched_yield", "sigaltstack"}
    MAY = {role: calls | EVERY_SAN for role, calls in MAY.items()}

FAMILIES = {"AF_UNIX": 1, "AF_NETLINK": 16, "AF_PACKET": 17, "AF_ALG": 38,
            "AF_VSOCK": 40, "AF_XDP": 44, "AF_BLUETOOTH": 31, "AF_TIPC": 30,
            "AF_KEY": 15, "AF_RDS": 21, "AF_SMC": 43, "AF_CAN": 29}


def cases(parent, role):
    """Calls as an attacker would make them, and what must come of each."""
    path, empty = "/etc/passwd", b"\0" * 64
    end = {"killed"}
    refused = {EACCES}
    yield from ((call, end) for call in (
        ("openat2", AT_FDCWD, path, empty, 24),
        ("creat", "/tmp/x", 0o600),
        ("execve", "/bin/true", 0, 0),
        ("execveat", AT_FDCWD, "/bin/true", 0, 0, 0),
        ("name_to_handle_at", AT_FDCWD, path, empty, empty, 0),
        ("open_by_handle_at", AT_FDCWD, empty, READ),
        ("bind", 3, struct.pack("<HH4s8x", 2, 0, b"\x7f\0\0\1"), 16),
        ("listen", 3, 5),
        ("accept", 3, 0, 0),
        ("kill", parent, 0), ("kill", -1, 0), ("tkill", parent, 0),
        ("tgkill", parent, parent, 0),
        ("rt_sigqueueinfo", parent, 0, empty),
        ("pidfd_open", parent, 0), ("pidfd_open", 1, 0),
        ("pidfd_send_signal", 3, 0, 0, 0), ("pidfd_getfd", 3, 0, 0),
        ("ptrace", PTRACE_ATTACH, parent, 0, 0),
        ("process_vm_readv", parent, empty, 1, empty, 1, 0),
        ("process_vm_writev", parent, empty, 1, empty, 1, 0),
        ("clone", SIGCHLD, 0, 0, 0, 0), ("clone", CLONE_NEWUSER, 0, 0, 0, 0),
        ("clone3", empty, 64), ("fork",), ("vfork",),
        ("mount", "none", "/", "tmpfs", 0, 0), ("umount2", "/", 2),
        ("pivot_root", "/", "/"), ("chroot", "/"), ("chdir", "/"),
        ("move_mount", -1, "", AT_FDCWD, "/", 4), ("fsopen", "ext4", 0),
        ("bpf", 5, empty, 64), ("io_uring_setup", 1, empty),
        ("userfaultfd", 0), ("keyctl", 0, 0, 0, 0, 0),
        ("add_key", "user", "x", "y", 1, -2),
        ("perf_event_open", empty, 0, -1, -1, 0),
        ("unshare", CLONE_NEWNS), ("unshare", CLONE_NEWUSER), ("setns", 3, 0),
        ("setuid", 0), ("setgid", 0), ("setresuid", 0, 0, 0),
        ("setresgid", 0, 0, 0), ("setgroups", 0, 0), ("setfsuid", 0),
        ("capset", empty, empty), ("seccomp", 1, 0, empty),
        # SECCOMP, KEEPCAPS, SECUREBITS, DUMPABLE, PDEATHSIG, NO_NEW_PRIVS,
        # MM, PTRACER, TAGGED_ADDR_CTRL, VMA
        *(("prctl", option, 0, 0, 0, 0) for option in (
            22, 8, 28, 4, 1, 38, 35, 0x59616d61, 55, 0x53564d41)),
        ("arch_prctl", 0x1001, 0), ("modify_ldt", 0, empty, 16),
        ("personality", 0x0400000), ("memfd_create", "x", 0),
        ("memfd_secret", 0), ("pkey_mprotect", 0, 4096, EXECUTE, 0),
        ("shmat", 0, 0, 0), ("remap_file_pages", 0, 0, 0, 0, 0),
        ("init_module", empty, 64, ""), ("finit_module", 3, "", 0),
        ("delete_module", "x", 0), ("iopl", 3), ("ioperm", 0, 8, 1),
        ("reboot", 0, 0, 0, 0), ("kexec_load", 0, 0, 0, 0),
        ("prlimit64", 0, RLIMIT_NPROC, struct.pack("QQ", 9, 9), 0),
        ("prlimit64", parent, RLIMIT_NPROC, 0, empty),
        ("setrlimit", RLIMIT_NPROC, struct.pack("QQ", 9, 9)),
        ("mprotect", 4096, 4096, EXECUTE)
        if role in ("manager", "httpd", "verifier") else ("setsid",),
        ("mmap", 0, 4096, EXECUTE, 0x22, -1, 0)
        if role != "resolver" else ("setsid",),
        ("fcntl", 3, 0, 0),             # F_DUPFD
        ("fcntl", 3, 8, parent),        # F_SETOWN
        ("fcntl", 3, 1031, 4096) if role != "relay" else ("setsid",)))
    yield ("open", path, READ), refused
    yield ("openat", AT_FDCWD, path, os.O_RDWR), \
        end if role == "resolver" else refused
    yield ("openat", AT_FDCWD, path, os.O_RDONLY | os.O_CREAT), \
        end if role == "resolver" else refused
    yield ("ioctl", 0, 0x5412, "x"), {ENOTTY}       # TIOCSTI
    if role in ("resolver", "relay"):
        yield ("mprotect", 4096, 4096, EXECUTE), refused
    if role == "resolver":
        yield ("mmap", 0, 4096, EXECUTE, 0x22, -1, 0), refused
    for name, family in FAMILIES.items():
        for kind in (1, 2, 3, 5):       # STREAM DGRAM RAW SEQPACKET
            yield ("socket", family, kind, 0), {EAFNOSUPPORT} \
                if role == "resolver" and name in ("AF_UNIX", "AF_NETLINK") \
                else end
    yield from socket_cases(role)


def socket_cases(role):
    """TCP and UDP: for those that ask others."""
    asks = role in ("verifier", "resolver")
    end = {"killed"}
    for family in (2, 10):
        yield ("socket", family, 3, 1), end             # RAW
        yield ("socket", family, 1, 132), end           # SCTP
        yield ("socket", family, 1, 262), end           # MPTCP
        if not asks:
            yield ("socket", family, 1, 0), end
            yield ("socket", family, 2, 0), end
        if role == "verifier":
            yield ("socket", family, 2, 0), {EAFNOSUPPORT}
    if not asks:
        yield ("connect", 3, struct.pack("<HH4s8x", 2, 0, b"\x7f\0\0\1"),
               16), end
        yield ("setsockopt", 3, 1, 9, struct.pack("i", 1), 4), end
    for level, option in ((1, 26), (1, 50), (6, 31), (0, 35), (41, 1)):
        # Filters, TCP_ULP, a group of addresses, IPV6_ADDRFORM
        yield ("setsockopt", 3, level, option, struct.pack("i", 1), 4), end


def line(abi, call, *args):
    return " ".join(["twin", abi, str(call), *map(live.word, args)])


def outcome(text):
    return int(text) if text.lstrip("-").isdigit() else text


# --- the filter ---


def test_filter(everything):
    """Each live component has the filter of its role and no other, and a
    successor has it, too."""
    expected = {role: live.filter_of("-r", role) for role in ROLES}
    for _ in range(2):
        before = everything.all_there()
        for role, pids in before.items():
            for pid in pids:
                assert not live.different(live.filter_of("-f", pid),
                                          expected[role]), role
        lost = [pid for pids in before.values() for pid in pids]
        for pid in lost:
            os.kill(pid, 9)
        everything.replaced(before, *lost)


def test_every_number(everything_else):
    """All system calls that there are, by the filters of live components: who
    may do what is as the lists above say, and as the components do."""
    m = everything_else("-w")
    told = counts(m)
    none = [-1] * 6
    for role, pids in m.pids().items():
        got = m.inject(pids[0]).calls(
            line("native", n, *none) for n in range(ENTRIES))
        assert len(got) == ENTRIES
        alive = {name: result for n, (name, result) in enumerate(got)
                 if result != "killed" and n not in PAST}
        refused = REFUSED_BY[role]
        assert set(alive) - set(refused) == MAY[role], role
        assert {name: int(alive[name]) for name in refused} == refused
        assert told[role] == len(MAY[role] | CHECKED[role]) - (
            2 if harness.SAN else 0)


def counts(m):
    """How many calls each component says that it may make."""
    return {role: int(m.m.wait_text(
        rf" {role}: sandboxed: (\d+) system calls are allowed$")[1])
        for role in ROLES}


@pytest.mark.parametrize("abi,first", [("i386", 0), ("x32", X32)])
def test_other_abis(everything_else, abi, first):
    """What may be done on the native ABI may not on others."""
    m = everything_else()
    none = [-1] * 6
    # Without IA32 emulation there is no such entry.
    ends = {"killed"} | ({"signal 11"} if abi == "i386" else set())
    for role, pids in m.pids().items():
        got = m.inject(pids[0]).calls(
            line(abi, first + n, *none) for n in range(ENTRIES))
        assert [g for g in got if g[1] not in ends] == [], role
        assert len(got) == ENTRIES


def test_attacks(everything_else):
    """With arguments that make sense, in each role."""
    m = everything_else()
    parent = m.m.parent().pid
    for role, pids in m.pids().items():
        table = list(cases(parent, role))
        got = m.inject(pids[0]).calls(
            line("native", *call) for call, _ in table)
        wrong = [(call, result) for (call, expected), (_, result) in zip(
            table, got) if outcome(result) not in expected]
        assert not wrong, role
        assert len(got) == len(table)


# --- in the live components themselves ---

ROUNDS = [
    ("native", "execve", "/bin/true", 0, 0),
    ("native", "openat2", AT_FDCWD, "/etc/passwd", b"\0" * 24, 24),
    ("native", "kill", "PARENT", 0),
    ("native", "clone", SIGCHLD, 0, 0, 0, 0),
    ("i386", "getpid"),
]


def test_killed(everything):
    """The component ends and is replaced; no process notices."""
    m = everything
    jobs = m.jobs()
    parent = m.m.parent().pid
    for abi, name, *args in ROUNDS:
        args = [parent if a == "PARENT" else a for a in args]
        before = m.all_there()
        lost = [before[role][0] for role in ROLES]
        for pid in lost:
            assert m.inject(pid).call("live", abi, name, *args) in (
                "killed", "signal 11" if abi == "i386" else "killed")
        m.replaced(before, *lost)
        assert m.jobs() == jobs
    for role in ROLES:
        m.m.wait_text(rf"muster-{role} \d was ended by signal 31 "
                      r"\(a system call that it may not make\)$")
    assert m.m.get("/v1/processes/3/streams/stdout").text == "c\n"


def test_refused(everything):
    """What is refused leaves the component as it was."""
    m = everything
    before = m.all_there()
    jobs = m.jobs()
    refused = {("open", "/etc/passwd", READ): EACCES,
               ("openat", AT_FDCWD, "/etc/shadow", READ): EACCES,
               ("access", "/etc/passwd", 0): EACCES,
               ("stat", "/etc/passwd", b"\0" * 256): EACCES,
               ("ioctl", 0, 0x5412, "x"): ENOTTY}
    for role, pids in before.items():
        for pid in pids:
            injector = m.inject(pid)
            for (name, *args), expected in refused.items():
                if name == "openat" and role == "resolver" and \
                        live.landlock() < 1:
                    continue
                assert injector.call("live", "native", name, *args) == \
                    expected, (role, name)
    assert m.m.status() == "running"
    assert m.jobs() == jobs
    assert m.pids() == before


# --- were there no filter ---


def test_other_walls(everything):
    """With the filter suspended, the other walls hold: root directory, user,
    capabilities, limits, Landlock."""
    m = everything
    before = m.all_there()
    wrong = [w for role, pids in before.items()
             for w in holes(m, role, m.inject(pids[0]))]
    assert not wrong
    assert m.pids() == before and m.m.status() == "running"


def holes(m, role, injector):
    """What another wall should have refused and has not."""
    version = live.landlock()
    parent = m.m.parent().pid
    job = m.m.all()["kept"]["pid"]
    table = [
        (("clone", SIGCHLD, 0, 0, 0, 0), {EAGAIN}),
        (("setuid", 0), {EPERM}), (("setresgid", 0, 0, 0), {EPERM}),
        (("setgroups", 0, 0), {EPERM}), (("chroot", "/"), {EPERM}),
        (("mount", "none", "/", "tmpfs", 0, 0), {EPERM}),
        (("unshare", CLONE_NEWNS), {EPERM}),
        (("socket", 17, 3, 0), {EPERM}), (("socket", 2, 3, 1), {EPERM}),
        (("prlimit64", 0, RLIMIT_NPROC, struct.pack("QQ", 9, 9), 0), {EPERM}),
        (("ptrace", PTRACE_ATTACH, parent, 0, 0), {EPERM}),
        (("ptrace", PTRACE_ATTACH, job, 0, 0), {EPERM})]
    if m.dropped or version >= 6:
        table += [(("kill", parent, 0), {EPERM}), (("kill", job, 0), {EPERM})]
    if version >= 1:
        gone = {EACCES, ENOENT} if m.dropped else {EACCES}
        table += [
            (("execve", "/bin/true", 0, 0), gone | {EAGAIN}),
            (("openat", AT_FDCWD, "/etc/passwd", READ), gone),
            (("openat", AT_FDCWD, "/proc/self/mem", os.O_RDWR), gone),
            (("openat", AT_FDCWD, str(m.m.file), READ), gone),
            (("openat", AT_FDCWD, "/", READ | DIRECTORY), {EACCES})]
    for call, expected in table:
        got = injector.call("bare", "native", *call)
        if got not in expected:
            yield role, call, got
    if version >= 4:
        yield from net_holes(m, role, injector)
    if version >= 6:
        yield from abstract_hole(role, injector)


def net_holes(m, role, injector):
    """Landlock and TCP: nobody listens, and the verifier alone asks."""
    here = socket.inet_aton("127.0.0.1")
    for name, port, allowed in (("bind", 0, False),
                                ("connect", m.m.port, role == "verifier")):
        address = struct.pack("!2sH4s8x", struct.pack("=H", 2),
                              port or harness.free_port(), here)
        fd = injector.call("bare", "native", "socket", 2, 1, 0)
        got = injector.call("bare", "native", name, fd, address, 16)
        injector.call("bare", "native", "close", fd)
        if got != (0 if allowed else EACCES):
            yield role, name, got


def abstract_hole(role, injector):
    """Landlock and names of sockets that are in no directory."""
    name = f"\0muster-{os.getpid()}-{role}".encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(name)
        s.listen()
        fd = injector.call("bare", "native", "socket", 1, 1, 0)
        got = injector.call("bare", "native", "connect", fd, struct.pack(
            "=H", 1) + name, 2 + len(name))
        injector.call("bare", "native", "close", fd)
    if got != EPERM:
        yield role, "abstract socket", got
