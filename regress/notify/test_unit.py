"""The unit of the service: what it must say, and must not."""

import re

from harness import ROOT

UNIT = (ROOT / "etc/musterd.service").read_text()
HARDENED = (ROOT / "etc/hardened.conf").read_text()


def settings(text):
    """Key to the list of its values."""
    found = {}
    for line in text.replace("\\\n", " ").splitlines():
        match = re.match(r"(\w+)=(.*)", line)
        if match:
            found.setdefault(match[1], []).append(match[2])
    return found


def test_what_the_default_says():
    unit = settings(UNIT)
    for key, value in (("Type", "notify"), ("NotifyAccess", "main"),
                       ("KillMode", "mixed"), ("Delegate", "yes"),
                       ("OOMPolicy", "continue"), ("TasksMax", "infinity")):
        assert unit[key] == [value]
    assert int(unit["WatchdogSec"][0]) > 0
    assert unit["ExecStartPre"][0].startswith("/usr/sbin/musterd -n -f ")
    assert unit["ExecReload"] == [unit["ExecStartPre"][0],
                                  "/bin/kill -HUP $MAINPID"]


def test_what_would_break_supervised_processes():
    unit = settings(UNIT)
    for key in ("NoNewPrivileges", "MemoryDenyWriteExecute",
                "RestrictNamespaces", "PrivateDevices", "ProtectSystem",
                "ProtectHome", "ProtectClock", "DevicePolicy", "User",
                "PrivateTmp", "SystemCallArchitectures"):
        assert key not in unit
    # Lists of what is taken away, not of all that is left.
    for key in ("CapabilityBoundingSet", "SystemCallFilter",
                "RestrictAddressFamilies"):
        assert all(value.startswith("~") for value in unit[key])
    assert unit["SystemCallErrorNumber"] == ["EPERM"]


def test_what_musterd_itself_needs_when_hardened():
    hardened = settings(HARDENED)
    assert hardened["NoNewPrivileges"] == ["yes"]
    # An empty value first: the lists of the unit take away.
    for key in ("CapabilityBoundingSet", "SystemCallFilter",
                "RestrictAddressFamilies"):
        assert hardened[key][0] == ""
    assert {"CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_SYS_CHROOT",
            "CAP_KILL"} <= set(hardened["CapabilityBoundingSet"][1].split())
    assert {"@system-service", "chroot", "seccomp"} <= set(
        hardened["SystemCallFilter"][1].split())
    assert {"AF_UNIX", "AF_NETLINK"} <= set(
        hardened["RestrictAddressFamilies"][1].split())
