"""uvicorn's HTTP/1.1, with the two limits that it leaves open: how large a request's head may be, and how slow."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0

_TEXT = f"The request's head is larger than {MAX_HEAD_BYTES} bytes."
_TOO_LARGE = (
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    f"Content-Length: {len(_TEXT)}\r\n\r\n{_TEXT}"
).encode()


_LINE_BYTES = 4
"""Colon, space and line end of a header."""


class _HeadTooLargeError(Exception):
    """Ends the parsing; uvicorn answers any such error through `send_400_response`."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers a head that is too large with 431, and closes a connection whose head does not come in time.

    Refused are whole heads above the limit, and unfinished ones above twice the limit: however the head is cut into
    reads, one within the limit passes.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that began earlier and has not ended."""
        unfinished = self._head_timer
        super().data_received(data)
        if unfinished is None or self._head_timer is not unfinished:
            return
        self._head_bytes += len(data)
        if self._head_bytes > 2 * MAX_HEAD_BYTES:
            self._cancel_timer()
            self._refuse()

    def on_message_begin(self) -> None:
        """Expect the head of the next request on the same connection."""
        super().on_message_begin()
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is here. Raises _HeadTooLargeError."""
        self._cancel_timer()
        if sum(len(name) + len(value) + _LINE_BYTES for name, value in self.headers) > MAX_HEAD_BYTES:
            self._too_large = True
            raise _HeadTooLargeError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed."""
        if self._too_large:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _refuse(self) -> None:
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
