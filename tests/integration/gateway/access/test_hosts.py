"""Which hosts and pages are served, as bytes on a connection: clients would not send most of this."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio

from gateway.settings import Settings
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import COMMON, living_house
from tests.integration.gateway.jobs.house import FORM, JOBS, MASK, House, open_house

MEMORY = {**COMMON, "db_use_database": False, "minio_endpoint": ""}
SERVED = 200


class Told(NamedTuple):
    status: int
    head: bytes
    body: bytes


@asynccontextmanager
async def house_with(folder: Path, **settings: object) -> AsyncIterator[House]:
    async with open_house(Settings(**{**MEMORY, "maskwright_home": folder, **settings})) as house:
        yield house


async def told(house: House, first: str, *lines: str, close: bool = True) -> Told:
    """The answer to a request of these lines."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.base_url.port)
    writer.write("\r\n".join((first, *lines, *(("Connection: close",) if close else ()), "", "")).encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return Told(int(head.split(b" ", 2)[1]), head.lower(), body)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house_off(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway as it is without a setting."""
    settings = Settings(**MEMORY, maskwright_home=tmp_path_factory.mktemp("hosts"))
    async for house in living_house(settings):
        yield house


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["127.0.0.1"], SERVED),
        (["127.0.0.1:1"], SERVED),
        (["127.8.8.8"], SERVED),
        (["LOCALHOST.:8000"], SERVED),
        (["maskwright.localhost"], SERVED),
        (["[::1]:8000"], SERVED),
        (["[0:0:0:0:0:0:0:1]"], SERVED),
        (["[::ffff:127.0.0.1]"], SERVED),
        (["0.0.0.0:8000"], SERVED),
        (["gateway:8000"], SERVED),
        (["host.docker.internal"], SERVED),
        (["evil.example"], 421),
        (["evil.example:8000"], 421),
        (["localhost.evil.example"], 421),
        (["127.0.0.1.evil.example"], 421),
        (["127.0.0.1.nip.io"], 421),
        (["evil.example.local"], 421),
        (["93.184.216.34"], 421),
        (["[2606:2800::1]"], 421),
        (["127.0.0.1", "evil.example"], 400),
        (["evil.example", "127.0.0.1"], 400),
        (["127.0.0.1, evil.example"], 400),
        (["evil.example@127.0.0.1"], 400),
        (["127.0.0.1/evil"], 400),
        (["127.0.0.1:evil"], 400),
        ([], 400),
    ],
)
async def test_hosts_on_loopback(house_off: House, hosts: list[str], status: int) -> None:
    answer = await told(house_off, "GET /v1/jobs HTTP/1.1", *(f"Host: {host}" for host in hosts))
    assert answer.status == status, answer
    assert (b'"jobs"' in answer.body) == (status == SERVED)


async def test_probes_of_http_1_0_need_no_host(house_off: House) -> None:
    assert (await told(house_off, "GET /health/live HTTP/1.0")).status == SERVED


async def test_an_absolute_request_target_does_not_bypass_the_host_check(house_off: House) -> None:
    target = "GET http://127.0.0.1/v1/jobs HTTP/1.1"
    assert b'"jobs"' not in (await told(house_off, target, "Host: evil.example")).body


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/health", "/health/live", "/metrics", "/nothing", "/v1/jobs"]
)
async def test_every_address_checks_the_host(house_off: House, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
        answer = await told(house_off, f"{method} {path} HTTP/1.1", "Host: evil.example", "Content-Length: 0")
        assert (method, answer.status) == (method, 421)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Origin": "https://127.0.0.1:8000"}, True),
        ({"Origin": "http://127.0.0.1"}, False),
        ({"Origin": "http://127.0.0.1:3000"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "https://masks.example.com", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, False),
        ({"Sec-Fetch-Site": "anything"}, False),
    ],
)
async def test_foreign_pages_may_not_post(house_off: House, headers: dict[str, str], allowed: bool) -> None:  # noqa: FBT001
    sent = {"Host": "127.0.0.1:8000", **headers}
    answer = await house_off.client.post("/api/v1/cache/cleanup", headers=sent)
    plain = await house_off.client.post(JOBS, content=b"{}", headers={**sent, "Content-Type": "text/plain"})
    assert (answer.status_code, plain.status_code) == ((200, 415) if allowed else (403, 403))
    if not allowed:
        assert_problem(answer, "origin_not_allowed")


async def test_a_followed_link_is_served_but_an_embedded_one_is_not(house_off: House) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for changes, status in (({}, 200), ({"Sec-Fetch-Dest": "iframe"}, 403), ({"Sec-Fetch-Mode": "no-cors"}, 403)):
        assert (await house_off.client.get("/docs", headers={**followed, **changes})).status_code == status


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
async def test_an_upgrade_request_is_checked_like_any_other(house_off: House, upgrade: str) -> None:
    lines = (
        "Connection: Upgrade",
        f"Upgrade: {upgrade}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )
    for more in (("Host: evil.example",), ("Host: 127.0.0.1", "Origin: https://evil.example")):
        answer = await told(house_off, "GET /v1/jobs HTTP/1.1", *more, *lines, "Connection: close")
        assert answer.status in {403, 421}


async def test_names_of_containers_and_pods_are_served_behind_a_proxy(tmp_path: Path) -> None:
    async with house_with(tmp_path, access="open") as house:
        for host in (
            "gateway:8000",
            "10.42.0.7:8000",
            "maskwright.prod.svc.cluster.local",
            "masks.example.com",
            "[fd00::7]",
        ):
            assert (await told(house, "GET /v1/jobs HTTP/1.1", f"Host: {host}")).status == SERVED
        assert_problem(await house.client.get(JOBS, headers={"Origin": "https://evil.example"}), "origin_not_allowed")


async def test_allowed_hosts_apply_in_every_access_mode(tmp_path: Path) -> None:
    named = Settings.model_validate({"allowed_hosts": "https://Masks.Example.com:8443/, *.example.org"}).allowed_hosts
    for access in ("off", "open"):
        async with house_with(tmp_path, access=access, allowed_hosts=named) as house:
            for host in ("masks.example.com", "MASKS.example.com.:1", "a.example.org", "gateway", "localhost"):
                assert (await told(house, "GET /v1/jobs HTTP/1.1", f"Host: {host}")).status == SERVED
            for host in ("evil.masks.example.com", "example.org", "evilexample.org"):
                assert (await told(house, "GET /v1/jobs HTTP/1.1", f"Host: {host}")).status == 421
            pod = await told(house, "GET /health/live HTTP/1.1", "Host: 10.42.0.7:8000")
            assert pod.status == (SERVED if access == "open" else 421)


async def test_head_has_the_headers_of_get_and_no_body(house_off: House) -> None:
    job = (await house_off.client.post(JOBS, files=FORM)).json()
    await house_off.complete(await house_off.begin(job["id"]))
    of_job = f"{JOBS}/{job['id']}"
    fixed = ("/health", "/health/live", "/health/ready", "/v1/pipelines", JOBS, of_job, f"{of_job}/artifacts/{MASK}")
    others = (f"{of_job}/events", "/docs", "/openapi.json", "/stats", "/nothing", "/v1/run/body_masks", f"{JOBS}/none")
    for path in (*fixed, *others):
        get, head = [await house_off.client.request(method, path) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert _lasting(head.headers) == _lasting(get.headers), path
    metrics = await house_off.client.head("/metrics")
    assert (metrics.status_code, metrics.content) == (200, b"")
    page = (await house_off.client.get("/metrics")).text
    assert 'api_requests_total{endpoint="/v1/jobs/{id}/events",method="HEAD",status="200"} 1.0' in page


async def test_head_of_a_stream_that_goes_on_ends(house_off: House) -> None:
    job = (await house_off.client.post(JOBS, files=FORM)).json()
    answer = await told(house_off, f"HEAD {JOBS}/{job['id']}/events HTTP/1.1", "Host: localhost", close=True)
    assert (answer.status, answer.body) == (200, b"")
    assert b"text/event-stream" in answer.head


def _lasting(headers: httpx.Headers) -> Mapping[str, str]:
    changing = {"x-request-id", "date", "transfer-encoding"}
    return {name: value for name, value in headers.items() if name not in changing}
