"""Counts requests, whatever becomes of them."""

import time
from collections.abc import Callable
from functools import partial
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import noted_problem
from gateway.metrics.requests import Exchange
from gateway.services import Services

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"
"""Addresses that are not served, and rare methods: every label value is a series for good."""
_CLIENT_GONE = 499


class RequestMetrics:
    """Pure ASGI; about everything that may answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        requests = cast("Services", scope["app"].state.services).instruments.requests
        passage = _Passage(receive, send, partial(requests.carry, "request"))
        start = time.perf_counter()
        try:
            await self._app(scope, passage.receive, passage.send)
        finally:
            requests.carry("request", -passage.received_bytes)
            _count(scope, passage, time.perf_counter() - start)


def _count(scope: Scope, passage: "_Passage", duration_s: float) -> None:
    services: Services = scope["app"].state.services
    method = scope["method"] if scope["method"] in _METHODS else _OTHER
    endpoint = str(getattr(scope.get("route"), "path", _OTHER))
    sizes = (passage.received_bytes, passage.sent_bytes)
    services.instruments.requests.count(Exchange(method, endpoint, passage.status, duration_s, *sizes))
    if code := noted_problem(scope):
        services.instruments.errors.count(code, "api")


class _Passage:
    """What goes in and out; `status` until there is one is that of a client that went away."""

    def __init__(self, receive: Receive, send: Send, carry: Callable[[int], None]) -> None:
        self.status = _CLIENT_GONE
        self.received_bytes = 0
        self.sent_bytes = 0
        self._carry = carry
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(cast("bytes", message.get("body", b"")))
        self.received_bytes += size
        self._carry(size)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.sent_bytes += len(cast("bytes", message.get("body", b"")))
        await self._send(message)
