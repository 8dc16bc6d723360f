from collections.abc import AsyncIterator, Mapping

import httpx
import pytest_asyncio
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import StreamingResponse

from gateway.http.openapi import tiny_png
from gateway.server import create_app
from gateway.settings import Settings


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app() -> AsyncIterator[FastAPI]:
    """The application in this process, with nothing at Triton's address."""
    app = create_app(Settings(db_use_database=False, triton_grpc_url="127.0.0.1:1", triton_patience_s=0))
    async with app.router.lifespan_context(app):
        yield app


@pytest_asyncio.fixture(loop_scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client


def value(app: FastAPI, name: str, labels: Mapping[str, str]) -> float:
    return app.state.services.instruments.registry.get_sample_value(name, dict(labels)) or 0.0


async def test_a_request_is_counted_under_its_address_pattern(app: FastAPI, client: httpx.AsyncClient) -> None:
    place = {"method": "POST", "endpoint": "/v1/run/body_masks"}
    answer = await client.post("/v1/run/body_masks", content=tiny_png(), headers={"content-type": "image/png"})
    assert answer.status_code == 503
    assert value(app, "api_requests_total", {**place, "status": "503"}) == 1
    assert value(app, "api_request_duration_seconds_count", place) == 1
    assert value(app, "api_request_size_bytes_sum", place) == len(tiny_png())
    assert value(app, "api_response_size_bytes_sum", place) == len(answer.content)
    assert value(app, "errors_total", {"type": "triton_unavailable", "component": "api"}) == 1
    for _ in range(2):
        await client.get("/v1/jobs/abc")
    assert value(app, "api_requests_total", {"method": "GET", "endpoint": "/v1/jobs/{id}", "status": "404"}) == 2


async def test_unknown_paths_share_one_series(app: FastAPI, client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.get(f"/nothing/{number}")
    elsewhere = {"method": "GET", "endpoint": "other", "status": "404"}
    assert value(app, "api_requests_total", elsewhere) == 3
    assert value(app, "errors_total", {"type": "not_found", "component": "api"}) == 3


async def test_rare_methods_are_one_series(app: FastAPI, client: httpx.AsyncClient) -> None:
    for method in ("PROPFIND", "M-SEARCH", "LINK"):
        assert (await client.request(method, "/v1/pipelines")).status_code == 405
    rare = {"method": "other", "endpoint": "/v1/pipelines", "status": "405"}
    assert value(app, "api_requests_total", rare) == 3


async def test_an_answer_that_nobody_expected_is_counted(app: FastAPI, client: httpx.AsyncClient) -> None:
    async def broken() -> None:
        raise LookupError

    app.add_api_route("/broken", broken)
    assert (await client.get("/broken")).status_code == 500
    assert value(app, "api_requests_total", {"method": "GET", "endpoint": "/broken", "status": "500"}) == 1
    assert value(app, "errors_total", {"type": "internal_error", "component": "api"}) == 1


async def test_the_page_shows_its_own_gateway_up_to_now(client: httpx.AsyncClient) -> None:
    await client.get("/health/live")
    page = (await client.get("/metrics")).text
    assert 'api_requests_total{endpoint="/health/live",method="GET",status="200"} 1.0' in page
    assert "cached_entries_total 0.0" in page


async def test_bodies_in_pieces_are_counted_whole(app: FastAPI, client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"12345"

    async def echo(request: Request) -> StreamingResponse:
        assert len(await request.body()) == 15
        return StreamingResponse(pieces())

    app.add_api_route("/echo", echo, methods=["POST"])
    assert (await client.post("/echo", content=pieces())).content == b"12345" * 3
    place = {"method": "POST", "endpoint": "/echo"}
    sums = [value(app, f"api_{which}_size_bytes_sum", place) for which in ("request", "response")]
    assert sums == [15, 15]


async def test_bodies_are_in_flight_until_their_requests_are_answered(app: FastAPI, client: httpx.AsyncClient) -> None:
    def held() -> float:
        samples = (one for family in app.state.services.instruments.registry.collect() for one in family.samples)
        return sum(one.value for one in samples if one.labels.get("stage") == "request")

    seen: list[float] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(1000)
            seen.append(held())

    answer = await client.post("/v1/run/body_masks", content=body(), headers={"content-type": "image/png"})
    assert answer.status_code >= 400
    assert max(seen) >= 2000
    assert held() == 0.0
