"""uvicorn's HTTP/1.1 on h11, with the limits that both leave open: of a request's head, and of connections.

An offer to upgrade is passed over, as RFC 9110 (7.8) allows, and its body is read as any other.
"""

import asyncio
import re
import sys
from collections import Counter
from enum import IntEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.access.origin import site_of
from gateway.logs import get_logger
from gateway.settings.fields import printable

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0
STALL_S = 20.0
"""A client that takes in less than a few bytes of its answer within so long is gone."""
MAX_UNSENT_BYTES = 256 * 1024 * 1024
"""Of answers in memory that wait for their clients; beyond, the one that waits with most is ended."""

_LINGER_S = 2.0
_MAX_FIELDS = 100
"""Of the header, and of the address: 64 KiB of `a&a&…` took the event loop for 30 ms."""
_STALLED_BYTES = 20_000
_LINE_BYTES = 4
"""Colon, space and line end of a header."""
_FREE_CHUNKS = 1000
_CHUNK_BYTES = 128
"""A chunk costs some 20 µs, whatever it holds: of a body a few may be small, all others hold so much on average."""
_ABSOLUTE = re.compile(rb"https?://(?P<host>[^/?@]+)(?P<path>[/?].*|)", re.IGNORECASE)
_TEXTS = {
    431: f"The request's head is larger than {MAX_HEAD_BYTES} bytes, or has more than {_MAX_FIELDS} fields.",
    501: "This server knows no tunnels and no Transfer-Encoding but chunked.",
    503: "Too many connections are open.",
    505: "This server speaks HTTP/1.1.",
}

_log = get_logger(__name__)


class Config(uvicorn.Config):
    """uvicorn's, with the connections that may be open, and how long one is kept for a next request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit_connections: int,
        keep_alive_s: float,
        **options: Any,  # noqa: ANN401 uvicorn's own
    ) -> None:
        super().__init__(app, **options)
        self.limit_connections = limit_connections
        self.keep_alive_s = keep_alive_s


class Phase(IntEnum):
    """What a connection waits for, in the order in which one is missed least."""

    HEAD = 0
    BODY = 1
    ANSWER = 2


class BoundedProtocol(H11Protocol):
    """Refuses heads that are large, slow or to be read in two ways, and ends a connection where there are too many.

    Of the address that has the most, that one is ended which waits for the least, and of those the one that was silent
    the longest. One that is being answered is ended only where its address has more than half of all and more than the
    newcomer's; else the newcomer is refused. So a caller with any number of slow connections ends their own.
    """

    heard_at = 0.0
    """When its last bytes came, in the loop's time."""
    _timer: asyncio.TimerHandle | None = None
    _timed_s = 0.0
    _is_refused = False
    _stall: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 uvicorn's own
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER, MAX_HEAD_BYTES)

    @cached_property
    def origin(self) -> str:
        """Whom the connection counts for."""
        return site_of(self.client[0] if self.client else "")

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        if self._is_between:
            return Phase.ANSWER if self.unsent else Phase.HEAD
        return Phase.BODY if self.cycle.more_body else Phase.ANSWER

    @property
    def unsent(self) -> int:
        """Bytes of its answer that the client has not taken."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first head, where there is room."""
        super().connection_made(transport)
        self.heard_at = self.loop.time()
        self._set_timer()
        if len(self.connections) > self._limits.limit_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._cancel_timer()
        self._forget_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head has to come in time."""
        if self._is_refused:
            return
        self.heard_at = self.loop.time()
        super().data_received(data)
        self._set_timer()

    def on_response_complete(self) -> None:
        """What is left of a body that was answered early has to come in time, too."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._set_timer()

    def shutdown(self) -> None:
        """Close, as soon as no request is under way."""
        if self._is_between or self._is_refused:
            self._close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The client reads more slowly than the application writes."""
        super().pause_writing()
        self._watch_reader(self.unsent)
        held = [one for one in cast("set[BoundedProtocol]", self.connections) if one.unsent]
        if sum(one.unsent for one in held) > MAX_UNSENT_BYTES:
            max(held, key=lambda one: one.unsent).end()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._forget_reader()
        super().resume_writing()

    def end(self) -> None:
        """Without an answer, or in the middle of one."""
        self.connections.discard(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, where no answer has begun, and end the connection."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        reason = printable(str(error))
        _log.warning(f"no HTTP to be answered: {reason}", client=self.client and self.client[0], status=status)
        if self._is_between or not self.cycle.response_started:
            self._refuse(status, _TEXTS.get(status, f"{msg.rstrip('.')}: {reason}"))
        else:
            self._close()
        if not self._is_between:  # the application hears that its client is gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _should_upgrade(self) -> bool:
        return False

    def _refuse(self, status: int, text: str) -> None:
        """Closed at once, a client that still sends would not read why."""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        self.transport.write(f"{head}{text}".encode())
        self.transport.write_eof()
        self._is_refused = True
        self._close_in(_LINGER_S)

    def _make_room(self) -> None:
        connections = cast("set[BoundedProtocol]", self.connections)
        sizes = Counter(one.origin for one in connections)
        most, size = sizes.most_common(1)[0]
        victim = min((one for one in connections if one.origin == most), key=lambda one: (one.phase, one.heard_at))
        greedy = size > len(connections) / 2 and size > sizes[self.origin]
        if victim is not self and (greedy or victim.phase is not Phase.ANSWER):
            victim.end()
        else:
            self._refuse(503, _TEXTS[503])

    def _watch_reader(self, unsent: int) -> None:
        self._stall = self.loop.call_later(STALL_S, self._check_reader, unsent)

    def _check_reader(self, before: int) -> None:
        unsent = self.unsent
        if before - unsent < _STALLED_BYTES:
            self.end()
        else:
            self._watch_reader(unsent)

    def _forget_reader(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    @property
    def _is_between(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _limits(self) -> Config:
        return cast("Config", self.config)

    def _set_timer(self) -> None:
        """For what a client has to send now, if it has; bytes that come do not renew it."""
        if self._is_refused or self.transport.is_closing():
            return
        if not self._is_between:
            self._cancel_timer()
            return
        begun = self.cycle is None or self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        seconds = HEAD_TIMEOUT_S if begun else self._limits.keep_alive_s
        if self._timer is None or self._timed_s != seconds:
            self._timed_s = seconds
            self._close_in(seconds)

    def _close_in(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self._close)

    def _close(self) -> None:
        """A client that does not read what was written gets a little time for it."""
        self._cancel_timer()
        self.transport.close()
        self._timer = self.loop.call_later(STALL_S, self.transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Connection(h11.Connection):
    """Refuses what h11 takes and another server may read in another way, and chunks that cost more than they hold."""

    _chunks_left: float = _FREE_CHUNKS

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next part of a request, past an empty line before it (RFC 9112, 2.2). Raises RemoteProtocolError."""
        if self.their_state is h11.IDLE and self.trailing_data[0].startswith(b"\r\n"):
            self._receive_buffer.maybe_extract_at_most(2)
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks_left = _FREE_CHUNKS
            return _checked(event)
        if isinstance(event, h11.Data):
            self._chunks_left += len(event.data) / _CHUNK_BYTES - event.chunk_start
            if self._chunks_left < 0:
                raise h11.RemoteProtocolError("tiny chunks")
        return event


