"""How uvicorn listens here: HTTP/1.1 on h11, with the limits that both lack, of a request's head and of connections.

An offer to upgrade is ignored, as RFC 9110 (7.8) allows, and its body is read as any other.
"""

import asyncio
import re
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.access.browsers import HostAndOriginGuard, Hosts, Origins, SafeHeaders
from gateway.access.callers import site_of
from gateway.logs import get_logger
from gateway.settings import Settings
from gateway.settings.fields import printable

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0
STALL_S = 20.0
"""A client that reads fewer than _STALLED_BYTES of its answer in this time counts as gone."""
MAX_UNSENT_BYTES = 256 * 1024 * 1024
"""Of answers in memory that clients have not read yet; beyond it, the connection with most of them is ended."""

_LINGER_S = 2.0
_MAX_FIELDS = 100
"""Of the header, and of the address: 64 KiB of `a&a&…` took the event loop for 30 ms."""
_STALLED_BYTES = 20_000
_LINE_BYTES = 4
"""Colon, space and line end of a header."""
_FREE_CHUNKS = 1000
_CHUNK_BYTES = 128
"""What a body's chunks must have on average, after _FREE_CHUNKS: a chunk costs some 20 µs whatever its size."""
_ABSOLUTE = re.compile(rb"https?://(?P<host>[^/?@]+)(?P<path>[/?].*|)", re.IGNORECASE)
_TEXTS = {
    431: f"The request's head is larger than {MAX_HEAD_BYTES} bytes, or has more than {_MAX_FIELDS} fields.",
    501: "This server knows no tunnels and no Transfer-Encoding but chunked.",
    503: "Too many connections are open.",
    505: "This server speaks HTTP/1.1.",
}

_log = get_logger(__name__)


class Phase(IntEnum):
    """What a connection waits for. To end one in a lower phase loses less."""

    HEAD = 0
    BODY = 1
    ANSWER = 2


class BoundedProtocol(H11Protocol):
    """Refuses heads that are large, slow or to be read in two ways, and ends a connection where there are too many.

    That one belongs to the address with the most connections: it is in the lowest phase, and was silent for longest.
    A connection that is being answered is ended only where its address has more than half of all, and more than the
    new connection's address; else the new one is refused. So a caller with many slow connections loses its own.
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
        """The address, or network, that the connection counts for."""
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
        """Wait for the first head, where there is room for the connection."""
        super().connection_made(transport)
        self.heard_at = self.loop.time()
        self._set_timer()
        if len(self.connections) > self._config.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._cancel_timer()
        self._forget_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head must arrive in time."""
        if self._is_refused:
            return
        self.heard_at = self.loop.time()
        super().data_received(data)
        self._set_timer()

    def on_response_complete(self) -> None:
        """The rest of a body that was answered early must arrive in time, too."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self._set_timer()

    def shutdown(self) -> None:
        """Close as soon as no request is being served."""
        if self._is_between or self._is_refused:
            self._close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The client reads more slowly than the application writes: watch it."""
        super().pause_writing()
        self._watch_reader(self.unsent)
        held = [one for one in cast("set[BoundedProtocol]", self.connections) if one.unsent]
        if sum(one.unsent for one in held) > MAX_UNSENT_BYTES:
            max(held, key=lambda one: one.unsent).end()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._forget_reader()
        super().resume_writing()

    def end(self) -> None:
        """End the connection at once, even in the middle of an answer."""
        self.connections.discard(self)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless an answer has begun, and end the connection."""
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
        """Answer with plain text; close a little later, as a client that still sends would not read the answer."""
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
    def _config(self) -> "Config":
        return cast("Config", self.config)

    def _set_timer(self) -> None:
        """Set the time limit for what the client has to send now, if anything; bytes that arrive do not extend it."""
        if self._is_refused or self.transport.is_closing():
            return
        if not self._is_between:
            self._cancel_timer()
            return
        begun = self.cycle is None or self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        seconds = HEAD_TIMEOUT_S if begun else self._config.keep_alive_s
        if self._timer is None or self._timed_s != seconds:
            self._timed_s = seconds
            self._close_in(seconds)

    def _close_in(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self._close)

    def _close(self) -> None:
        """Close, with a little time for the client to read what was written."""
        self._cancel_timer()
        self.transport.close()
        self._timer = self.loop.call_later(STALL_S, self.transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Connection(h11.Connection):
    """Refuses what h11 accepts and another server may read differently, and bodies of tiny chunks."""

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
    """The head. Refuses a length beside Transfer-Encoding, and that in HTTP/1.0: smuggled requests (RFC 9112, 6.1)."""
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


_OTHER_FILES = 512
"""Files that the process has open beside connections."""


class Server(uvicorn.Server):
    """Leaves the signals to its caller: uvicorn would raise them again before the stores are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@dataclass(frozen=True)
class Limits:
    """The most connections; seconds that one is kept for a next request, and that a stop waits."""

    connections: int = 1000
    keep_alive_s: float = 75
    grace_s: int = 1


class Config(uvicorn.Config):
    """uvicorn's, for an application that starts and ends outside of the server, and that logs by itself."""

    def __init__(self, app: ASGIApp, limits: Limits, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(
            app,
            host=host,
            port=port,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",  # its warnings are logged by the protocol, with their cause
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=limits.grace_s,
        )
        self.most_connections = _affordable(limits.connections)
        self.keep_alive_s = limits.keep_alive_s


def configured_beside(app: ASGIApp, settings: Settings, port: int = 0) -> Config:
    """For a page beside the API, on a port of its own: hosts and web pages are checked as the API checks them."""
    origins = Origins(settings)
    checked = SafeHeaders(HostAndOriginGuard(app, Hosts(settings), origins), origins)
    return Config(checked, Limits(), settings.api_host, port)


def _affordable(connections: int) -> int:
    """As many connections as asked for, or as many as the system grants files for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, soft - _OTHER_FILES))
