"""URLs that mean to reach the inside: each is refused, by itself and as a redirect, and nobody there is spoken to."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from gateway.errors import Problem
from gateway.fetching.fetcher import open_fetcher
from gateway.settings import Settings
from tests.names import Names
from tests.web import Asked, Web, raw, reply, serving

NAMES = {
    "inside_test": "127.0.0.1",
    "both_test": "93.184.216.34 127.0.0.1",
    "both6_test": "2606:4700::1111 ::1",
    "mixed_test": "127.0.0.1 2606:4700::1111",
    "metadata_google_internal": "169.254.169.254",
    "private_test": "10.0.0.7",
    "cgnat_test": "100.64.0.1",
    "unspecified_test": "0.0.0.0",  # noqa: S104 refused, not bound
    "mapped_test": "::ffff:127.0.0.1",
    "compatible_test": "::7f00:1",
    "nat64_test": "64:ff9b::7f00:1",
    "sixtofour_test": "2002:7f00:1::",
    "teredo_test": "2001:0:7f00:1::80ff:fffe",
    "linklocal_test": "fe80::1%lo",
    "uniquelocal_test": "fd00:ec2::254",
    "multicast_test": "224.0.0.1",
    "127_0_0_1_nip_io": "127.0.0.1",
    "localtest_me": "127.0.0.1 ::1",
    "localhost": "127.0.0.1 ::1",
    "photos_localhost": "127.0.0.1",
    "localhost_localdomain": "127.0.0.1",
    "ip6-localhost": "::1",
}
LITERAL = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "http://127.0.0.1/",
    "http://127.0.0.2:{port}/",
    "http://127.255.255.254:{port}/",
    "http://0.0.0.0:{port}/",
    "http://10.0.0.1:{port}/",
    "http://172.16.0.1:{port}/",
    "http://192.168.0.1:{port}/",
    "http://100.64.0.1:{port}/",
    "http://198.18.0.1:{port}/",
    "http://224.0.0.1:{port}/",
    "http://255.255.255.255:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::7f00:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[0000:0000:0000:0000:0000:FFFF:7F00:0001]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:7f00:1::80ff:fffe]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://[fec0::1]:{port}/",
    "http://[ff02::1]:{port}/",
    "http://[2001:db8::1]:{port}/",
]
NOTATIONS = [
    "http://2130706433:{port}/",
    "http://017700000001:{port}/",
    "http://0x7f000001:{port}/",
    "http://0X7F000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0000.0000.0001:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/",
    "http://0x7f.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0x1:{port}/",
    "http://127.0.0.01:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0:{port}/",
    "http://0x:{port}/",
    "http://127.0.0.256:{port}/",
    "http://4294967297:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://127．0．0．1:{port}/",  # noqa: RUF001
    "http://１２７.０.０.１:{port}/",  # noqa: RUF001
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127.0.0.1\u200b:{port}/",
    "http://127\u00ad.0.0.1:{port}/",
]
NAMED = [
    "http://localhost:{port}/",
    "http://LocalHost:{port}/",
    "http://photos.localhost:{port}/",
    "http://localhost.:{port}/",
    "http://localhost.localdomain:{port}/",
    "http://ip6-localhost:{port}/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "http://localhost%00.example.com:{port}/",
    "http://metadata.google.internal/computeMetadata/v1/",
    *(f"http://{name.replace('_', '.')}:{{port}}/" for name in NAMES if name.endswith(("_test", "_io", "_me"))),
]
MALFORMED = [
    "http://user:password@127.0.0.1:{port}/",
    "http://user@both.test:{port}/",
    "http://93.184.216.34@127.0.0.1:{port}/",
    "http://93.184.216.34:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@93.184.216.34/",
    "http://93.184.216.34\\@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "http://127.0.0.1:{port} @93.184.216.34/",
    "http://127.0.0.1:{port}#@93.184.216.34/",
    "http://127.0.0.1:{port}?@93.184.216.34/",
    "http:// 127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\t",
    "http://127.0.0.1:{port}/\x00",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:{port}0000/",
    "http://127.0.0.1:{port}:80/",
    "http://[::1:{port}/",
    "http://::1:{port}/",
    "http://-inside.test:{port}/",
    "http://inside..test:{port}/",
]
SCHEMES = [
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:{port}/_GET%20/",
    "ftp://127.0.0.1:{port}/a.jpg",
    "dict://127.0.0.1:{port}/d:a",
    "ldap://127.0.0.1:{port}/",
    "tftp://127.0.0.1:{port}/a",
    "ws://127.0.0.1:{port}/",
    "jar:http://127.0.0.1:{port}!/",
    "view-source:http://127.0.0.1:{port}/",
    "unix:/var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:alert(1)",
]
RELATIVE = ["//127.0.0.1:{port}/", "/a.jpg", "127.0.0.1:{port}/", "", "http:", "http:///", "http:127.0.0.1:{port}/"]
REDIRECTED = [*LITERAL, *NOTATIONS, *NAMED, *MALFORMED, *SCHEMES]


@pytest.fixture(scope="module")
async def inside() -> AsyncIterator[Web]:
    """A server that nobody may reach; its port is free on 127.0.0.2 as well."""
    async with serving(reply(200, b"secret")) as web:
        yield web


@pytest.fixture(scope="module")
async def outside(inside: Web) -> AsyncIterator[Web]:
    """A server that may be reached, and redirects to the URL that is asked for by its number."""

    async def redirect(asked: Asked, writer: asyncio.StreamWriter) -> None:
        number = asked.target.removeprefix("/redirect/")
        if not number.isdecimal():
            await reply(404)(asked, writer)
            return
        location = REDIRECTED[int(number)].format(port=inside.port).encode()
        await raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")(asked, writer)

    async with serving(redirect, "127.0.0.3") as web:
        yield web


@pytest.mark.parametrize("template", [*REDIRECTED, *RELATIVE])
async def test_a_url_to_the_inside_is_refused(inside: Web, template: str) -> None:
    async with open_fetcher(Settings(allowed_networks=()), Names(**NAMES).resolve) as fetcher:
        with pytest.raises(Problem) as caught:
            await fetcher.fetch(template.format(port=inside.port))
    assert caught.value.code == "url_not_allowed"
    assert inside.connections == 0


@pytest.mark.parametrize("number", range(len(REDIRECTED)))
async def test_a_redirect_to_the_inside_is_refused(inside: Web, outside: Web, number: int) -> None:
    settings = Settings(allowed_networks=(ip_network("127.0.0.3/32"),))
    asked_before = len(outside.asked)
    async with open_fetcher(settings, Names(**NAMES).resolve) as fetcher:
        with pytest.raises(Problem) as caught:
            await fetcher.fetch(outside.url(f"/redirect/{number}"))
    assert caught.value.code in {"url_not_allowed", "url_failed"}
    assert len(outside.asked) > asked_before
    assert inside.connections == 0


def test_the_table_is_long_and_without_repeats() -> None:
    assert len(set(REDIRECTED)) == len(REDIRECTED) >= 100