def _checked(head: h11.Request) -> h11.Request:
    """RFC 9112, 6.1: a length beside Transfer-Encoding, or that in HTTP/1.0, may be a smuggled request."""
    size = len(head.target) + sum(len(name) + len(value) + _LINE_BYTES for name, value in head.headers)
    if size > MAX_HEAD_BYTES or max(len(head.headers), head.target.count(b"&")) > _MAX_FIELDS:
        raise h11.RemoteProtocolError("a large head", error_status_hint=431)
    if head.http_version not in {b"1.0", b"1.1"}:
        raise h11.RemoteProtocolError("another version", error_status_hint=505)
    if head.method == b"CONNECT":
        raise h11.RemoteProtocolError("a tunnel", error_status_hint=501)
    headers = dict(head.headers)
    if b"transfer-encoding" in headers and (b"content-length" in headers or head.http_version == b"1.0"):
        raise h11.RemoteProtocolError("a body framed in two ways")
    return head if head.target.startswith(b"/") else _of_origin(head, headers.get(b"host", b""))


def _of_origin(head: h11.Request, host: bytes) -> h11.Request:
    """The same for a path, as the clients of proxies ask (RFC 9112, 3.2.2).

    Raises RemoteProtocolError for what is no address of this host.
    """
    match = _ABSOLUTE.fullmatch(head.target)
    if match is None or match["host"].lower() != host.lower():
        raise h11.RemoteProtocolError("neither a path nor an address of this host")
    target = match["path"] if match["path"].startswith(b"/") else b"/" + match["path"]
    return h11.Request(
        method=head.method, target=target, headers=head.headers.raw_items(), http_version=head.http_version
    )
