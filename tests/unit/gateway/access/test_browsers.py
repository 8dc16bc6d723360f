from collections.abc import Mapping

import httpx
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.browsers import CorsHeaders, HostAndOriginGuard, Hosts, Origins
from gateway.access.forwarded import PublicAddresses
from gateway.errors import PROBLEMS, Problem, problem_response
from gateway.http.middleware import RequestMiddleware
from gateway.settings import Settings

SHOP, OTHER = "https://shop.example.com", "https://evil.example"
HEADERS = (
    "authorization",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "x-api-key",
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
)
SHOWN = {
    "accept-encoding", "allow", "cache-status", "content-disposition", "content-length", "etag", "idempotent-replayed",
    "location", "retry-after", "server-timing", "www-authenticate", "x-request-id",
}  # fmt: skip
"""Of all that answers hold, what browsers hide from pages unless it is named."""


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """The problem that the path names, a fault that nobody expected, or a good answer."""
    code = scope["path"][1:]
    if code == "broken":
        raise LookupError("secret")
    answer = (
        problem_response(Problem(code, "x", retry_after=7), "/")
        if code
        else Response("good", headers={"Vary": "Accept"})
    )
    await answer(scope, receive, send)


def app(**settings: object) -> ASGIApp:
    said = Settings.model_validate({"access": "required", **settings})
    origins = Origins(said)
    return CorsHeaders(RequestMiddleware(HostAndOriginGuard(answering, Hosts(said), origins), debug=False), origins)


async def ask(served: ASGIApp, method: str = "GET", path: str = "/", **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://gateway") as client:
        return await client.request(method, path, headers=names)


def preflight(origin: str = SHOP, method: str = "POST", **more: str) -> Mapping[str, str]:
    return {"origin": origin, "access_control_request_method": method, **more}


@pytest.mark.parametrize("path", ["/", "/broken", *(f"/{code}" for code in PROBLEMS)])
async def test_every_answer_may_be_read_by_pages_that_are_named(path: str) -> None:
    answer = await ask(app(allowed_origins=f"{SHOP}, https://x.org"), path=path, origin=SHOP)
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers
    assert {*answer.headers["access-control-expose-headers"].lower().split(", ")} == SHOWN


@pytest.mark.parametrize(
    "headers", [{}, {"origin": OTHER}, {"origin": "null"}, {"origin": SHOP.upper()[:-1]}, {"origin": ""}]
)
async def test_other_origins_are_refused_and_the_answer_varies_by_origin(headers: Mapping[str, str]) -> None:
    answer = await ask(app(allowed_origins=SHOP), **headers)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Accept, Origin"


async def test_no_cors_header_is_sent_without_a_list() -> None:
    answer = await ask(app(), origin=SHOP)
    assert not {name for name in answer.headers if name.startswith("access-control")}
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("access", ["required", "open", "off"])
async def test_a_star_allows_every_page_without_credentials(access: str) -> None:
    served = app(allowed_origins="*", access=access)
    for origin in (SHOP, "null", "http://10.0.0.7:3000"):
        for answer in (await ask(served, "POST", origin=origin), await ask(served, "OPTIONS", **preflight(origin))):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("access", ["required", "open", "off"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "GET", "HEAD"])
async def test_a_cors_preflight_of_an_allowed_page_is_answered(access: str, method: str) -> None:
    wanted = preflight(method=method, access_control_request_headers=", ".join(HEADERS), sec_fetch_site="cross-site")
    answer = await ask(app(allowed_origins=SHOP, access=access), "OPTIONS", "/v1/jobs", **wanted)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert {*HEADERS} <= {*answer.headers["access-control-allow-headers"].lower().split(", ")}
    assert "access-control-allow-private-network" not in answer.headers
    assert answer.headers["x-request-id"]


async def test_a_page_on_the_internet_may_come_into_a_private_network_where_it_is_named() -> None:
    wanted = preflight(access_control_request_private_network="true")
    assert (await ask(app(allowed_origins=SHOP), "OPTIONS", **wanted)).headers[
        "access-control-allow-private-network"
    ] == "true"
    refused = await ask(app(), "OPTIONS", **wanted)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-private-network" not in refused.headers


async def test_options_requests_that_are_not_preflights_reach_the_route() -> None:
    assert (await ask(app(allowed_origins=SHOP), "OPTIONS", origin=SHOP)).text == "good"
    assert (await ask(app(), "OPTIONS", access_control_request_method="POST")).text == "good"


@pytest.mark.parametrize(
    "value", ["null", "shop.example.com", "https://shop.example.com/path", "https://*", "https://a b"]
)
def test_an_invalid_origin_stops_the_start(value: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Settings.model_validate({"allowed_origins": value})


PROXIED = {"host": "127.0.0.1:8000", "x_forwarded_for": "192.168.1.5", "x_forwarded_host": "masks.lan"}


@pytest.mark.parametrize(
    ("origin", "settings", "status"),
    [
        ("http://masks.lan", {}, 200),
        ("http://masks.lan", {"access": "open"}, 200),
        ("http://masks.lan", {"trusted_proxies": ()}, 403),
        ("http://masks.lan", {"trusted_proxies": "10.0.0.0/8"}, 403),
        ("http://masks.lan:8080", {}, 403),
        (OTHER, {}, 403),
        ("null", {}, 403),
        ("http://masks.lan", {"public_url": "https://a.test/m"}, 403),
        ("https://a.test", {"public_url": "https://a.test/m"}, 200),
        ("https://a.test", {"public_url": "https://a.test", "trusted_proxies": (), "root_path": "/m"}, 200),
    ],
)
async def test_our_pages_are_allowed_at_the_public_address(
    origin: str, settings: Mapping[str, object], status: int
) -> None:
    said = {"access": "off", "trusted_proxies": "127.0.0.1", **settings}
    served = PublicAddresses(app(**said), settings=Settings.model_validate(said))
    for headers in ({"origin": origin}, {"referer": f"{origin}/docs", "sec_fetch_site": "cross-site"}):
        assert (await ask(served, "POST", **PROXIED, **headers)).status_code == status


async def test_a_refusal_names_the_path_that_was_asked_for() -> None:
    settings = Settings.model_validate({"root_path": "/masks"})
    answer = await ask(PublicAddresses(app(), settings=settings), path="/masks/v1/jobs?a=b", host="a b")
    assert (answer.json()["code"], answer.json()["instance"]) == ("host_invalid", "/masks/v1/jobs")
