"""The gateway behind a real nginx: every address that comes back leads through nginx."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
import pytest_asyncio

from gateway.settings import Settings
from tests.certificates import self_signed
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import COMMON, durable_settings, living_house
from tests.integration.gateway.jobs.house import FORM, JOBS, MASK, House
from tests.nginx import needs_nginx, running_nginx
from tests.outboxes import take_due
from tests.ports import free_ports
from tests.servers import S3Server
from tests.stack import CHECKOUT

pytestmark = needs_nginx

LIMIT = 64 * 1024
DOCUMENTED = re.compile(r"^```nginx\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCK = (CHECKOUT / "docs" / "proxy.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Site:
    """A gateway and the nginx before it; `url` is the public one."""

    house: House
    url: str
    client: httpx.AsyncClient

    async def submit(self) -> httpx.Response:
        answer = await self.client.post(f"{self.url}{JOBS}", files=FORM)
        assert answer.status_code == 202, answer.text
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["stripped", "passed on", "told by nginx"])
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_dsn: str, s3_server: S3Server
) -> AsyncIterator[Site]:
    """The documented nginx, which strips the path or passes it on; or the gateway knows it from nginx alone."""
    folder = tmp_path_factory.mktemp("nginx")
    (port,) = free_ports(1)
    public = f"https://localhost:{port}"
    told = {"trusted_proxies": (ip_network("127.0.0.1/32"),)} if request.param == "told by nginx" else {}
    given = {"allowed_hosts": ("*",), **(told or {"public_url": f"{public}/masks"})}
    stores = durable_settings(postgres_dsn, s3_server)
    settings = Settings(**COMMON, **stores, **given, s3_public_endpoint=f"{public}/s3", max_body_bytes=LIMIT)
    certificate = self_signed(folder / "example.com.crt", "localhost", "DNS:localhost")
    tls = ssl.create_default_context(cafile=str(certificate))
    async for house in living_house(settings):
        block = _block(house, port, s3_server.endpoint, folder, strips=request.param != "passed on")
        with running_nginx(folder, block, port):
            async with httpx.AsyncClient(verify=tls, timeout=30, trust_env=False) as client:
                yield Site(house, f"{public}/masks", client)


def _block(house: House, port: int, s3: str, folder: Path, *, strips: bool) -> str:
    """The lines of the document, with the ports and files of the test."""
    (block,) = DOCUMENTED.findall(BLOCK)
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/nginx/": f"{folder}/",
        "http://127.0.0.1:8000/": f"http://127.0.0.1:{house.client.base_url.port}{'/' if strips else ''}",
        "127.0.0.1:9000": s3,
    }
    for said, meant in changes.items():
        assert block.count(said) >= 1, said
        block = block.replace(said, meant)
    return block


async def test_a_new_jobs_location_leads_to_it(site: Site) -> None:
    answer = await site.submit()
    assert answer.headers["location"] == f"{site.url}{JOBS}/{answer.json()['id']}"
    assert (await site.client.get(answer.headers["location"])).json()["id"] == answer.json()["id"]


async def test_a_trailing_slash_redirects_back_through_nginx(site: Site) -> None:
    answer = await site.client.get(f"{site.url}/v1/pipelines/?a=%22b")
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{site.url}/v1/pipelines?a=%22b"
    assert (await site.client.get(answer.headers["location"])).is_success


async def test_the_documentation_and_all_it_needs_are_found(site: Site) -> None:
    page = await site.client.get(f"{site.url}/", follow_redirects=True)
    assert (page.status_code, str(page.url)) == (200, f"{site.url}/docs")
    for path in re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'", page.text):
        needed = await site.client.get(urljoin(str(page.url), path[0] or path[1]))
        assert needed.is_success, needed.url
    description = (await site.client.get(f"{site.url}/openapi.json")).json()
    assert description["servers"] == [{"url": site.url}]


async def test_a_presigned_link_downloads_through_nginx(site: Site) -> None:
    job_id = (await site.submit()).json()["id"]
    await site.house.complete(await site.house.begin(job_id), b"the mask")
    url = (await site.client.get(f"{site.url}{JOBS}/{job_id}")).json()["artifacts"][MASK]["url"]
    assert url.startswith(f"{site.url.removesuffix('/masks')}/s3/")
    assert (await site.client.get(url)).content == b"the mask"
    assert (await site.client.get(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"))).status_code == 403


async def test_events_pass_as_they_come_and_name_public_links(site: Site) -> None:
    job_id = (await site.submit()).json()["id"]
    told: list[dict[str, object]] = []
    async with asyncio.timeout(20), site.client.stream("GET", f"{site.url}{JOBS}/{job_id}/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                told.append(json.loads(line[6:]))
                if len(told) == 1:
                    await site.house.complete(await site.house.begin(job_id))
    assert told[-1]["artifacts"][MASK]["url"].startswith(f"{site.url.removesuffix('/masks')}/s3/")


async def test_a_body_that_is_too_large_is_refused_in_our_words(site: Site) -> None:
    for size in (LIMIT + 1, 8 * 1024 * 1024):
        answer = await site.client.post(f"{site.url}{JOBS}", content=bytes(size), headers={"content-type": "image/png"})
        assert_problem(answer, "body_too_large")


async def test_a_full_queue_says_when_to_come_back(site: Site) -> None:
    while (answer := await site.client.post(f"{site.url}{JOBS}", files=FORM)).status_code == 202:
        pass
    assert_problem(answer, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1
    await site.house.empty_queue()


async def test_callbacks_name_public_links(site: Site) -> None:
    answer = await site.client.post(f"{site.url}{JOBS}", files=FORM, data={"callback_url": "https://example.com/hook"})
    await site.house.complete(await site.house.begin(answer.json()["id"]), b"the mask")
    (told,) = await take_due(site.house.stores.outbox, 60, "webhook")
    url = json.loads(told.content.body)["data"]["artifacts"][MASK]["url"]
    assert (await site.client.get(url)).content == b"the mask"


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "host=evil.test;proto=http"},
        {"X-Forwarded-Host": "evil.test"},
        {"X-Forwarded-Proto": "http", "X-Forwarded-Port": "1"},
        {"X-Forwarded-Prefix": "/evil"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.test"},
    ],
    ids=",".join,
)
async def test_forwarded_headers_of_clients_do_not_pass_nginx(site: Site, headers: dict[str, str]) -> None:
    answer = await site.client.get(f"{site.url}/v1/pipelines/", headers=headers)
    assert answer.headers["location"] == f"{site.url}/v1/pipelines"


@pytest.mark.parametrize("host", ["evil.test", "evil.test:99", "evil.test/@"])
async def test_a_host_that_a_client_names_is_in_no_link(site: Site, host: str) -> None:
    """nginx passes Host on, so it is in the client's own answer where PUBLIC_URL does not say better; nowhere else."""
    form, job = {"callback_url": "https://example.com/hook"}, {"host": host}
    answer = await site.client.post(f"{site.url}{JOBS}", files=FORM, data=form, headers=job)
    if answer.status_code == 400:
        return
    if site.house.services.settings.public_url:
        assert "evil" not in answer.headers["location"]
    await site.house.complete(await site.house.begin(answer.json()["id"]))
    (told,) = await take_due(site.house.stores.outbox, 60, "webhook")
    assert b"evil" not in told.content.body
    assert "evil" not in (await site.client.get(f"{site.url}{JOBS}")).text
