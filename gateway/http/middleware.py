"""What stands around every request: its id, log line and metrics, answers to unexpected errors, HEAD, and its visit."""

import asyncio
import logging
import re
import time
import traceback
import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from typing import TypeVar, cast
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.callers import owner_by_address
from gateway.access.forwarded import problem_answer
from gateway.errors import PROBLEM_CODE, Problem
from gateway.http.services import Services
from gateway.limits.admission import Admission
from gateway.limits.fairness import VISIT, Visit
from gateway.logs import get_logger
from gateway.logs import trace_id_of as parse_trace_id
from gateway.metrics.instruments import OTHER, Instruments
from gateway.timing import Pace

T = TypeVar("T")

_PROBED = "/health"
"""Probes ask here every second, so good answers are not logged."""
_HEADER = "X-Request-Id"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_GONE = 499
_PIECE_BYTES = 64 * 1024
_GRACE_S = 120.0
_LEAST_RATE = 16 * 1024
"""The least bytes a second that a client must read; Linux itself buffers up to 4 MB of an answer."""


def request_id_of(request: Request) -> str:
    """The id this request is logged and answered under."""
    return str(request.scope["request_id"])


def path_of(request: Request) -> str:
    """The path that was asked for, decoded; the URL's own ends at a `#` or `?` in it and knows no line breaks."""
    return str(request.scope["path"])


def trace_id_of(request: Request) -> str:
    """The trace that this request is part of: 32 hexadecimal digits."""
    return str(request.scope["trace_id"])


def services_of(request: Request) -> Services:
    """The services of the application that serves this request. Raises TypeError where it has not started."""
    services = request.app.state.services
    if not isinstance(services, Services):
        raise TypeError("the application has not started")
    return services


class RequestMiddleware:
    """Pure ASGI: gives each request its id and trace, writes its log line, and answers unexpected errors."""

    def __init__(self, app: ASGIApp, *, debug: bool) -> None:
        self._app = app
        self._debug = debug
        self._log = get_logger("gateway.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ids = _ids(Headers(scope=scope))
        scope.update(ids)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**ids)
        exchange = _Exchange(scope["request_id"], send)
        start = time.perf_counter()
        try:
            await self._app(scope, receive, exchange.send)
        except ClientDisconnect:
            exchange.status = _CLIENT_GONE
        except Exception as error:  # noqa: BLE001 the last resort: nothing may escape without an answer
            await self._unexpected(error, scope, receive, exchange)
        self._log_line(scope, exchange.status, time.perf_counter() - start)

    async def _unexpected(self, error: Exception, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        self._log.error("unexpected error", exc_info=error)
        if exchange.status:
            scope[PROBLEM_CODE] = "internal_error"
            return
        detail = "".join(traceback.format_exception_only(error)).strip() if self._debug else "The log has the details."
        response = problem_answer(scope, Problem("internal_error", detail))
        await response(scope, receive, exchange.send)

    def _log_line(self, scope: Scope, status: int, duration_s: float) -> None:
        path = quote(scope["path"])  # decoded by the server: a line break in it must not begin a line of the log
        level = logging.DEBUG if path.startswith(_PROBED) and status == HTTPStatus.OK else logging.INFO
        line = f"{scope['method']} {path} {status}"
        self._log.log(level, line, status=status, duration_ms=round(duration_s * 1000, 1))


class HeadRequests:
    """Pure ASGI: HEAD is served at every address of GET, by its rules and with its headers, but no body.

    The server's own scope keeps the method HEAD: the server reads there whether the answer has a body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        inner: Scope = {**scope, "method": "GET"}

        async def head_alone(message: Message) -> None:
            await send(message if message["type"] == "http.response.start" else {"type": "http.response.body"})
            if message["type"] != "http.response.start":
                raise _AnsweredError

        try:
            await self._app(inner, receive, head_alone)
        except _AnsweredError:
            pass
        finally:
            scope.update({**inner, "method": "HEAD"})


class _AnsweredError(Exception):
    """The head is sent, and nobody needs the body; a stream's body would never end."""


class _Exchange:
    """Adds the request's id to the answer and remembers its status; 0 until it began."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.status = 0
        self._request_id = request_id
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(raw=message["headers"])[_HEADER] = self._request_id
        await self._send(message)


def _ids(headers: Headers) -> dict[str, str]:
    """The request's ids, as the caller gave them, or new ones where they cannot be read."""
    trace_id = parse_trace_id(headers.get("traceparent", "")) or uuid.uuid4().hex
    return {"request_id": _request_id(headers.get(_HEADER)), "trace_id": trace_id}


def _request_id(given: str | None) -> str:
    return given if given and _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex


class Entrance:
    """Pure ASGI: opens a visit for each request, sends its answer at the client's pace, and closes the visit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises ClientDisconnect where the client reads nothing any more."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services = cast("Services", scope["app"].state.services)
        owner = owner_by_address(scope)
        with services.admission.visit(owner) as visit:
            scope[VISIT] = visit
            await self._app(scope, receive, _Exit(services.admission, visit, send).send)


class _Exit:
    """Sends an answer in pieces, each as soon as the client has taken those before."""

    def __init__(self, admission: Admission, visit: Visit, send: Send) -> None:
        self._bodies = admission.bodies
        self._visit = visit
        self._send = send
        self._pace: Pace | None = None

    async def send(self, message: Message) -> None:
        body = cast("bytes", message.get("body", b""))
        try:
            if len(body) <= _PIECE_BYTES:
                await self._paced(message)
            else:
                await self._in_pieces(body, message)
        except TimeoutError as error:
            raise ClientDisconnect from error

    async def _in_pieces(self, body: bytes, message: Message) -> None:
        """Send a large answer. It counts as memory until its client has it, and may be ended for others."""
        if not self._bodies.take(self._visit, len(body)):
            self._bodies.put(self._visit, len(body))
        view, last = memoryview(body), (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES
        try:
            async with self._visit.yielding():
                for start in range(0, len(body), _PIECE_BYTES):
                    more = start < last or bool(message.get("more_body"))
                    piece = bytes(view[start : start + _PIECE_BYTES])
                    await self._paced({**message, "body": piece, "more_body": more})
        except Problem as problem:
            raise ClientDisconnect from problem

    async def _paced(self, message: Message) -> None:
        pace = self._pace = self._pace or Pace(_GRACE_S, _LEAST_RATE)
        self._visit.pace = pace
        try:
            await pace.wait(self._send(message))
        finally:
            self._visit.pace = None
        pace.count(len(cast("bytes", message.get("body", b""))))


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of the work; the request's body must have been read.

    Raises ClientDisconnect, after the work was cancelled and cleaned up, when the client goes away first.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.wait((task,))


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
        if code := scope.get(PROBLEM_CODE):
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
