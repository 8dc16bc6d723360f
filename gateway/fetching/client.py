"""An HTTP client that does what it is told once, to an address that the guard has checked."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import httpx

from gateway import __version__
from gateway.fetching.addresses import IPAddress
from gateway.fetching.guard import Guard
from gateway.fetching.urls import host_of

_HEADERS: Mapping[str, str] = MappingProxyType(
    {"User-Agent": f"maskwright/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
)
"""`identity`, where nobody reads the answer's body."""

_CONNECT_SHARE = 1 / 3
"""Of the whole time, so that there is some left for a second address where the first does not answer."""


def with_host(url: httpx.URL, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers of a request with its Host, in ASCII as DNS has it.

    httpx would look for the host's Unicode form, and raises where IDNA has none: names with emoji.
    """
    return {"Host": url.netloc.decode("ascii"), **headers}


class Client:
    """Sends requests as they are: no cookies, no redirects, no proxy, no credentials from the environment.

    httpx.AsyncClient would read a hostile Location by itself, and log URLs with their signatures.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._transport = transport
        self._timeouts = httpx.Timeout(timeout_s, connect=timeout_s * _CONNECT_SHARE).as_dict()

    @asynccontextmanager
    async def send(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The answer, its body unread; each step takes at most `timeout_s`, the caller limits the whole.

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
        # A kept connection belongs to an address here, and could be taken for another host's at the same address.
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
    """The same request, its Host header too, to the address instead of the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host_of(request.url)},
    )
