"""The application: routes, error answers and services put together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from gateway.access.browsers import CorsHeaders, HostAndOriginGuard, Hosts, Origins, SafeHeaders
from gateway.access.forwarded import PublicAddresses, asked_path
from gateway.errors import Problem, note_problem, problem_response
from gateway.http.guard import RULES, guarded, rules_of, run_rule
from gateway.http.middleware import Entrance, HeadRequests, RequestMiddleware, path_of
from gateway.metrics.instruments import Instruments
from gateway.metrics.middleware import MeasuredRequests
from gateway.openapi.document import complete
from gateway.openapi.run import run_operation, run_responses
from gateway.openapi.security import security
from gateway.pipelines.registry import Pipeline, build_registry
from gateway.routes import run
from gateway.routes.addresses import addresses
from gateway.routes.documentation import add_documentation, slashless
from gateway.services import running_services
from gateway.settings import Settings

_CODES = {404: "not_found", 405: "method_not_allowed"}


def create_app(settings: Settings) -> FastAPI:
    """An application with these settings. Raises SettingsError where they name no usable pipeline."""
    registry, origins, instruments = build_registry(settings), Origins(settings), Instruments("gateway")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running_services(settings, registry, app.state.instruments) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title=settings.app_name,
        version=settings.app_version,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(PublicAddresses, settings=settings),
            Middleware(MeasuredRequests, instruments=instruments),
            Middleware(SafeHeaders, origins=origins),
            Middleware(CorsHeaders, origins=origins),
            Middleware(RequestMiddleware, debug=settings.app_debug),
            Middleware(HostAndOriginGuard, hosts=Hosts(settings), origins=origins),
            Middleware(Entrance),
            Middleware(HeadRequests),
        ],
        exception_handlers={Problem: _answer_problem, HTTPException: _answer_http},
    )
    app.state.instruments = instruments
    add_documentation(app)
    _add_routes(app, registry, settings)
    complete(app)
    return app


def _add_routes(app: FastAPI, registry: Mapping[str, Pipeline], settings: Settings) -> None:
    for entry in registry.values():
        rule = run_rule(entry.name)
        app.add_api_route(
            f"/v1/run/{entry.name}",
            guarded(rule, run.run_with(entry)),
            methods=["POST"],
            name=f"run_{entry.name}",
            summary=entry.summary,
            response_class=Response,
            responses=run_responses(entry),
            openapi_extra={**run_operation(entry), **security(rule)},
            tags=["pipelines"],
        )
    unknown = guarded(RULES["POST /v1/run/{pipeline}"], run.run_unknown)
    app.add_api_route("/v1/run/{pipeline}", unknown, methods=["POST"], include_in_schema=False)
    rules = rules_of(settings)
    for tag, listed in addresses(registry, settings).items():
        for address in listed:
            address.add_to(app, tag, rules[address.route])


async def _answer_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return _told(request, error)


async def _answer_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException) or error.status_code not in _CODES:
        raise error
    if error.status_code == HTTPStatus.NOT_FOUND and (elsewhere := slashless(request)):
        return elsewhere
    allow = ", ".join(_methods(request)) if "Allow" in (error.headers or {}) else ""
    detail = f"{request.method} {path_of(request)} is not served here." + (f" Use {allow}." if allow else "")
    return _told(request, Problem(_CODES[error.status_code], detail, headers={"Allow": allow} if allow else None))


def _methods(request: Request) -> list[str]:
    """Those that the address takes: the error names those of the first of its routes alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    methods = {method for route in fitting for method in route.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _told(request: Request, problem: Problem) -> Response:
    note_problem(request.scope, problem.code)
    return problem_response(problem, asked_path(request.scope))
