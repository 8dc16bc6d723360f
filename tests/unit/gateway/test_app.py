from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from pydantic import BaseModel

from gateway.errors import PROBLEMS
from gateway.http.health import Health, Live
from gateway.http.openapi import tiny_png
from gateway.http.pipelines import PipelineList
from gateway.server import create_app
from gateway.settings import Settings, SettingsError

RUN = "/v1/run/body_masks"
LIMIT = 4096
PNG, JSON = {"content-type": "image/png"}, {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


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


async def test_a_browser_that_knows_the_host_alone_sees_the_documentation(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/docs")


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


async def test_health_reports_that_triton_is_away(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200
    document = answer.json()
    assert (document["status"], document["live"], document["ready"]) == ("degraded", True, False)
    assert (document["queue_size"], document["segmentation_ready"], document["models"]) == (0, False, [])
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/ready")).status_code == 503


async def test_pipelines_are_described(client: httpx.AsyncClient) -> None:
    body, face, blur, detect = (await client.get("/v1/pipelines")).json()["pipelines"]
    assert (body["name"], body["profile"], body["ready"]) == ("body_masks", "lite", False)
    assert set(body["parameters"]["properties"]) == {
        "mask_types",
        "gender",
        "style",
        "frame",
        "crop",
        "person",
        "include",
    }
    assert (face["name"], face["ready"]) == ("face_contours", False)
    assert face["inputs"] == ["image", "landmarks", "segmentation_map"]
    assert [entry["name"] for entry in (blur, detect)] == ["privacy_blur", "detect"]


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("bad\tid", False), ("x" * 200, False)])
async def test_a_request_id_is_taken_or_made(client: httpx.AsyncClient, given: str, kept: bool) -> None:  # noqa: FBT001
    answer = await client.get("/health/live", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) == kept


async def test_the_description_is_served(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "Problem" in document["components"]["schemas"]
    content = document["paths"][RUN]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json", "image/*"}


@pytest.mark.parametrize(
    ("path", "model"),
    [("/health", Health), ("/health/ready", Health), ("/health/live", Live), ("/v1/pipelines", PipelineList)],
)
async def test_answers_are_as_described(client: httpx.AsyncClient, path: str, model: type[BaseModel]) -> None:
    document = (await client.get(path)).json()
    assert model.model_validate(document).model_dump(mode="json") == document


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "code"),
    [
        ("POST", "/v2", b"", {}, "not_found"),
        ("GET", RUN, b"", {}, "method_not_allowed"),
        ("POST", "/v1/run/masks", b"", {}, "pipeline_not_found"),
        ("POST", RUN, b"", PNG, "body_empty"),
        ("POST", RUN, b'{"image": "aGk=" "', JSON, "invalid_json"),
        ("POST", RUN, b'{"image": "aGkaG"}', JSON, "invalid_base64"),
        ("POST", RUN, b"--b", FORM, "invalid_multipart"),
        ("POST", RUN, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n--b--', FORM, "missing_image"),
        ("POST", RUN, b"x", {"content-type": "text/plain"}, "unsupported_media_type"),
        ("POST", RUN, b"x", {**PNG, "accept": "text/html"}, "not_acceptable"),
        ("POST", f"{RUN}?style=plain", b"x", PNG, "invalid_parameters"),
        ("GET", "/v1/jobs/6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11", b"", {}, "job_not_found"),
        ("POST", "/v1/poison/17/replay", b"", {}, "poison_not_found"),
    ],
)
async def test_examples_of_problems_are_what_is_answered(
    client: httpx.AsyncClient, method: str, path: str, content: bytes, headers: dict[str, str], code: str
) -> None:
    document = (await client.request(method, path, content=content, headers=headers)).json()
    assert (document["code"], document["detail"]) == (code, PROBLEMS[code].example)
    assert document["instance"] == (PROBLEMS[code].example_path or path.partition("?")[0])


@pytest.mark.parametrize("name", ["a%23b", "a%3Fb", "a%0Ab", "caf%C3%A9"])
async def test_a_problem_names_the_whole_path(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/v1/jobs/{name}")
    assert (answer.status_code, answer.json()["instance"]) == (404, f"/v1/jobs/{name}")


@pytest.mark.parametrize(
    ("path", "methods"), [("/v1/jobs", "GET, HEAD, POST"), ("/v1/jobs/1", "DELETE, GET, HEAD"), (RUN, "POST")]
)
async def test_a_refused_method_gets_the_list_of_allowed_methods(
    client: httpx.AsyncClient, path: str, methods: str
) -> None:
    answer = await client.put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
    assert answer.json()["detail"].endswith(f"Use {methods}.")


async def test_the_example_of_a_conflict_is_what_is_answered(client: httpx.AsyncClient) -> None:
    for style, status in (("garment", 202), ("labels", 422)):
        query = f"user_id=123&request_id=req-1&style={style}"
        answer = await client.post(f"/v1/jobs?{query}", content=tiny_png(), headers=PNG)
        assert answer.status_code == status
    assert answer.json()["detail"] == PROBLEMS["idempotency_conflict"].example


@pytest.mark.parametrize(
    ("variable", "value"),
    [("webhook_secret", "secret"), ("mask_component_secret", "gehe\u00efm\n"), ("mask_asset_url", "http://[assets")],
)
async def test_a_service_that_could_not_call_back_does_not_start(variable: str, value: str) -> None:
    app = create_app(Settings.model_validate({variable: value}))
    with pytest.raises(SettingsError, match=f"^{variable.upper()}"):
        async with app.router.lifespan_context(app):
            pass
