"""Names: what the verifier asks a resolver for, and a real resolver."""

import socket
import struct
import time

import pytest

import harness
import imsgpeer
from imsgpeer import (CHECK_TCP, IMSG_RESOLVE, IMSG_RESOLVED,
                      IMSG_RESOLVER_WANTED, MS, ROLE_RESOLVER, ROLE_VERIFIER,
                      Component, i32, text, u8, u32)
from servers import answers, response, silent

IMSG_PEER_BAD = 5
EAI_AGAIN, EAI_NONAME = -3, -2


def addresses(*list_):
    out = i32(0) + u32(len(list_))
    for a in list_:
        family = socket.AF_INET6 if ":" in a else socket.AF_INET
        out += u8(6 if ":" in a else 4) + text(socket.inet_pton(family, a))
    return out


class Resolver:
    """Plays the resolver to the verifier."""

    def __init__(self, verifier):
        self.verifier = verifier
        self.peer = None

    def wanted(self):
        m = self.verifier.asks(5 * harness.patience())
        assert m and m.kind == IMSG_RESOLVER_WANTED and not m.payload
        self.peer = self.verifier.connect(ROLE_RESOLVER)
        return self

    def accused(self):
        """The parent is told that we misbehave: it would replace us."""
        m = self.verifier.asks(5 * harness.patience())
        assert m and m.kind == IMSG_PEER_BAD
        assert m.payload == u8(ROLE_RESOLVER) + u32(0)

    def asked(self, timeout=5):
        m = self.peer.receive(timeout * harness.patience())
        assert m, "the resolver was not asked"
        assert m.kind == IMSG_RESOLVE
        m.name = m.text()
        assert not m.payload
        return m

    def say(self, m, payload):
        self.peer.send(IMSG_RESOLVED, m.id, payload)


@pytest.fixture
def resolver(verifier):
    return Resolver(verifier)


def test_name(verifier, resolver, serve):
    server = serve(answers(response(200)))
    number = verifier.start(f"http://Some.Example:{server.port}/")
    m = resolver.wanted().asked()
    assert m.name == "some.example"
    resolver.say(m, addresses("127.0.0.1"))
    assert verifier.attempt(number).passed
    assert f"Host: Some.Example:{server.port}" in server.requests[0]
    # Known for a while: nobody is asked, whatever asks.
    assert verifier.once(f"http://some.example:{server.port}/").passed
    assert verifier.once(kind=CHECK_TCP, host="SOME.example",
                         port=server.port).passed
    assert resolver.peer.receive(0.2) is None


def test_dot_at_the_end(verifier, resolver, serve):
    server = serve(answers(response(200)))
    number = verifier.start(f"http://some.example.:{server.port}/")
    m = resolver.wanted().asked()
    assert m.name == "some.example."
    resolver.say(m, addresses("127.0.0.1"))
    assert verifier.attempt(number).passed


def test_next_address_is_tried(verifier, resolver, serve):
    server = serve(answers(response(200)))
    resolver_first = verifier.start(f"http://two.example:{server.port}/")
    resolver.say(resolver.wanted().asked(),
                 addresses("127.9.9.9", "::1", "127.0.0.1"))
    assert verifier.attempt(resolver_first).passed
    assert verifier.once(kind=CHECK_TCP, host="two.example",
                         port=server.port).passed


def test_all_addresses_refuse(verifier, resolver):
    number = verifier.start("http://x.example:1/")
    resolver.say(resolver.wanted().asked(), addresses(
        *[f"127.0.0.{i}" for i in range(1, 16)], "::1"))
    assert verifier.attempt(number).detail == "connection refused"
    assert verifier.once(kind=CHECK_TCP, host="x.example",
                         port=1).detail == "connection refused"


def test_unknown_name(verifier, resolver):
    number = verifier.start(kind=CHECK_TCP, host="no.example", port=80,
                            interval=100 * MS)
    resolver.say(resolver.wanted().asked(), i32(EAI_NONAME) + u32(0))
    a = verifier.attempt(number)
    assert not a.passed
    assert a.detail == "cannot resolve no.example: name or service not known"
    # A failure is kept for a second only.
    again = resolver.asked()
    assert again.name == "no.example"
    verifier.stop(number)


