"""Sends HTTP requests to the addresses that the guard allows, and fetches photos from URLs that callers give."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from types import MappingProxyType

import anyio
import httpx

from gateway import __version__
from gateway.errors import Problem
from gateway.fetching.codings import ACCEPTED, CodingError, TooLargeError, coding_of, decoded
from gateway.fetching.guard import Guard, Resolver, host_of, join_url, parse_url, shown, system_resolver
from gateway.hosts import IPAddress
from gateway.settings import Settings

_HEADERS: Mapping[str, str] = MappingProxyType(
    {"User-Agent": f"maskwright/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
)
"""Accept-Encoding is `identity` because most answers' bodies are not read."""

_CONNECT_SHARE = 1 / 3
"""The share of the time for connecting to one address: if it does not answer, a second one can be tried."""
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
"""Statuses below 500 after which another attempt may succeed."""
_CUT_SHORT = ("disconnected", "peer closed")
"""Words of httpcore and h11 if a server closed the connection; with other words the answer was not HTTP."""


def with_host(url: httpx.URL, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers and a Host header in ASCII, as DNS has it.

    httpx itself would convert the host to Unicode, and raises for names that IDNA does not know, such as emoji.
    """
    return {"Host": url.netloc.decode("ascii"), **headers}


class Client:
    """Sends requests as they are: no cookies, no redirects, no proxy, no credentials from the environment.

    httpx.AsyncClient is not used: it would parse a hostile Location by itself, and log URLs with their signatures.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._transport = transport
        self._timeouts = httpx.Timeout(timeout_s, connect=timeout_s * _CONNECT_SHARE).as_dict()

    @asynccontextmanager
    async def send(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The answer, with its body unread. Each step takes at most `timeout_s`; the caller limits the whole.

        Raises httpx.TransportError, and what the transport raises besides.
        """
        for name, value in _HEADERS.items():
            request.headers.setdefault(name, value)
        request.extensions = {**request.extensions, "timeout": self._timeouts}
        response = await self._transport.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()


class PinnedTransport(httpx.AsyncBaseTransport):
    """Sends each request to one of the guard's addresses; TLS certificates are verified against the URL's host.

    Raises the guard's Problem.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        # A kept connection is known by its address alone, so it could be used for another host at the same address.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._direct = httpx.AsyncHTTPTransport(limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Try the addresses in turn until one takes the connection."""
        *others, last = await self._guard.addresses(request.url)
        for address in others:
            try:
                return await self._direct.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._direct.handle_async_request(_pinned(request, last))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._direct.aclose()


@asynccontextmanager
async def open_client(transport: httpx.AsyncBaseTransport, timeout_s: float) -> AsyncIterator[Client]:
    """A client for as long as the context lasts."""
    async with transport:
        yield Client(transport, timeout_s)


def _pinned(request: httpx.Request, address: IPAddress) -> httpx.Request:
    """The same request, with the same Host header, to the address instead of the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host_of(request.url)},
    )


class Fetcher:
    """GET with limits on size, time and redirects."""

    def __init__(self, client: Client, max_bytes: int) -> None:
        self._client = client
        self._max_bytes = max_bytes

    async def fetch(self, url: str) -> bytes:
        """The body behind a URL.

        Raises Problem: `url_not_allowed`, `url_failed`, `body_too_large`; `url_unreachable` if another try may succeed.
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
        """The body; of a redirect, its Location, unchecked."""
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
    """Where a redirect leads. Raises Problem `url_not_allowed`, also for one from https to http."""
    wanted = join_url(url, location)
    if url.scheme == "https" and wanted.scheme != "https":
        raise Problem("url_not_allowed", f"{shown(wanted)}: not followed, as it would leave https for http.")
    return wanted


@contextmanager
def _redirected(first: httpx.URL) -> Iterator[None]:
    """Add to a Problem that it came after a redirect, of which the caller may not know."""
    try:
        yield
    except Problem as problem:
        raise Problem(problem.code, f"{shown(first)} redirects; {problem.detail}") from problem
