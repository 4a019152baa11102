"""Checks over TLS: which certificates pass, and why others do not."""

import ssl

import pytest

import imsgpeer
from imsgpeer import MS
from servers import answers, raw, response, silent

GOOD = "DNS:localhost,IP:127.0.0.1"


@pytest.fixture
def trusting(components, authority):
    """A verifier whose system's bundle is the authority of the tests."""
    return components.start(imsgpeer.Verifier, "muster-verifier",
                            env={"SSL_CERT_FILE": authority.cert})


def test_good(trusting, serve, authority):
    server = serve(answers(response(200, b"tls")),
                   context=authority.context("good", GOOD))
    assert trusting.once(server.url(), body="tls").passed
    assert trusting.once(server.url(host="localhost")).passed
    number = trusting.start(server.url(), forever=True, interval=20 * MS)
    before = server.connections
    for _ in range(10):
        assert trusting.attempt(number).passed
    assert server.connections <= before + 1


@pytest.mark.parametrize("name, altnames, options, text", [
    ("expired", GOOD, {"expired": True},
     "certificate: certificate has expired"),
    ("wrong", "DNS:other.example", {},
     "certificate: no alternative certificate subject name matches target "
     "host name '127.0.0.1'"),
    ("selfsigned", GOOD, {"self_signed": True},
     "certificate: self-signed certificate"),
])
def test_bad(trusting, serve, authority, name, altnames, options, text):
    server = serve(answers(response(200)),
                   context=authority.context(name, altnames, **options))
    a = trusting.once(server.url())
    assert (a.passed, a.status, a.detail) == (0, 0, text)
    assert trusting.once(server.url(), insecure=True).passed
    # What was allowed once is not used by one that does not allow it.
    number = trusting.start(server.url(), insecure=True, forever=True,
                            interval=50 * MS)
    assert trusting.attempt(number).passed
    strict = trusting.start(server.url(), forever=True, interval=50 * MS)
    for _ in range(3):
        assert trusting.attempt(strict).detail == text
    assert not server.requests[0].startswith("x")


def test_unknown_authority(verifier, serve, authority):
    """The bundle of the system does not have ours."""
    server = serve(answers(response(200)),
                   context=authority.context("good", GOOD))
    a = verifier.once(server.url())
    assert not a.passed
    assert a.detail.startswith("certificate: unable to get local issuer") or \
        a.detail.startswith("certificate: self-signed certificate")


def test_own_ca(verifier, trusting, serve, authority, tmp_path):
    import servers
    server = serve(answers(response(200)),
                   context=authority.context("good", GOOD))
    assert verifier.once(server.url(), ca=authority.pem()).passed
    other = servers.Authority(str(tmp_path / "other"))
    # Its own replaces the system's.
    a = trusting.once(server.url(), ca=other.pem())
    assert not a.passed and a.detail.startswith("certificate: ")
    a = verifier.once(server.url(), ca=b"no certificate in here")
    assert a.detail == "certificate: the ca has no certificates"
    # And counts for nobody else, not even by a connection left open.
    number = verifier.start(server.url(), ca=authority.pem(), forever=True,
                            interval=30 * MS)
    assert verifier.attempt(number).passed
    strict = verifier.start(server.url(), forever=True, interval=30 * MS)
    assert not verifier.attempt(strict).passed
    assert not verifier.attempt(strict).passed


def test_no_bundle(components, serve, authority):
    v = components.start(imsgpeer.Verifier, "muster-verifier",
                         env={"SSL_CERT_FILE": "/nonexistent"})
    server = serve(answers(response(200)),
                   context=authority.context("good", GOOD))
    a = v.once(server.url())
    assert not a.passed and a.detail.startswith("certificate: ")
    assert v.once(server.url(), ca=authority.pem()).passed


def test_not_tls(trusting, serve):
    def plain(server, conn):
        conn.recv(100)
        conn.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    server = serve(plain)
    a = trusting.once(f"https://127.0.0.1:{server.port}/")
    assert (a.passed, a.detail) == (0, "tls: wrong version number")
    server = serve(lambda server, conn: conn.recv(100))
    a = trusting.once(f"https://127.0.0.1:{server.port}/")
    assert not a.passed and a.detail
    server = serve(silent)
    a = trusting.once(f"https://127.0.0.1:{server.port}/", timeout=200 * MS)
    assert a.detail == "timed out after 200 ms (connecting)"


def test_http_to_a_tls_server(trusting, serve, authority):
    server = serve(answers(response(200)),
                   context=authority.context("good", GOOD))
    a = trusting.once(f"http://127.0.0.1:{server.port}/")
    assert not a.passed and a.detail


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_protocol_is_refused(trusting, serve, authority):
    context = authority.context("good", GOOD)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = serve(answers(response(200)), context=context)
    a = trusting.once(server.url())
    assert not a.passed and a.detail.startswith("tls: ")


def test_redirect_between_schemes(trusting, serve, authority):
    secure = serve(answers(response(200, b"secure")),
                   context=authority.context("good", GOOD))
    plain = serve(answers(response(301, b"", Location=secure.url())))
    assert trusting.once(plain.url(), redirects=1, body="secure").passed
    wrong = serve(raw(b""), context=authority.context(
        "wrong", "DNS:other.example"))
    plain = serve(answers(response(301, b"", Location=wrong.url())))
    a = trusting.once(plain.url(), redirects=1)
    assert not a.passed and a.detail.startswith("certificate: no alternative")
    # As libcurl does by default.
    target = serve(answers(response(200, b"plain")))
    down = serve(answers(response(302, b"", Location=target.url())),
                 context=authority.context("good", GOOD))
    assert trusting.once(down.url(), redirects=1, body="plain").passed


def test_own_ca_counts_after_a_redirect(verifier, serve, authority):
    context = authority.context("good", GOOD)
    target = serve(answers(response(200)), context=context)
    server = serve(answers(response(302, b"", Location=target.url())),
                   context=context)
    assert verifier.once(server.url(), redirects=1, ca=authority.pem()).passed