def test_resolver_is_silent(verifier, resolver):
    number = verifier.start("http://slow.example/", timeout=200 * MS)
    a = verifier.attempt(number)
    assert a.detail == "timed out after 200 ms (resolving the name)"
    resolver.wanted()
    first = resolver.asked()
    assert first.name == "slow.example"
    verifier.stop(number)
    # It asks for one name at a time; the late answer is taken.
    other = verifier.start("http://other.example:1/", timeout=5000 * MS)
    assert resolver.peer.receive(0.2) is None
    resolver.say(first, addresses("127.0.0.1"))
    m = resolver.asked()
    assert m.name == "other.example"
    resolver.say(m, addresses("127.0.0.1"))
    assert verifier.attempt(other).detail == "connection refused"


def test_one_question_for_many(verifier, resolver, serve):
    server = serve(answers(response(200)))
    numbers = [verifier.start(f"http://many.example:{server.port}/")
               for _ in range(50)]
    resolver.say(resolver.wanted().asked(), addresses("127.0.0.1"))
    for n in numbers:
        assert verifier.attempt(n).passed
    assert resolver.peer.receive(0.2) is None


def test_order_of_names(verifier, resolver):
    """The name that most wait for comes first."""
    verifier.start("http://a.example:1/")
    resolver.wanted()
    first = resolver.asked()
    for name in ["b"] * 2 + ["c"] * 5 + ["d"]:
        verifier.start(f"http://{name}.example:1/")
    time.sleep(0.3 * harness.patience())
    names = []
    for _ in range(3):
        resolver.say(first, addresses("127.0.0.1"))
        first = resolver.asked()
        names.append(first.name[0])
    assert names == ["c", "b", "d"]
    resolver.say(first, addresses("127.0.0.1"))


def test_slow_names_come_last(verifier, resolver):
    verifier.start("http://slow.example:1/", interval=10 * MS)
    resolver.wanted()
    m = resolver.asked()
    time.sleep(1.2)
    resolver.say(m, i32(EAI_AGAIN) + u32(0))
    blocker = verifier.start("http://blocker.example:1/")
    m = resolver.asked()
    assert m.name == "blocker.example"
    verifier.start("http://slow.example:1/", interval=10 * MS)
    time.sleep(1.1)     # the failure is no longer kept
    verifier.start("http://fresh.example:1/")
    time.sleep(0.2)
    resolver.say(m, addresses("127.0.0.1"))
    verifier.stop(blocker)
    assert resolver.asked().name == "fresh.example"


def test_resolver_is_lost(verifier, resolver):
    """Asked for again; a name that kills it does so once for an attempt."""
    deadly = verifier.start("http://deadly.example:1/", interval=60000 * MS)
    resolver.wanted()
    assert resolver.asked().name == "deadly.example"
    good = verifier.start("http://good.example:1/")
    time.sleep(0.1)
    resolver.peer.close()
    a = verifier.attempt(deadly)
    assert a.detail == ("cannot resolve deadly.example: temporary failure in "
                        "name resolution")
    m = resolver.wanted().asked()
    assert m.name == "good.example"
    resolver.say(m, addresses("127.0.0.1"))
    assert verifier.attempt(good).detail == "connection refused"


def test_resolver_is_replaced(verifier, resolver):
    number = verifier.start("http://x.example:1/", interval=10 * MS)
    resolver.wanted().asked()
    old = resolver.peer
    resolver.peer = verifier.connect(ROLE_RESOLVER)
    assert old.ended()
    assert "cannot resolve" in verifier.attempt(number).detail
    resolver.say(resolver.asked(), addresses("127.0.0.1"))
    a = verifier.attempt(number)
    while "resolve" in a.detail:
        a = verifier.attempt(number)
    assert a.detail == "connection refused"


