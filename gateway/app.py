"""The application: every address behind its rule, the pages that describe them, and the answers to errors."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles

from gateway.access.browsers import CorsHeaders, HostAndOriginGuard, Hosts, Origins, SafeHeaders
from gateway.access.forwarded import PublicAddresses, location, problem_answer, server_of
from gateway.errors import Problem
from gateway.http import events, frontal, jobs, operations, process, run, uploads
from gateway.http.guard import RULES, guarded, rules_of, run_rule
from gateway.http.middleware import Entrance, HeadRequests, MeasuredRequests, RequestMiddleware, path_of
from gateway.http.openapi import Address, Application
from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import Pipeline, build_registry
from gateway.services import running_services
from gateway.settings import Settings

_SCRIPTS = "static-offline-docs"
_DESCRIPTION = "openapi.json"
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_KEPT = 8
"""Descriptions that are kept written: one for each address at which proxies say that we are reached."""


def add_documentation(app: FastAPI) -> None:
    """Serve the pages, with scripts of our own: no page needs the Internet."""
    scripts = Path(fastapi_offline.__file__).parent / "static"
    app.mount(f"/{_SCRIPTS}", StaticFiles(directory=scripts), name=_SCRIPTS)
    for path, handler in (
        ("/", _start),
        ("/docs", _docs),
        ("/redoc", _redoc),
        (f"/{_DESCRIPTION}", _description_of(app)),
    ):
        app.add_route(path, handler, include_in_schema=False)


def slashless(request: Request) -> Response | None:
    """To where a path leads without the slashes at its end, if that is served; not to a host that a client names."""
    path = str(request.scope["path"]).rstrip("/")
    scope = {**request.scope, "path": path}
    routes = (route for route in request.app.routes if isinstance(route, Route))
    if not path or path == request.scope["path"] or all(route.matches(scope)[0] is Match.NONE for route in routes):
        return None
    query = request.url.query
    return RedirectResponse(location(request, quote(path)) + (f"?{query}" if query else ""))


async def _start(request: Request) -> Response:
    """Where a browser is sent that knows the host alone."""
    return RedirectResponse(location(request, "/docs") if server_of(request) else "docs")


async def _docs(request: Request) -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url=_DESCRIPTION,
        title=f"{request.app.title} - Swagger UI",
        swagger_js_url=f"{_SCRIPTS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_SCRIPTS}/swagger-ui.css",
        swagger_favicon_url=f"{_SCRIPTS}/favicon.png",
    )
    return _confined(page)


async def _redoc(request: Request) -> HTMLResponse:
    page = get_redoc_html(
        openapi_url=_DESCRIPTION,
        title=f"{request.app.title} - ReDoc",
        redoc_js_url=f"{_SCRIPTS}/redoc.standalone.js",
        redoc_favicon_url=f"{_SCRIPTS}/favicon.png",
        with_google_fonts=False,
    )
    return _confined(page)


def _confined(page: HTMLResponse) -> HTMLResponse:
    """A page that runs its own scripts alone, and no other page's frame shows; ReDoc searches in a worker."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE.findall(page.body))
    inline = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data: blob:; font-src 'self' data:; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
    )
    return page


def _description_of(app: FastAPI) -> Callable[[Request], Awaitable[Response]]:
    """A handler for the API's description; written anew for each, it would cost 7 ms, and the first time 200."""

    @lru_cache(_KEPT)
    def written(server: str) -> bytes:
        return bytes(JSONResponse({**app.openapi(), **({"servers": [{"url": server}]} if server else {})}).body)

    async def describe(request: Request) -> Response:
        return Response(await asyncio.to_thread(written, server_of(request)), media_type="application/json")

    return describe


_RUN_UNKNOWN = "/v1/run/{pipeline}"


def add_routes(app: FastAPI, registry: Mapping[str, Pipeline], settings: Settings) -> None:
    """Serve everything."""
    add_documentation(app)
    for address in run.addresses(registry):
        address.add_to(app, "pipelines", run_rule(address.route.rpartition("/")[2]))
    unknown = guarded(RULES[f"POST {_RUN_UNKNOWN}"], run.run_unknown)
    app.add_api_route(_RUN_UNKNOWN, unknown, methods=["POST"], include_in_schema=False)
    rules = rules_of(settings)
    for tag, listed in _addresses(registry, settings).items():
        for address in listed:
            address.add_to(app, tag, rules[address.route])


def _addresses(registry: Mapping[str, Pipeline], settings: Settings) -> Mapping[str, list[Address]]:
    """All but those of the pipelines, by what they are about."""
    return {
        "pipelines": operations.PIPELINES,
        "jobs": [jobs.submission(registry), *jobs.JOBS, *events.EVENTS],
        "poison": operations.POISON,
        "mask service": process.MASK_SERVICE,
        "facial services": [frontal.submission(registry), *frontal.FACIAL_SERVICES],
        "blur pipeline": [*uploads.submissions(registry), *uploads.UPLOADS],
        "health": [*operations.HEALTH, *(operations.METRICS if settings.prometheus_enabled else ())],
    }


_CODES = {404: "not_found", 405: "method_not_allowed"}


def create_app(settings: Settings) -> FastAPI:
    """An application with these settings. Raises SettingsError where they name no usable pipeline."""
    registry, origins, instruments = build_registry(settings), Origins(settings), Instruments("gateway")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running_services(settings, registry, app.state.instruments) as services:
            app.state.services = services
            yield

    app = Application(
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
    return problem_answer(request.scope, error)


async def _answer_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException) or error.status_code not in _CODES:
        raise error
    if error.status_code == HTTPStatus.NOT_FOUND and (elsewhere := slashless(request)):
        return elsewhere
    allow = ", ".join(_methods(request)) if "Allow" in (error.headers or {}) else ""
    detail = f"{request.method} {path_of(request)} is not served here." + (f" Use {allow}." if allow else "")
    problem = Problem(_CODES[error.status_code], detail, headers={"Allow": allow} if allow else None)
    return problem_answer(request.scope, problem)


def _methods(request: Request) -> list[str]:
    """Those that the address takes: the error names those of the first of its routes alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    methods = {method for route in fitting for method in route.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
