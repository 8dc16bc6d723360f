"""Addresses that a gateway hands out, as different clients and proxies ask it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import httpx
import pytest
from pydantic import ValidationError

from gateway.server import create_app
from gateway.settings import Settings

PROXY, STRANGER = ("10.0.0.1", 1), ("8.8.8.8", 1)
SAID = {"X-Forwarded-Host": "a.test", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/m"}
EVIL = {
    "Host": "evil.test",
    "X-Forwarded-Host": "evil.test",
    "Forwarded": "host=evil.test",
    "X-Forwarded-Prefix": "/evil",
}


@asynccontextmanager
async def asking(peer: tuple[str, int] = STRANGER, **given: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client at this address of an application without servers."""
    trusted = {"trusted_proxies": (ip_network("10.0.0.0/8"),), "allowed_hosts": ("*",)}
    app = create_app(Settings(triton_grpc_url="127.0.0.1:1", triton_patience_s=0, **trusted, **given))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app, client=peer), base_url="http://gateway") as client,
    ):
        yield client


async def locations(client: httpx.AsyncClient, before: str = "", **headers: str) -> list[str]:
    """Where a slash too many, and the bare address, lead; and the server of the description."""
    slash, start = [await client.get(before + path, headers=headers) for path in ("/v1/pipelines/?a=b", "/")]
    description = (await client.get(f"{before}/openapi.json", headers=headers)).json()
    servers = [server["url"] for server in description.get("servers", [])]
    return [slash.headers["location"], start.headers["location"], *servers]


@pytest.mark.parametrize("headers", [{}, EVIL], ids=["plain", "evil"])
async def test_no_link_is_built_from_an_untrusted_header(headers):
    async with asking() as client:
        assert await locations(client, **headers) == ["/v1/pipelines?a=b", "docs"]
    async with asking(public_url="https://a.test/m") as client:
        public = ["https://a.test/m/v1/pipelines?a=b", "https://a.test/m/docs", "https://a.test/m"]
        assert await locations(client, **headers) == await locations(client, "/m", **headers) == public
    async with asking(root_path="/m/") as client:
        below = ["/m/v1/pipelines?a=b", "/m/docs", "/m"]
        assert await locations(client, **headers) == await locations(client, "/m", **headers) == below


async def test_a_trusted_proxys_headers_apply_where_no_base_url_is_set():
    async with asking(PROXY) as client:
        told = ["https://a.test/m/v1/pipelines?a=b", "https://a.test/m/docs", "https://a.test/m"]
        assert await locations(client, **SAID) == await locations(client, "/m", **SAID) == told
    async with asking(PROXY, public_url="https://b.test") as client:
        assert (await locations(client, **SAID))[-1] == "https://b.test"
    async with asking(PROXY, root_path="/r") as client:
        assert (await locations(client, **SAID))[-1] == "https://a.test/r"


async def test_only_a_whole_path_prefix_is_stripped():
    async with asking(root_path="/m") as client:
        assert (await client.get("/mv1/pipelines")).status_code == 404
        assert (await client.get("/m")).headers["location"] == "/m/docs"
        assert (await client.get("/m/m/v1/pipelines")).status_code == 404
        problem = (await client.get("/m/nothing")).json()
        assert (problem["instance"], problem["detail"]) == ("/m/nothing", "GET /nothing is not served here.")


@pytest.mark.parametrize("path", ["//evil.test/", "/%0d%0aa:b/", "///", "/\\evil.test/"])
async def test_no_path_leads_to_another_host(path):
    async with asking() as client:
        answer = await client.get(f"http://gateway{path}")
        assert (answer.status_code, answer.headers.get("location")) == (404, None)


@pytest.mark.parametrize(
    ("given", "base", "prefix"),
    [
        ({}, "http://127.0.0.1:8000", ""),
        ({"root_path": "/m"}, "http://127.0.0.1:8000/m", "/m"),
        ({"public_url": "HTTPS://A.test:443/"}, "https://a.test", ""),
        ({"public_url": "https://a.test", "root_path": "/m"}, "https://a.test/m", "/m"),
        ({"public_url": "https://a.test/m/", "root_path": "/m"}, "https://a.test/m", "/m"),
        ({"public_url": "http://[2001:DB8::1]:8080/a/b"}, "http://[2001:db8::1]:8080/a/b", "/a/b"),
    ],
)
def test_the_base_of_links_without_a_request(given, base, prefix):
    settings = Settings(**given)
    assert (settings.own_base, settings.public_prefix) == (base, prefix)


@pytest.mark.parametrize(
    "given",
    [
        {"public_url": "a.test"},
        {"public_url": "ftp://a.test"},
        {"public_url": "https://"},
        {"public_url": "https://u:p@a.test"},
        {"public_url": "https://a.test?x"},
        {"public_url": "https://a.test#x"},
        {"public_url": "https://a.test:99999"},
        {"public_url": "https://a.test:0"},
        {"public_url": "https://a b"},
        {"public_url": "https://a.test/../b"},
        {"public_url": "https://a.test/%41"},
        {"root_path": "m"},
        {"root_path": "//m"},
        {"root_path": "/m?"},
        {"trusted_proxies": "nginx"},
        {"public_url": "https://a.test/m", "root_path": "/n"},
    ],
)
def test_an_invalid_public_address_stops_the_start(given):
    with pytest.raises(ValidationError):
        Settings(**given)
