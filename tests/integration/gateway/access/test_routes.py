"""Who may do what: every address of the API's description against everybody who might ask."""

import re
from collections.abc import Mapping
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from gateway.server import create_app
from gateway.settings import Settings
from tests.integration.gateway.access.credentials import EVERYTHING, Headers, Signer, bearer, caller, key, refused
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import FORM, JOBS, MASK, House

JOB = "/v1/jobs/{id}"
SCOPES: Mapping[str, str | None] = {
    "GET /health": None,
    "GET /health/live": None,
    "GET /health/ready": None,
    "GET /metrics": None,
    "GET /v1/pipelines": "run:*",
    "POST /v1/run/body_masks": "run:body_masks",
    "POST /v1/run/face_contours": "run:face_contours",
    "POST /v1/run/privacy_blur": "run:privacy_blur",
    "POST /v1/run/detect": "run:detect",
    "POST /v1/jobs": "run:*",
    "GET /v1/jobs": "jobs:read",
    f"GET {JOB}": "jobs:read",
    f"GET {JOB}/events": "jobs:read",
    f"POST {JOB}/events/ticket": "jobs:read",
    f"GET {JOB}/artifacts/{{name}}": "jobs:read",
    "GET /v1/artifacts/{key}": "jobs:read",
    f"DELETE {JOB}": "jobs:write",
    f"POST {JOB}/cancel": "jobs:write",
    f"POST {JOB}/callbacks/resend": "jobs:write",
    "POST /process": "run:body_masks",
    "GET /stats": "jobs:read",
    "GET /queue-status": "jobs:read",
    "POST /upload": "run:privacy_blur",
    "POST /batch-upload": "run:privacy_blur",
    "GET /status/{id}": "jobs:read",
    "GET /batch/{id}": "jobs:read",
    "POST /api/v1/frontal/crop/submit": "run:face_contours",
    "GET /api/v1/frontal/crop/status/{id}": "jobs:read",
    "GET /api/v1/cache/recent": "jobs:read",
    "GET /api/v1/cache/stats": "operate",
    "POST /api/v1/cache/cleanup": "operate",
    "GET /v1/poison": "operate",
    "POST /v1/poison/{id}/replay": "operate",
    "DELETE /v1/poison/{id}": "operate",
}
"""Written here once more: an address without a line, or with another rule, fails."""

APP = create_app(Settings(db_use_database=False))
DESCRIBED = {
    f"{method.upper()} {path}": operation
    for path, methods in APP.openapi()["paths"].items()
    for method, operation in methods.items()
}
ASKING = [route for route, scope in SCOPES.items() if scope]
OF_A_JOB = [route for route in SCOPES if "{id}" in route and "poison" not in route]
REFUSED = {401, 403}


async def ask(house: House, route: str, headers: Headers, **path: str) -> httpx.Response:
    method, address = route.split()
    known = {"id": str(uuid4()), "name": MASK, "key": f"!acme/user/request/{MASK}", **path}
    filled = re.sub(r"{(\w+)}", lambda match: known[match[1]], address)
    return await house.client.request(method, filled, headers=headers)


def test_every_described_address_has_its_scope_in_this_table() -> None:
    assert DESCRIBED.keys() == SCOPES.keys()


def test_nothing_is_served_that_is_not_described() -> None:
    hidden = {
        route.path
        for route in APP.routes
        if isinstance(route, Route) and not (isinstance(route, APIRoute) and route.include_in_schema)
    }
    assert hidden - {"/v1/run/{pipeline}"} <= {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/"}


@pytest.mark.parametrize("route", SCOPES)
def test_the_openapi_document_says_which_scope_is_needed(route: str) -> None:
    operation, scope = DESCRIBED[route], SCOPES[route]
    asked = {"run:*": "run"}.get(scope or "", scope)
    assert "let_in" not in operation["operationId"]
    assert operation["security"] == ([{"bearer": [asked]}, {"key": [asked]}] if scope else [])
    assert ({"401", "403", "429", "503"} <= operation["responses"].keys()) == bool(scope)


@pytest.mark.parametrize("route", [*ASKING, "POST /v1/run/unknown"])
async def test_requests_without_good_credentials_are_refused(house: House, signer: Signer, route: str) -> None:
    for name, (headers, code) in (await refused(house.stores.keys, signer)).items():
        answer = await ask(house, route, headers)
        assert answer.status_code == 401, name
        assert_problem(answer, code)
        assert answer.headers["www-authenticate"].startswith("Bearer"), name


@pytest.mark.parametrize("route", [route for route, scope in SCOPES.items() if scope is None])
async def test_probes_need_no_credentials(house: House, route: str) -> None:
    assert (await ask(house, route, {})).status_code in {200, 503}


@pytest.mark.parametrize("route", ASKING)
async def test_each_address_needs_its_scope_and_no_other(house: House, signer: Signer, route: str) -> None:
    scope = SCOPES[route] or ""
    for headers in (caller(scope=[scope]), bearer(signer.token(scope=[scope])), bearer(signer.token(None))):
        assert (await ask(house, route, headers)).status_code not in REFUSED
    for headers in ({"X-API-Key": await key(house.stores.keys, scopes=[scope])}, bearer(await key(house.stores.keys))):
        assert (await ask(house, route, headers)).status_code not in REFUSED
    kind = scope.split(":")[0]
    others = [one for one in (*EVERYTHING, "run:other", "jobs:read", "jobs:write") if one != scope]
    without = [one for one in others if one != f"{kind}:*" and not (scope == "run:*" and one.startswith("run:"))]
    for scopes in (without, [], ["*"], [kind + ":"], [scope[:-1]]):
        answer = await ask(house, route, caller(scope=scopes))
        assert_problem(answer, "scope_missing")
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("route", OF_A_JOB)
async def test_another_tenants_job_is_not_found(house: House, route: str) -> None:
    job = (await house.client.post(JOBS, files=FORM, headers=caller())).json()
    await house.complete(await house.begin(job["id"]))
    for tenant in ("globex", ""):
        foreign = await ask(house, route, caller(tenant), id=job["id"])
        missing = await ask(house, route, caller(tenant), id=(unknown := str(uuid4())))
        assert_problem(foreign, "job_not_found")
        assert foreign.text.replace(job["id"], unknown) == missing.text
    shown = await house.client.get(f"{JOBS}/{job['id']}", headers=caller())
    assert (shown.status_code, shown.json()["state"]) == (200, "completed")


async def test_a_job_needs_the_scope_of_its_own_pipeline(house: House) -> None:
    headers = caller(scope=["run:face_contours"])
    assert_problem(await house.client.post(JOBS, files=FORM, headers=headers), "scope_missing")
    taken = await house.client.post(JOBS, files=FORM, data={"pipeline": "face_contours"}, headers=headers)
    assert taken.status_code == 202
