"""Around every request: its id and its trace, one line in the log, an answer to what nobody expected, and HEAD."""

import logging
import re
import time
import traceback
import uuid
from http import HTTPStatus
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.jobs.trace import trace_id_of as parse_trace_id
from gateway.logs import get_logger
from gateway.problems import Problem, note_problem, problem_response
from gateway.public import asked_path

_PROBED = "/health"
"""Asked every second by whoever watches the gateway: a good answer is no news."""
_HEADER = "X-Request-Id"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CLIENT_GONE = 499


def request_id_of(request: Request) -> str:
    """The id this request is logged and answered under."""
    return str(request.scope["request_id"])


def path_of(request: Request) -> str:
    """The path that was asked for, decoded; the URL's own ends at a `#` or `?` in it and knows no line breaks."""
    return str(request.scope["path"])


def trace_id_of(request: Request) -> str:
    """The trace that this request is part of: 32 hexadecimal digits."""
    return str(request.scope["trace_id"])


class RequestMiddleware:
    """Pure ASGI; outermost."""

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
        note_problem(scope, "internal_error")
        if exchange.status:
            return
        detail = "".join(traceback.format_exception_only(error)).strip() if self._debug else "The log has the details."
        response = problem_response(Problem("internal_error", detail), asked_path(scope))
        await response(scope, receive, exchange.send)

    def _log_line(self, scope: Scope, status: int, duration_s: float) -> None:
        path = quote(scope["path"])  # decoded by the server: a line break in it must not begin a line of the log
        level = logging.DEBUG if path.startswith(_PROBED) and status == HTTPStatus.OK else logging.INFO
        line = f"{scope['method']} {path} {status}"
        self._log.log(level, line, status=status, duration_ms=round(duration_s * 1000, 1))


class HeadRequests:
    """Pure ASGI: HEAD is served at every address of GET, by its rules and with its headers, but no body.

    The scope of who asked stays as it is: servers look there whether a body belongs to an answer.
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
    """The head is sent: nobody needs the rest, which of a stream would never end."""


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
    """The caller's ids, and new ones where they cannot be read."""
    trace_id = parse_trace_id(headers.get("traceparent", "")) or uuid.uuid4().hex
    return {"request_id": _request_id(headers.get(_HEADER)), "trace_id": trace_id}


def _request_id(given: str | None) -> str:
    return given if given and _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
