"""Fetches photos from URLs that callers give."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

import anyio
import httpx

from gateway.errors import Problem
from gateway.fetching.client import Client, PinnedTransport, open_client, with_host
from gateway.fetching.codings import ACCEPTED, CodingError, TooLargeError, coding_of, decoded
from gateway.fetching.guard import Guard
from gateway.fetching.resolver import Resolver, system_resolver
from gateway.fetching.urls import join_url, parse_url, shown
from gateway.settings import Settings

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that may be gone on the next attempt."""
_CUT_SHORT = ("disconnected", "peer closed")
"""What httpcore and h11 say where a server closed the connection; all else is an answer that is not HTTP."""


class Fetcher:
    """GET with limits on size, time and redirects."""

    def __init__(self, client: Client, max_bytes: int) -> None:
        self._client = client
        self._max_bytes = max_bytes

    async def fetch(self, url: str) -> bytes:
        """The body behind a URL.

        Raises Problem: `url_not_allowed`, `url_failed`, `body_too_large`, and `url_unreachable` for what may pass.
        """
        first = parse_url(url)
        try:
            with anyio.fail_after(self._client.timeout_s):
                return await self._follow(first)
        except TimeoutError as error:
            raise self._late(first) from error

    async def _follow(self, first: httpx.URL) -> bytes:
        url, redirects = first, 0
        answer = await self._get(url)
        while isinstance(answer, str):
            redirects += 1
            if redirects > _MAX_REDIRECTS:
                raise Problem("url_failed", f"{shown(first)} redirects more than {_MAX_REDIRECTS} times.")
            with _redirected(first):
                url = _next(url, answer)
                answer = await self._get(url)
        return answer

    async def _get(self, url: httpx.URL) -> bytes | str:
        """The body, or where it is said to be, unread."""
        async with self._answer(url) as response:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            _check_status(url, response)
            return await self._decoded(url, response)

    @asynccontextmanager
    async def _answer(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        try:
            request = httpx.Request("GET", url, headers=with_host(url, {"Accept-Encoding": ACCEPTED}))
            async with self._client.send(request) as response:
                yield response
        except httpx.TimeoutException as error:
            raise self._late(url) from error
        except httpx.ProtocolError as error:
            code = "url_unreachable" if any(words in str(error) for words in _CUT_SHORT) else "url_failed"
            raise Problem(code, f"{shown(url)}: no HTTP answer: {error}") from error
        except httpx.TransportError as error:
            raise Problem("url_unreachable", f"{shown(url)}: no connection: {error}") from error

    async def _decoded(self, url: httpx.URL, response: httpx.Response) -> bytes:
        try:
            coding = coding_of(response.headers.get("content-encoding", ""))
            body = await self._body(url, response)
            return await anyio.to_thread.run_sync(decoded, body, coding, self._max_bytes) if coding else body
        except CodingError as error:
            raise Problem("url_failed", f"{shown(url)}: {error}") from error
        except TooLargeError as error:
            raise self._too_large(url) from error

    async def _body(self, url: httpx.URL, response: httpx.Response) -> bytes:
        if int(response.headers.get("content-length", 0)) > self._max_bytes:
            raise self._too_large(url)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large(url)
        return bytes(body)

    def _too_large(self, url: httpx.URL) -> Problem:
        return Problem("body_too_large", f"{shown(url)}: at most {self._max_bytes} bytes are accepted.")

    def _late(self, url: httpx.URL) -> Problem:
        return Problem("url_unreachable", f"{shown(url)}: not done within {self._client.timeout_s:g} s.")


@asynccontextmanager
async def open_fetcher(settings: Settings, resolve: Resolver | None = None) -> AsyncIterator[Fetcher]:
    """A fetcher for as long as the context lasts; `resolve` in place of the system's resolver."""
    guard = Guard(settings.allowed_networks, resolve or system_resolver())
    async with open_client(PinnedTransport(guard), settings.fetch_timeout_s) as client:
        yield Fetcher(client, settings.max_body_bytes)


def _check_status(url: httpx.URL, response: httpx.Response) -> None:
    status = response.status_code
    if not response.is_success:
        code = "url_unreachable" if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING else "url_failed"
        raise Problem(code, f"{shown(url)} answered {status}.")


def _next(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads. Raises Problem `url_not_allowed`; also where it would leave TLS."""
    wanted = join_url(url, location)
    if url.scheme == "https" and wanted.scheme != "https":
        raise Problem("url_not_allowed", f"{shown(wanted)}: not followed, as it would leave https for http.")
    return wanted


@contextmanager
def _redirected(first: httpx.URL) -> Iterator[None]:
    """Says of a problem that it came of a redirect, which the caller may not know of."""
    try:
        yield
    except Problem as problem:
        raise Problem(problem.code, f"{shown(first)} redirects; {problem.detail}") from problem
