"""The application: routes, error answers and services put together."""

from collections.abc import AsyncIterator
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
from gateway.http.middleware import Entrance, HeadRequests, MeasuredRequests, RequestMiddleware, path_of
from gateway.http.routes import add_routes, slashless
from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import build_registry
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
    add_routes(app, registry, settings)
    return app


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
