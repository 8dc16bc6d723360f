"""How uvicorn listens here: for the gateway, for a worker's health page and for the figures."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypedDict

import uvicorn

from gateway.protocol import BoundedProtocol


class Server(uvicorn.Server):
    """Leaves the signals to who runs it: uvicorn would repeat them before the stores are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Options(TypedDict):
    http: type[asyncio.Protocol]
    ws: Literal["none"]
    lifespan: Literal["off"]
    access_log: bool
    log_config: None
    log_level: str
    server_header: bool
    proxy_headers: bool


OPTIONS = _Options(
    http=BoundedProtocol,
    ws="none",
    lifespan="off",
    access_log=False,
    log_config=None,
    log_level="warning",
    server_header=False,
    proxy_headers=False,
)
"""What all of them have in common: bounded heads, logs that are the gateway's own, and no belief in what clients say of
themselves (gateway.public reads it)."""
