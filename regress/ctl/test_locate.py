"""Which musterd is meant, and what is said when it is not there."""

import http.server
import os
import pathlib
import shutil
import socket
import threading

import pytest

import harness
from fakemusterd import Fake


def fnv1a(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return f"{value:016x}"


def name_of(directory, file):
    """The rule of musterd: NAME-HASH.sock, of the file's real path."""
    real = os.path.realpath(file)
    name = os.path.basename(real)
    path = f"{directory}/{name}-{fnv1a(os.fsencode(real))}.sock"
    if len(os.fsencode(path)) > 107:
        path = f"{directory}/{name[:4]}-{fnv1a(os.fsencode(real))}.sock"
    return path


class User:
    """musterctl as somebody who is not root, in a directory of his own."""

    def __init__(self, ctl, place, uid=harness.NOBODY):
        self.ctl = ctl
        self.home = place / "home"
        self.run = self.home / "muster"
        self.home.mkdir()
        self.bin = place / "bin"
        self.bin.mkdir()
        shutil.copy(harness.MUSTERCTL, self.bin)
        self.uid = os.geteuid()
        self.more = {}
        if self.uid == 0:
            self.uid = uid
            self.more = {"user": self.uid, "group": self.uid,
                         "extra_groups": []}
        place.chmod(0o755)
        self.own(self.home)
        self.run.mkdir(0o700)
        self.own(self.run)
        self.fakes = []

    def own(self, path):
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.uid)

    def file(self, name, folder=None):
        path = (folder or self.home) / name
        path.write_text("{}")
        return path

    def listen(self, path):
        fake = Fake(path)
        self.own(path)
        self.fakes.append(fake)
        return fake

    def __call__(self, *args, env=None, cwd=None):
        saved = harness.MUSTERCTL
        harness.MUSTERCTL = str(self.bin / "musterctl")
        try:
            return self.ctl.bare(
                *args, cwd=cwd or self.home,
                env={"XDG_RUNTIME_DIR": str(self.home), **(env or {})},
                **self.more)
        finally:
            harness.MUSTERCTL = saved


@pytest.fixture
def user(ctl, place):
    u = User(ctl, place)
    yield u
    for fake in u.fakes:
        fake.close()


# --- -s ---


def test_socket(ctl, place):
    r = ctl.bare("-s", place / "nothing.sock", "info")
    assert (r.returncode, r.stdout) == (69, "")
    assert r.stderr == (
        f"musterctl: no musterd answers at {place}/nothing.sock (No such "
        "file or directory); to start one: musterd -d\n")
    r = ctl.bare("-s", place / "nothing.sock", "status")
    assert r.returncode == 4
    for verb in (["ps"], ["wait"], ["logs", "x"], ["shutdown"],
                 ["restart", "x"], ["wait", "x"], ["logs", "-f", "x"]):
        r = ctl.bare("-s", place / "nothing.sock", *verb)
        assert r.returncode == (4 if verb == ["ps"] else 69)
        assert r.stderr.count("\n") == 1


def test_relative_socket(user, place):
    user.listen(place / "home/m.sock")
    for path in ("m.sock", "./m.sock", "../home/m.sock"):
        assert user("-s", path, "info").returncode == 0
        assert user("-s", path, "status").returncode == 0


def test_socket_of_the_environment(user, place):
    """As musterd -x tells it; what an option says is meant more."""
    user.listen(place / "home/m.sock")
    env = {"MUSTER_SOCKET": f"{place}/home/m.sock"}
    assert user("info", env=env).returncode == 0
    r = user("-s", "other.sock", "info", env=env)
    assert (r.returncode, r.stderr.count("other.sock")) == (69, 1)
    file = user.file("my.yaml")
    assert "my.yaml-" in user("-f", file, "info", env=env).stderr
    assert "http://127.0.0.1:1 " in user(
        "-H", "http://127.0.0.1:1", "info", env=env).stderr
    assert user("info", env={"MUSTER_SOCKET": ""}).returncode != 0


