"""The figures on a port of their own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from gateway.access.browsers import HostAndOriginGuard, Hosts, Origins, SafeHeaders
from gateway.listening import Limits, Server, configured
from gateway.metrics.page import MEDIA_TYPE, MetricsPage
from gateway.settings import Settings, SettingsError

_GRACE_S = 1
"""What a reader who does not read may keep from ending."""


@asynccontextmanager
async def serving_figures(settings: Settings, page: MetricsPage) -> AsyncIterator[None]:
    """Serve them on PROMETHEUS_PORT, where it is set. Raises SettingsError where the port cannot be had."""
    if settings.figures_port is None:
        yield
        return
    with _listening(settings.api_host, settings.figures_port) as listener:
        server = Server(_config(settings, page))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await asyncio.wait([serving])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"PROMETHEUS_PORT={port}: {error.strerror}") from error


def _config(settings: Settings, page: MetricsPage) -> uvicorn.Config:
    async def figures(_request: Request) -> Response:
        return Response(await page.text(), media_type=MEDIA_TYPE)

    routes = [Route(path, figures) for path in ("/", "/metrics", "/metrics/")]
    app, origins = Router(routes, redirect_slashes=False), Origins(settings)  # it leads to a host that requests name
    return configured(SafeHeaders(HostAndOriginGuard(app, Hosts(settings), origins), origins), Limits(grace_s=_GRACE_S))
