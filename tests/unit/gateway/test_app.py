from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from gateway.app import create_app
from gateway.problems import PROBLEMS
from gateway.readiness import tiny_png
from gateway.settings import Settings

RUN = "/v1/run/body_masks"
LIMIT = 4096


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, with nothing at Triton's address."""
    app = create_app(Settings(triton_grpc_url="127.0.0.1:1", triton_patience_s=0, max_body_bytes=LIMIT))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        yield client


def assert_problem(answer: httpx.Response, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.status_code) == (code, PROBLEMS[code].status)
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", "not_found"),
        ("GET", RUN, "method_not_allowed"),
        ("DELETE", "/health", "method_not_allowed"),
        ("POST", "/v1/run/other", "pipeline_not_found"),
        ("POST", "/v1/run/other/deeper", "not_found"),
    ],
)
async def test_addresses(client: httpx.AsyncClient, method: str, path: str, code: str) -> None:
    answer = await client.request(method, path)
    assert_problem(answer, code)
    assert ("allow" in answer.headers) == (code == "method_not_allowed")


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"", {"content-type": "image/png"}, "body_empty"),
        (b"x", {}, "unsupported_media_type"),
        (b"x", {"content-type": "text/plain"}, "unsupported_media_type"),
        (b"x", {"content-type": "image/png", "accept": "text/html"}, "not_acceptable"),
        (b"x" * (LIMIT + 1), {"content-type": "image/png"}, "body_too_large"),
        (b"x", {"content-type": "image/png"}, "image_unsupported"),
        (b"{", {"content-type": "application/json"}, "invalid_json"),
        (b'{"image":""}', {"content-type": "application/json"}, "image_empty"),
        (b"--", {"content-type": "multipart/form-data; boundary=b"}, "invalid_multipart"),
        (tiny_png(), {"content-type": "image/png"}, "triton_unavailable"),
    ],
)
async def test_refusals(client: httpx.AsyncClient, content: bytes, headers: dict[str, str], code: str) -> None:
    assert_problem(await client.post(RUN, content=content, headers=headers), code)


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b"x" * 1024

    answer = await client.post(RUN, content=endless(), headers={"content-type": "image/png"})
    assert_problem(answer, "body_too_large")
    assert sent <= LIMIT + 2048


async def test_health_tells_that_triton_is_away(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200
    document = answer.json()
    assert (document["status"], document["live"], document["ready"]) == ("degraded", True, False)
    assert (document["queue_size"], document["segmentation_ready"], document["models"]) == (0, False, [])
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 503


async def test_pipelines_are_described(client: httpx.AsyncClient) -> None:
    (entry,) = (await client.get("/v1/pipelines")).json()["pipelines"]
    assert (entry["name"], entry["profile"], entry["ready"]) == ("body_masks", "lite", False)
    assert set(entry["parameters"]["properties"]) == {"mask_types", "gender", "style", "frame", "person", "include"}


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("bad\tid", False), ("x" * 200, False)])
async def test_a_request_id_is_taken_or_made(client: httpx.AsyncClient, given: str, kept: bool) -> None:  # noqa: FBT001
    answer = await client.get("/health/live", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) == kept


async def test_the_description_names_every_code(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"][RUN]["post"]
    assert set(operation["requestBody"]["content"]) == {"multipart/form-data", "application/json", "image/*"}
    documented = {
        code
        for status, answer in operation["responses"].items()
        if int(status) >= 400
        for code in answer["content"]["application/problem+json"]["examples"]
    }
    assert documented == set(PROBLEMS)