def test_file_of_a_ca_that_is_not_there(ctl, place):
    """One line, and the reason is whole."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        url = f"https://127.0.0.1:{s.getsockname()[1]}"
        r = ctl.bare("-H", url, "--cacert", place / "nothing", "info")
    assert r.returncode == 1
    assert r.stderr.startswith("musterctl: TLS: ")
    assert r.stderr.isascii() and r.stderr.count("\n") == 1
    assert str(place / "nothing") in r.stderr


def test_refused(ctl, place):
    path = place / "old.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    r = ctl.bare("-s", path, "info")
    assert r.returncode == 69
    assert "(Connection refused)" in r.stderr


def test_too_long(ctl):
    r = ctl.bare("-s", "/" + "x" * 200, "info")
    assert r.returncode == 2
    assert "File name too long" in r.stderr
    assert ctl.bare("-s", "", "info").returncode == 2


def test_no_permission(user, place):
    fake = user.listen(place / "home/m.sock")
    os.chown(place / "home/m.sock", 0, 0) if os.geteuid() == 0 else None
    (place / "home/m.sock").chmod(0)
    r = user("-s", place / "home/m.sock", "info")
    assert r.returncode == 4
    assert r.stderr == f"musterctl: {place}/home/m.sock: Permission denied\n"
    assert user("-s", place / "home/m.sock", "status").returncode == 4
    assert fake.requests == []


# --- -H ---


def test_http(ctl, fake):
    tcp = fake.another(family=socket.AF_INET)
    for url in (f"http://127.0.0.1:{tcp.port}",
                f"http://localhost:{tcp.port}/"):
        r = ctl.bare("-H", url, "info")
        assert (r.returncode, r.stderr) == (0, "")
        assert url.rstrip("/") in r.stdout
        assert tcp.seen[-1].fields["host"] == url[7:].rstrip("/")
    tcp.close()
    r = ctl.bare("-H", f"http://127.0.0.1:{tcp.port}", "info")
    assert r.returncode == 69
    assert f"no musterd answers at http://127.0.0.1:{tcp.port} " in r.stderr


def test_http_6(ctl):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            hosts.append(self.headers["Host"])
            self.send_response(403)
            self.end_headers()

        def log_message(self, *args):
            pass

    class Server(http.server.HTTPServer):
        address_family = socket.AF_INET6

    hosts = []
    try:
        server = Server(("::1", 0), Handler)
    except OSError:
        pytest.skip("there is no IPv6")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://[::1]:{server.server_port}"
        assert ctl.bare("-H", url, "info").returncode == 4
        assert hosts == [url[7:]]
    finally:
        server.shutdown()
        server.server_close()


def test_unix_url(ctl, fake):
    assert ctl.bare(f"--host=unix://{fake.path}", "info").returncode == 0
    # -s comes first.
    assert ctl.bare("-H", "http://x.invalid", "-s", fake.path,
                    "info").returncode == 0


@pytest.mark.parametrize("url", [
    "", "x", "ftp://x", "https://", "http://", "http:///x",
    "http://h:0", "http://h:65536", "http://h:x", "http://h:", "http://h/x",
    "http://u@h", "http://h?x", "http://h#x", "http://[::1", "http://[]:1",
    "http://[::1]x", "http://h:1x", "http://h:+1", "unix://x", "unix:x",
    "unix:///" + "x" * 200, "http://" + "h" * 300])
def test_malformed_urls(ctl, url):
    r = ctl.bare("-H", url, "info")
    assert (r.returncode, r.stdout) == (2, "")
    assert "want http[s]://HOST[:PORT] or unix:///PATH" in r.stderr


# --- -f, and the current directory ---


def test_file(user, place):
    file = user.file("my app.yaml")
    fake = user.listen(name_of(user.run, file))
    assert user("-f", "my app.yaml", "info").returncode == 0
    (place / "home/link").symlink_to(file)
    assert user("--file=../home/link", "info").returncode == 0
    assert len(fake.requests) == 2


def test_long_name(user):
    file = user.file("n" * 100 + ".yaml")
    path = name_of(user.run, file)
    assert "/nnnn-" in path
    user.listen(path)
    assert user("-f", file, "info").returncode == 0


def test_file_without_musterd(user):
    file = user.file("it's mine.yaml")
    r = user("-f", file.name, "info")
    assert r.returncode == 69
    assert r.stderr == (
        f"musterctl: no musterd answers at {name_of(user.run, file)} (No "
        "such file or directory); to start it: musterd -d -f "
        "'it'\\''s mine.yaml'\n")
    # Somebody has it, who listens elsewhere; then he is gone.
    lock = pathlib.Path(name_of(user.run, file) + ".lock")
    lock.write_text(f"{os.getpid()}\n", encoding="ascii")
    user.own(lock)
    said = user("-f", file.name, "info").stderr
    assert said.endswith(
        f"though process {os.getpid()} has it's mine.yaml; if it names a "
        "socket by http.unix: -s SOCKET\n")
    lock.write_text("99999999\n", encoding="ascii")
    assert "to start it: " in user("-f", file.name, "info").stderr
    lock.unlink()
    r = user("-f", "nothing.yaml", "info")
    assert r.returncode == 1
    assert r.stderr == "musterctl: nothing.yaml: No such file or directory\n"
    assert user("-f", "nothing.yaml", "status").returncode == 4


def test_file_that_has_gone(user, place):
    """Its instance runs on, and can be shut down."""
    (place / "home/etc").mkdir()
    (place / "home/link").symlink_to("etc")
    file = user.file("my.yaml", place / "home/etc")
    fake = user.listen(name_of(user.run, file))
    file.unlink()
    for name in ("etc/my.yaml", "link/my.yaml", "./link/../etc/my.yaml",
                 file):
        r = user("-f", name, "info")
        assert (r.returncode, r.stderr) == (0, "")
    r = user("-f", "my.yaml", "info", cwd=place / "home/etc")
    assert r.returncode == 0
    assert len(fake.requests) == 5
    # Where a link was, it is not known what it led to.
    (place / "home/etc/dangling").symlink_to("my.yaml")
    for name in ("etc/dangling", "etc/other.yaml", "etc/", "etc/my.yaml/",
                 "nothing/my.yaml", "", "etc/nothing/..", "etc/."):
        r = user("-f", name, "info")
        assert r.returncode != 0 and r.stdout == ""
    fake.close()
    r = user("-f", "etc/my.yaml", "info")
    assert r.returncode == 1
    assert r.stderr == "musterctl: etc/my.yaml: No such file or directory\n"


def test_without_a_runtime_directory(user):
    """Then it is /tmp/muster-UID."""
    folder = pathlib.Path(f"/tmp/muster-{user.uid}")
    file = user.file("x.yaml")
    for value in (None, "", "relative", "/" + "x" * 64, "/nonexistent"):
        r = user("-f", file, "info", env={"XDG_RUNTIME_DIR": value})
        assert r.returncode == 69
        assert f" {name_of(folder, file)} " in r.stderr
    # Also when it was without one that musterd was started.
    made = not folder.exists()
    folder.mkdir(0o700, exist_ok=True)
    path = name_of(folder, file)
    try:
        if made:
            user.own(folder)
        user.listen(path)
        assert user("-f", file, "info").returncode == 0
    finally:
        os.unlink(path)
        if made:
            folder.rmdir()


def test_here(user):
    order = ["muster.yaml", "muster.yml", "muster.json", "pymanager.json",
             "Procfile"]
    for name in reversed(order):
        file = user.file(name)
        fake = user.listen(name_of(user.run, file))
        assert user("info").returncode == 0
        assert fake.requests == ["GET /v1"]


def test_here_comes_before_what_runs(user):
    """Another instance must not be taken for the one that is meant."""
    file = user.file("muster.yaml")
    other = user.listen(user.run / "other.sock")
    r = user("shutdown")
    assert r.returncode == 69
    assert name_of(user.run, file) in r.stderr
    assert other.requests == []


def test_the_only_one(user):
    r = user("info")
    # Unless root runs one, or several, just now.
    if "/run/muster/" not in r.stderr + r.stdout:
        assert r.returncode == 69
        assert "no musterd " in r.stderr and r.stderr.count("\n") == 1
    fake = user.listen(user.run / "one.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(user.run / "dead.sock"))
    (user.run / "one.sock.lock").write_text("1")
    assert user("info").returncode == 0
    user.listen(user.run / "two.sock")
    r = user("info")
    assert (r.returncode, r.stdout) == (2, "")
    lines = r.stderr.splitlines()
    assert lines[0] == \
        "musterctl: several instances run; say which with -s or -f:"
    assert sorted(lines[1:]) == [f"musterctl:   {user.run}/one.sock",
                                 f"musterctl:   {user.run}/two.sock"]
    assert user("status").returncode == 2
    assert len(fake.requests) == 1


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_directories_of_others(user, mode):
    """Where others can put a socket, nobody is asked anything."""
    file = user.file("x.yaml")
    fake = user.listen(name_of(user.run, file))
    user.run.chmod(mode)
    r = user("-f", file, "info")
    assert r.returncode == 69
    # As musterd does, when it cannot use the directory.
    assert f" {name_of(f'/tmp/muster-{user.uid}', file)} " in r.stderr
    user("info")
    assert fake.requests == []


@pytest.mark.needs_root
def test_directory_of_another_user(user):
    file = user.file("x.yaml")
    fake = user.listen(name_of(user.run, file))
    os.chown(user.run, 12345, 12345)
    user.run.chmod(0o755)
    assert user("-f", file, "info").returncode == 69
    assert fake.requests == []


@pytest.mark.needs_root
def test_directory_that_another_user_has_made(ctl, place):
    """Nor is one in /tmp trusted, where anybody can make it."""
    user = User(ctl, place, 10000000 + os.getpid())
    folder = pathlib.Path(f"/tmp/muster-{user.uid}")
    folder.mkdir(0o755)
    os.chown(folder, 12345, 12345)
    fake = None
    try:
        file = user.file("x.yaml")
        fake = user.listen(name_of(folder, file))
        r = user("-f", file, "info", env={"XDG_RUNTIME_DIR": None})
        assert r.returncode == 4
        assert "Operation not permitted" in r.stderr
        assert fake.requests == []
    finally:
        if fake:
            fake.close()
        shutil.rmtree(folder)


@pytest.mark.needs_root
def test_root(ctl, place):
    run = pathlib.Path("/run/muster")
    made = not run.exists()
    run.mkdir(0o755, exist_ok=True)
    file = place / "test-of-musterctl.yaml"
    file.write_text("{}")
    path = pathlib.Path(name_of(run, file))
    try:
        fake = Fake(path)
        assert ctl.bare("-f", file, "info",
                        env={"XDG_RUNTIME_DIR": str(place)}).returncode == 0
        fake.close()
    finally:
        path.unlink()
        if made:
            run.rmdir()


@pytest.mark.needs_root
def test_a_user_finds_the_instance_of_root(user):
    run = pathlib.Path("/run/muster")
    made = not run.exists()
    run.mkdir(0o755, exist_ok=True)
    file = user.file("test-of-musterctl.yaml")
    path = pathlib.Path(name_of(run, file))
    try:
        fake = Fake(path)
        path.chmod(0o666)
        assert user("-f", file, "info").returncode == 0
        fake.close()
    finally:
        path.unlink()
        if made:
            run.rmdir()
