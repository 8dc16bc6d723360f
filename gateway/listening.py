"""How uvicorn listens here: for the gateway, for a worker's health page and for the metrics."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from gateway.access.browsers import FrontDoor, SafeHeaders
from gateway.access.hosts import Hosts, Origins
from gateway.protocol import BoundedProtocol, Config
from gateway.settings import Settings

_OTHER_FILES = 512
"""That the process has open beside connections."""


class Server(uvicorn.Server):
    """Leaves the signals to who runs it: uvicorn would repeat them before the stores are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@dataclass(frozen=True)
class Limits:
    """How many connections at most, how long one is kept for a next request, and how long a stop waits, in seconds."""

    connections: int = 1000
    keep_alive_s: float = 75
    grace_s: int = 1


def configured(app: ASGIApp, limits: Limits, host: str = "127.0.0.1", port: int = 0) -> Config:
    """For an application that starts and ends outside of the server, and that logs itself."""
    return Config(
        app,
        host=host,
        port=port,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",  # what it warns of, the protocol tells with its cause
        server_header=False,
        proxy_headers=False,
        limit_connections=_affordable(limits.connections),
        keep_alive_s=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.grace_s,
    )


def configured_beside(app: ASGIApp, settings: Settings, port: int = 0) -> Config:
    """For a page beside the API, on a port of its own: hosts and web pages are checked as the API checks them."""
    origins = Origins(settings)
    checked = SafeHeaders(FrontDoor(app, Hosts(settings), origins), origins)
    return configured(checked, Limits(), settings.api_host, port)


def _affordable(connections: int) -> int:
    """As many as asked for where the system grants the files, or else as many as it grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, soft - _OTHER_FILES))
