"""Counts requests, whatever becomes of them."""

import time
from collections.abc import Callable
from functools import partial
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import noted_problem
from gateway.metrics.instruments import OTHER, Instruments

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_GONE = 499


class MeasuredRequests:
    """Pure ASGI; around everything that may answer."""

    def __init__(self, app: ASGIApp, instruments: Instruments) -> None:
        self._app = app
        self._instruments = instruments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carry = partial(self._instruments.carry, "request")
        passage = _Passage(receive, send, carry)
        start = time.perf_counter()
        try:
            await self._app(scope, passage.receive, passage.send)
        finally:
            carry(-passage.received_bytes)
            self._count(scope, passage, time.perf_counter() - start)

    def _count(self, scope: Scope, passage: "_Passage", duration_s: float) -> None:
        """Addresses that are not served, and rare methods, count together."""
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        endpoint = str(getattr(scope.get("route"), "path", OTHER))
        sizes = (passage.received_bytes, passage.sent_bytes)
        self._instruments.requests.count((method, endpoint), passage.status, duration_s, *sizes)
        if code := noted_problem(scope):
            self._instruments.errors.count(code, "api")


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
