"""`maskwright serve`: the application, from its addresses to its error answers, and the process that serves it."""

import asyncio
import base64
import ctypes
import gc
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fastapi_offline
import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route, Router
from starlette.staticfiles import StaticFiles
from typing_extensions import override

from gateway.access.authentication import check_binding
from gateway.access.browsers import CorsHeaders, HostAndOriginGuard, Hosts, Origins
from gateway.access.forwarded import PublicAddresses, location, problem_answer, server_of
from gateway.background import stop_signals
from gateway.errors import Problem
from gateway.hosts import require_certificates
from gateway.http import dead_letters, events, facial_contours, health, jobs, mask_service, pipelines, run, uploads
from gateway.http.guard import RULES, guarded, rules_of, run_rule
from gateway.http.middleware import Entrance, HeadRequests, MeasuredRequests, RequestMiddleware, path_of
from gateway.http.openapi import Address, complete
from gateway.http.services import Services, running_services
from gateway.listening import Config, Limits, Server, configured_beside
from gateway.logs import configure_logs, get_logger
from gateway.metrics.instruments import MEDIA_TYPE, Instruments
from gateway.metrics.page import MetricsPage
from gateway.pipelines.registry import Pipeline, build_registry
from gateway.postgres.connection import MigrationError
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks


class _Application(FastAPI):
    """Describes itself when it is first asked to: that takes as long as its whole start."""

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = get_openapi(title=self.title, version=self.version, routes=self.routes)
            complete(document, self.routes, run.RunSummary)
            self.openapi_schema = document
        return self.openapi_schema


def create_app(settings: Settings) -> FastAPI:
    """An application with these settings. Raises SettingsError where they name no usable pipeline."""
    registry, origins, instruments = build_registry(settings), Origins(settings), Instruments("gateway")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running_services(settings, registry, app.state.instruments) as services:
            app.state.services = services
            yield

    app = _Application(
        title=settings.app_name,
        version=settings.app_version,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(PublicAddresses, settings=settings),
            Middleware(MeasuredRequests, instruments=instruments),
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
        "pipelines": pipelines.PIPELINES,
        "jobs": [jobs.submission(registry), *jobs.JOBS, *events.EVENTS],
        "poison": dead_letters.DEAD_LETTERS,
        "mask service": mask_service.MASK_SERVICE,
        "facial services": [facial_contours.submission(registry), *facial_contours.FACIAL_SERVICES],
        "blur pipeline": [*uploads.submissions(registry), *uploads.UPLOADS],
        "health": [*health.HEALTH, *(health.METRICS if settings.prometheus_enabled else ())],
    }


_CODES = {404: "not_found", 405: "method_not_allowed"}


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


def slashless(request: Request) -> Response | None:
    """To where a path leads without the slashes at its end, if that is served; not to a host that a client names."""
    path = str(request.scope["path"]).rstrip("/")
    scope = {**request.scope, "path": path}
    routes = (route for route in request.app.routes if isinstance(route, Route))
    if not path or path == request.scope["path"] or all(route.matches(scope)[0] is Match.NONE for route in routes):
        return None
    query = request.url.query
    return RedirectResponse(location(request, quote(path)) + (f"?{query}" if query else ""))


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


_M_MMAP_THRESHOLD = -3
"""From glibc's malloc.h."""
_LARGE = 1024 * 1024


def return_large_blocks() -> None:
    """Let every block of a megabyte or more go back to the system as soon as it is free; without glibc do nothing.

    glibc raises this bound by itself, up to 32 MB, with every such block that is freed: each thread that parsed a large
    body would then keep as much memory for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)


_GRACE_S = 30


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are then finished first.

    Raises SettingsError, ProxyError, and SystemExit where the stores do not open or the port is taken.
    """
    check_binding(settings)
    require_certificates()
    return_large_blocks()
    configure_logs(settings)
    log_remarks(get_logger("gateway.settings"), Settings.model_fields)
    if settings.redis_url.get_secret_value():
        get_logger("gateway.server").warning(
            "REDIS_URL is not used: jobs wait in PostgreSQL (POSTGRES_DSN), or in memory without it"
        )
    app = create_app(settings)
    gc.freeze()  # what is there now stays: no full collection, nor the end, has to look through it again
    try:
        uvloop.run(_serve(settings, app))
    except Problem as problem:
        get_logger("gateway.server").critical(f"cannot start: {problem.detail}", code=problem.code)
        raise SystemExit(1) from problem
    except MigrationError as error:
        get_logger("gateway.server").critical(f"cannot start: {error}")
        raise SystemExit(1) from error


async def _serve(settings: Settings, app: FastAPI) -> None:
    """The application starts before the server, so that what keeps it from starting is told in one line."""
    async with app.router.lifespan_context(app), serving_metrics(settings, app.state.services.metrics):
        limits = Limits(settings.max_connections, settings.keep_alive_s, _GRACE_S)
        server = Server(Config(app, limits, settings.api_host, settings.api_port))
        _stop_on_signals(server, app.state.services)
        get_logger("gateway.server").info(
            f"listening on http://{settings.api_host}:{settings.api_port}", triton=settings.triton_grpc_url
        )
        await server.serve()


def _stop_on_signals(server: uvicorn.Server, services: Services) -> None:
    def stop(number: int) -> None:
        services.close_streams()
        server.handle_exit(number, None)

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, stop, number)


@asynccontextmanager
async def serving_metrics(settings: Settings, page: MetricsPage) -> AsyncIterator[None]:
    """Serve the metrics on PROMETHEUS_PORT, where it is set. Raises SettingsError where the port cannot be had."""
    if settings.metrics_port is None:
        yield
        return
    with _metrics_socket(settings.api_host, settings.metrics_port) as listener:
        server = Server(configured_beside(_metrics_app(page), settings))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await asyncio.wait([serving])


def _metrics_socket(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"PROMETHEUS_PORT={port}: {error.strerror}") from error


def _metrics_app(page: MetricsPage) -> Router:
    async def metrics(_request: Request) -> Response:
        return Response(await page.text(), media_type=MEDIA_TYPE)

    routes = [Route(path, metrics) for path in ("/", "/metrics", "/metrics/")]
    return Router(routes, redirect_slashes=False)  # a redirect would lead to whatever host the request names
