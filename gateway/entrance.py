"""The door of a request: what it holds is given back behind it, and its answer goes at the client's pace."""

from typing import cast

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.callers import owner_by_address
from gateway.admission import Admission
from gateway.deadline import Pace
from gateway.problems import Problem
from gateway.services import Services
from gateway.visits import VISIT, Visit

_PIECE_BYTES = 64 * 1024
_GRACE_S = 120.0
_LEAST_RATE = 16 * 1024
"""Bytes a second that a client reads. Linux takes up to 4 MB of an answer, and more when a third of that has gone."""


class Entrance:
    """Pure ASGI; about everything that answers."""

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
        """While it waits for its client it holds room, and may be ended for the sake of others."""
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
