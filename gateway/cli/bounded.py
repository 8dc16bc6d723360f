"""Answers that end: whatever a server sends, it takes a bounded time, and a bounded room."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

MOST_BYTES = 512 * 2**20
"""Of an answer; the artifacts of a photo are a few megabytes."""
MOST_ITEMS = 500_000
"""Of an answer's JSON: each takes up to a hundred times the room of its two letters."""
HEAD_S, BODY_S = 900.0, 1800.0
"""Seconds from the first byte sent until an answer begins, and from there until it ends."""
ENDLESS = "endless"
"""The extension of a request whose answer may last: a stream of events, whose reader has its own bounds."""
MOST_LINE = 2**20
_TOLD = 5

T = TypeVar("T")


class UnexpectedAnswerError(Exception):
    """The server answered with something that is none of ours; the message says what."""


class Bounded(httpx.AsyncBaseTransport):
    """Another transport, whose answers are bounded, and come as they are: a compressed one may hide any size."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(HEAD_S):
                answer = await self._inner.handle_async_request(request)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no answer within {HEAD_S:.0f} s", request=request) from error
        if answer.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            await answer.aclose()
            raise httpx.DecodingError("the answer is compressed, which nobody asked for", request=request)
        if ENDLESS not in request.extensions and isinstance(answer.stream, httpx.AsyncByteStream):
            answer.stream = _Body(answer.stream, request)
        return answer

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, request: httpx.Request) -> None:
        self._inner, self._request = inner, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, clock = 0, asyncio.get_running_loop().time
        until = clock() + BODY_S
        async for chunk in self._inner:
            size += len(chunk)
            if size > MOST_BYTES:
                raise httpx.ReadError(f"the answer is larger than {MOST_BYTES >> 20} MiB", request=self._request)
            if clock() > until:
                raise httpx.ReadTimeout(f"the answer did not end within {BODY_S:.0f} s", request=self._request)
            yield chunk

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


def parsed(content: bytes, kind: TypeAdapter[T]) -> T:
    """JSON of that kind. Raises UnexpectedAnswerError."""
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_ITEMS:
        raise UnexpectedAnswerError(f"JSON of more than {MOST_ITEMS} items")
    try:
        return kind.validate_json(content)
    except ValidationError as error:
        raise UnexpectedAnswerError(_said(error)) from error


async def lines(answer: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream of events. Raises UnexpectedAnswerError for one without end."""
    rest = b""
    async for chunk in answer.aiter_bytes():
        *whole, rest = re.split(rb"\r\n|\n|\r(?!$)", rest + chunk)
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) > MOST_LINE:
            raise UnexpectedAnswerError(f"a line of more than {MOST_LINE >> 20} MiB")


def _said(error: ValidationError) -> str:
    """What is wrong; of many faults their number, as telling each would take their room again."""
    if error.error_count() > _TOLD:
        return f"JSON of another kind, with {error.error_count()} faults"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
