"""What was built, what it needs, and what `make install` does with it."""

import os
import re
import shlex
import subprocess

import pytest

import harness

FOLDERS = {
    "parent": "sbin/musterd",
    "ctl": "bin/musterctl",
    "manager": "libexec/muster/muster-manager",
    "relay": "libexec/muster/muster-relay",
    "httpd": "libexec/muster/muster-httpd",
    "verifier": "libexec/muster/muster-verifier",
    "exec": "libexec/muster/muster-exec",
}
PROGRAMS = sorted(place for folder, place in FOLDERS.items()
                  if list((harness.ROOT / folder).glob("*.c")))
# What a sanitizer or the compiler brings with it.
RUNTIME = {"libasan", "libubsan", "libgcc_s", "libm", "libpthread", "librt",
           "libdl", "ld-linux-x86-64", "libc"}


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], capture_output=True,
                          check=True, encoding="utf-8").stdout


def needed(program):
    """The libraries that a program is linked with, without versions."""
    text = readelf("-d", str(harness.OBJ / program))
    return {re.split(r"[.]so|-\d", name)[0] for name in
            re.findall(r"\(NEEDED\).*\[(.*)\]", text)}


def test_the_parent_links_only_what_it_may():
    allowed = {"libevent_core", "libbsd"} | {"libc"}
    if harness.SAN:
        allowed |= RUNTIME
    assert needed("sbin/musterd") <= allowed


def test_the_trampoline_links_nothing():
    if "libexec/muster/muster-exec" not in PROGRAMS:
        pytest.skip("there is no exec/")
    assert needed("libexec/muster/muster-exec") <= (
        RUNTIME if harness.SAN else set())


@pytest.mark.parametrize("program", PROGRAMS)
def test_hardening(program):
    path = str(harness.OBJ / program)
    assert "DYN (" in readelf("-h", path)
    segments = readelf("-l", path)
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK .* RW +0x", segments)
    dynamic = readelf("-d", path)
    assert "BIND_NOW" in dynamic or "NOW" in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic


def test_install_and_uninstall(tmp_path):
    make = shlex.split(os.environ.get("MUSTER_MAKE", ""))
    if not make:
        pytest.skip("not run by make")

    def run(target):
        subprocess.run([*make, "-s", target, f"DESTDIR={tmp_path}"],
                       cwd=harness.ROOT, check=True)
        return {str(p.relative_to(tmp_path)): p
                for p in tmp_path.rglob("*") if p.is_file()}

    files = run("install")
    prefix = next(name for name in files
                  if name.endswith("/sbin/musterd"))[:-len("sbin/musterd")]
    for program in PROGRAMS:
        assert files[prefix + program].stat().st_mode & 0o7777 == 0o755
    for page in harness.ROOT.glob("*/*.[1-9]"):
        section = page.suffix[1:]
        assert f"{prefix}share/man/man{section}/{page.name}" in files
    # The configuration of an operator is never overwritten nor removed.
    for name, path in files.items():
        if name.endswith("etc/muster/muster.yaml"):
            assert path.stat().st_mode & 0o7777 == 0o640
            path.write_text("mine\n")
            assert run("install")[name].read_text() == "mine\n"
    assert [name for name in run("uninstall")
            if not name.endswith("etc/muster/muster.yaml")] == []


@pytest.mark.parametrize("program", ["sbin/musterd", "bin/musterctl"])
@pytest.mark.parametrize("option", ["-V", "-h"])
def test_nobody_could_read_it(program, option):
    with open("/dev/full", "w") as full:
        done = subprocess.run([harness.OBJ / program, option], stdout=full,
                              stderr=subprocess.PIPE, encoding="utf-8")
    assert done.returncode == 1
    assert "standard output: No space left on device" in done.stderr
