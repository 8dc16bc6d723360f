"""What every answer tells browsers: to run nothing of it, to take it for nothing else, and to keep it from others."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from starlette.types import ASGIApp

from gateway.access.browsers import Origins, SafeHeaders
from gateway.http.openapi import tiny_png
from gateway.metrics.instruments import Instruments
from gateway.server import create_app, serving_metrics
from gateway.settings import Settings
from gateway.worker.worker import WorkerPage
from tests.ports import free_ports

PAGE = "https://shop.example.com"
PNG, EVIL = {"content-type": "image/png"}, {"host": "evil.test"}
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST"}
ASKED = [
    ("GET", "/", {}),
    ("GET", "/health", {}),
    ("HEAD", "/health/live", {}),
    ("GET", "/metrics", {}),
    ("GET", "/openapi.json", {}),
    ("GET", "/static-offline-docs/redoc.standalone.js", {}),
    ("GET", "/static-offline-docs/nothing.js", {}),
    ("GET", "/v1/pipelines/", {}),
    ("GET", "/v1/jobs", {}),
    ("GET", "/v1/jobs/7", {}),
    ("GET", "/v1/jobs/7/artifacts/x.svg", {}),
    ("GET", "/nothing", {}),
    ("DELETE", "/health", {}),
    ("POST", "/v1/run/body_masks", PNG),
    ("GET", "/health", EVIL),
    ("OPTIONS", "/v1/jobs", PREFLIGHT),
    ("OPTIONS", "/v1/jobs", {**PREFLIGHT, "origin": "https://others.example"}),
    ("GET", "/health", {"origin": PAGE}),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, with nothing at Triton's address."""
    app = create_app(Settings(triton_grpc_url="127.0.0.1:1", triton_patience_s=0, allowed_origins=(PAGE,)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        yield client


@pytest.mark.parametrize(("method", "path", "headers"), ASKED)
async def test_every_answer_tells_browsers_to_run_and_load_nothing(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
):
    content = tiny_png() if method == "POST" else None
    answer = await client.request(method, path, headers=headers, content=content)
    told = answer.headers
    assert told.get_list("x-content-type-options") == ["nosniff"]
    assert told["content-security-policy"].startswith("default-src 'none'; ")
    assert "sandbox" in told["content-security-policy"]
    assert "script" not in told["content-security-policy"]
    assert (told["referrer-policy"], told["cross-origin-resource-policy"]) == ("no-referrer", "cross-origin")
    assert ("etag" in told) != ("no-store" in told.get("cache-control", ""))
    assert "evil" not in told.get("location", "")


@pytest.mark.parametrize(("path", "inline"), [("/docs", 1), ("/redoc", 0)])
async def test_the_documentation_runs_its_own_scripts_alone(client: httpx.AsyncClient, path: str, inline: int) -> None:
    answer = await client.get(path)
    (policy,) = answer.headers.get_list("content-security-policy")
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == inline
    assert rules["script-src"] == ["'self'", *(f"'sha256-{digest}'" for digest in digests)]
    assert (rules["default-src"], rules["frame-ancestors"]) == (["'none'"], ["'none'"])
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", answer.text)


async def test_pictures_are_embedded_by_own_pages_alone_where_no_others_are_named() -> None:
    settings = Settings(triton_grpc_url="127.0.0.1:1", triton_patience_s=0)
    page = SafeHeaders(worker_page(settings), Origins(settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url="http://worker") as client:
        answer = await client.get("/health/live")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def worker_page(settings: Settings) -> ASGIApp:
    return WorkerPage(settings, Instruments("worker")).app


EVIL_HOST = "evil.test"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/health/", 200), ("/health/live/", 200), ("/health//", 404), ("/health/live//", 404)],
)
async def test_a_workers_page_leads_to_no_host_that_a_request_names(path: str, status: int) -> None:
    transport = httpx.ASGITransport(worker_page(Settings()))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{EVIL_HOST}") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers.get("location")) == (status, None)


class Page:
    """Metrics."""

    async def text(self) -> bytes:
        return b"a 1\n"


async def test_the_port_of_the_metrics_leads_to_no_host_that_a_request_names() -> None:
    (port,) = free_ports(1)
    settings = Settings(access="required", jwt_secret="x" * 32, prometheus_port=port, api_port=port - 1)
    async with serving_metrics(settings, Page()), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answers = [await client.get(path, headers={"Host": EVIL_HOST}) for path in ("/metrics", "/metrics/", "/x//")]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert not any("location" in answer.headers for answer in answers)
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}
