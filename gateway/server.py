"""The gateway in the foreground."""

import asyncio
import ctypes
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from gateway.access.authentication import check_binding
from gateway.app import create_app
from gateway.errors import Problem
from gateway.listening import Limits, Server, configured, configured_beside
from gateway.logs import configure_logs, get_logger
from gateway.metrics.collector import MetricsPage
from gateway.metrics.instruments import MEDIA_TYPE
from gateway.postgres.connection import MigrationError
from gateway.proxies import require_certificates
from gateway.services import Services
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks
from gateway.supervision import stop_signals

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
        server = Server(_config(settings, app))
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


def _config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    limits = Limits(settings.max_connections, settings.keep_alive_s, _GRACE_S)
    return configured(app, limits, settings.api_host, settings.api_port)


@asynccontextmanager
async def serving_metrics(settings: Settings, page: MetricsPage) -> AsyncIterator[None]:
    """Serve the metrics on PROMETHEUS_PORT, where it is set. Raises SettingsError where the port cannot be had."""
    if settings.figures_port is None:
        yield
        return
    with _metrics_socket(settings.api_host, settings.figures_port) as listener:
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