@pytest.mark.parametrize("payload", [
    b"", i32(0), i32(0) + u32(0), i32(-2) + u32(1) + u8(4) + text(b"abcd"),
    i32(0) + u32(17) + (u8(4) + text(b"abcd")) * 17,
    i32(0) + u32(1) + u8(5) + text(b"abcd"),
    i32(0) + u32(1) + u8(4) + text(b"abc"),
    i32(0) + u32(1) + u8(6) + text(b"abcd"),
    i32(0) + u32(2) + u8(4) + text(b"abcd"),
    i32(0) + u32(0xffffffff), i32(0) + u32(1) + u8(4) + u32(0xffffffff),
    addresses("127.0.0.1") + b"x",
], ids=range(12))
def test_malformed_answers(verifier, resolver, payload):
    number = verifier.start("http://x.example:1/", interval=10 * MS)
    m = resolver.wanted().asked()
    resolver.say(m, payload)
    assert resolver.peer.ended()
    assert "cannot resolve" in verifier.attempt(number).detail
    resolver.accused()
    resolver.wanted()
    resolver.say(resolver.asked(), addresses("127.0.0.1"))
    while "resolve" in verifier.attempt(number).detail:
        pass


def test_wrong_answers(verifier, resolver):
    """Only an answer to what was asked is one."""
    verifier.start("http://x.example:1/", interval=10 * MS)
    for wrong in (lambda m: resolver.peer.send(
            IMSG_RESOLVED, m.id + 1, addresses("127.0.0.1")),
                  lambda m: resolver.peer.send(IMSG_RESOLVE, m.id, text("a")),
                  lambda m: resolver.peer.send_raw(struct.pack(
                      "=IIII", 401, 15, 0, 0))):
        m = resolver.wanted().asked()
        wrong(m)
        assert resolver.peer.ended()
        resolver.accused()


def test_redirect_to_a_name(verifier, resolver, serve):
    other = serve(answers(response(200, b"there")))
    server = serve(answers(response(
        302, b"", Location=f"http://name.example:{other.port}/")))
    number = verifier.start(server.url(), redirects=1, body="there")
    m = resolver.wanted().asked()
    assert m.name == "name.example"
    resolver.say(m, addresses("127.0.0.1"))
    assert verifier.attempt(number).passed
    # To names without end: nothing piles up, nobody is harmed.
    count = iter(range(100000))
    random = serve(answers(lambda head: response(
        302, b"", Location=f"http://n{next(count)}.example:{random.port}/")))
    number = verifier.start(random.url(), redirects=100)
    for _ in range(100):
        resolver.say(resolver.asked(), addresses("127.0.0.1"))
    assert verifier.attempt(number).detail == "more than 100 redirects"


def test_tls_name(components, serve, authority):
    """The certificate must be that of the name, not of the address."""
    v = components.start(imsgpeer.Verifier, "muster-verifier")
    server = serve(answers(response(200)),
                   context=authority.context("named", "DNS:named.example"))
    r = Resolver(v)
    number = v.start(f"https://named.example:{server.port}/",
                     ca=authority.pem())
    r.say(r.wanted().asked(), addresses("127.0.0.1"))
    assert v.attempt(number).passed
    number = v.start(f"https://named2.example:{server.port}/",
                     ca=authority.pem())
    r.say(r.asked(), addresses("127.0.0.1"))
    assert v.attempt(number).detail.startswith("certificate: no alternative")


# --- the real resolver ---


@pytest.fixture
def real(components):
    return components.start(Component, "muster-resolver")


def ask(real, channel, name, number=7, timeout=20):
    channel.send(IMSG_RESOLVE, number, text(name))
    m = channel.receive(timeout * harness.patience())
    assert m and (m.kind, m.id) == (IMSG_RESOLVED, number)
    error, count = m.take("iI")
    found = []
    for _ in range(count):
        family = m.take("B")
        raw, m.payload = m.payload[4:][:16 if family == 6 else 4], \
            m.payload[4 + (16 if family == 6 else 4):]
        found.append(socket.inet_ntop(
            socket.AF_INET6 if family == 6 else socket.AF_INET, raw))
    assert not m.payload
    return error, found


