"""Certificates are verified against the name in the URL, though the connection goes to an address."""

import asyncio
import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.errors import Problem
from gateway.fetching.fetcher import open_fetcher
from gateway.settings import Settings
from tests.certificates import OPENSSL, self_signed
from tests.names import Names
from tests.web import Asked, reply, serving

SETTINGS = Settings(allowed_networks=(ip_network("127.0.0.0/8"),))
NAMES = {"photos_test": "127.0.0.1", "other_test": "127.0.0.1"}

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not here")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of photos.test and 127.0.0.1 that vouches for itself, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls") / "photos.pem", "photos.test", "DNS:photos.test,IP:127.0.0.1")


@pytest.fixture(scope="module")
def tls(certificate: Path) -> ssl.SSLContext:
    """The server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate among those this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", ["photos.test", "127.0.0.1"])
async def test_the_certificate_must_name_the_host_of_the_url(tls: ssl.SSLContext, host: str) -> None:
    async with serving(reply(200, b"photo"), tls=tls) as web, open_fetcher(SETTINGS, Names(**NAMES).resolve) as fetcher:
        assert await fetcher.fetch(web.url("/", host, "https")) == b"photo"
    assert web.asked[0].headers["host"] == f"{host}:{web.port}"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", ["other.test", "127.0.0.2"])
async def test_another_hosts_certificate_is_refused(tls: ssl.SSLContext, host: str) -> None:
    async with (
        serving(reply(200, b"photo"), "0.0.0.0", tls=tls) as web,  # noqa: S104 127.0.0.1 and 127.0.0.2 both
        open_fetcher(SETTINGS, Names(**NAMES).resolve) as fetcher,
    ):
        with pytest.raises(Problem) as caught:
            await fetcher.fetch(web.url("/", host, "https"))
    assert caught.value.code == "url_unreachable"
    assert "certificate" in caught.value.detail
    assert web.asked == []


async def test_a_certificate_of_an_unknown_authority_is_refused(tls: ssl.SSLContext) -> None:
    async with serving(reply(200, b"photo"), tls=tls) as web, open_fetcher(SETTINGS, Names(**NAMES).resolve) as fetcher:
        with pytest.raises(Problem):
            await fetcher.fetch(web.url("/", "photos.test", "https"))
    assert web.asked == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("location", ["http://photos.test:{port}/", "HTTP://127.0.0.1:{port}/", "http://photos.test/"])
async def test_a_redirect_from_https_to_http_is_not_followed(tls: ssl.SSLContext, location: str) -> None:
    async with (
        open_fetcher(SETTINGS, Names(**NAMES).resolve) as fetcher,
        serving(reply(200, b"photo")) as plain,
        serving(reply(302, Location=location.format(port=plain.port)), tls=tls) as web,
    ):
        with pytest.raises(Problem) as caught:
            await fetcher.fetch(web.url("/", "photos.test", "https"))
    assert caught.value.code == "url_not_allowed"
    assert "https for http" in caught.value.detail
    assert plain.connections == 0


@pytest.mark.usefixtures("trusted")
async def test_a_redirect_to_https_is_followed(tls: ssl.SSLContext) -> None:
    async def onward(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await (reply(302, Location="/photo") if asked.target == "/" else reply(200, b"photo"))(asked, writer)

    async with (
        open_fetcher(SETTINGS, Names(**NAMES).resolve) as fetcher,
        serving(onward, tls=tls) as web,
        serving(reply(302, Location=web.url("/", "photos.test", "https"))) as plain,
    ):
        assert await fetcher.fetch(plain.url("/", "photos.test")) == b"photo"