def alias():
    """A name of /etc/hosts other than localhost, and its address."""
    with open("/etc/hosts", encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            for name in words[1:]:
                if words[0] == "127.0.0.1" and name != "localhost":
                    return name
    return None


def test_real_resolver(real):
    channel = real.connect(ROLE_VERIFIER)
    assert ask(real, channel, "127.0.0.1") == (0, ["127.0.0.1"])
    error, found = ask(real, channel, "localhost", 8)
    assert error == 0 and "127.0.0.1" in found
    error, found = ask(real, channel, "-bad-", 9)
    assert error == EAI_NONAME and not found
    # A new channel replaces the old one.
    other = real.connect(ROLE_VERIFIER)
    assert channel.ended()
    assert ask(real, other, "localhost", 10)[0] == 0


def test_real_resolver_unknown_name(real):
    """Needs the network, or gives up within its bound."""
    channel = real.connect(ROLE_VERIFIER)
    start = time.monotonic()
    error, found = ask(real, channel, "nonexistent.invalid.")
    assert error != 0 and not found
    assert time.monotonic() - start < 15
    assert ask(real, channel, "localhost", 8)[0] == 0


@pytest.mark.parametrize("kind, payload", [
    (IMSG_RESOLVE, b""), (IMSG_RESOLVE, text("x" * 255)),
    (IMSG_RESOLVE, text("a\0b")), (IMSG_RESOLVE, text("a") + b"x"),
    (IMSG_RESOLVED, text("a")), (1, text("a")),
])
def test_real_resolver_malformed(real, kind, payload):
    channel = real.connect(ROLE_VERIFIER)
    channel.send(kind, 1, payload)
    assert channel.ended()
    channel = real.connect(ROLE_VERIFIER)
    assert ask(real, channel, "localhost")[0] == 0


def test_both_programs(verifier, real, serve):
    name = alias()
    if name is None:
        pytest.skip("/etc/hosts has no other name of 127.0.0.1")
    server = serve(answers(response(200)))
    number = verifier.start(f"http://{name}:{server.port}/")
    m = verifier.asks(5 * harness.patience())
    assert m.kind == IMSG_RESOLVER_WANTED
    ours, theirs = socket.socketpair()
    real.parent.send(imsgpeer.IMSG_PEER, 0, u8(ROLE_VERIFIER) + u32(0),
                     ours.fileno())
    verifier.parent.send(imsgpeer.IMSG_PEER, 0, u8(ROLE_RESOLVER) + u32(0),
                         theirs.fileno())
    ours.close()
    theirs.close()
    assert verifier.attempt(number).passed
    assert verifier.once(kind=CHECK_TCP, host=name, port=server.port).passed


def test_resolver_parent_goes(components):
    real = components.start(Component, "muster-resolver")
    channel = real.connect(ROLE_VERIFIER)
    assert ask(real, channel, "localhost")[0] == 0
    real.parent.close()
    assert real.wait() == 0


def test_tcp_beside_a_dead_address(verifier, resolver, serve):
    """RFC 8305: an address that does not answer costs 250 ms."""
    server = serve(silent)
    with socket.socket() as listener:
        listener.bind(("127.5.5.5", server.port))
        listener.listen(0)
        fill = [socket.socket() for _ in range(8)]
        for s in fill:
            s.setblocking(False)
            s.connect_ex(("127.5.5.5", server.port))
        time.sleep(0.1)
        number = verifier.start(kind=CHECK_TCP, host="x.example",
                                port=server.port)
        resolver.say(resolver.wanted().asked(),
                     addresses("127.5.5.5", "127.0.0.1"))
        a = verifier.attempt(number)
        assert a.passed and 200 < a.elapsed / MS < 1500 * harness.patience()
        for s in fill:
            s.close()
