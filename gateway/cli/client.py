"""The gateway that the command line speaks to."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
import typer
from pydantic import BaseModel, TypeAdapter

from gateway.cli.bounded import Bounded, UnexpectedAnswerError, parsed
from gateway.cli.shell import shell_settings, told
from gateway.cli.terminal import complain
from gateway.hosts import is_loopback
from gateway.proxies import proxy_for, require_certificates, way_to
from gateway.settings import SettingsError
from gateway.text import shown

T = TypeVar("T")

UNEXPECTED = "unexpected_answer"
_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
_VARIABLE = "MASKWRIGHT_TOKEN"
_ENCRYPTED = "use https, or, where nobody else can listen, say --plain-http"
_BUSY = frozenset({429, 503})
_LONGEST_PAUSE_S = 60.0
"""However long a server asks to be left alone."""


class GatewayAwayError(ConnectionError):
    """Nothing answers at the gateway's address."""


class RefusedError(Exception):
    """The gateway answered with a problem."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class _Refusal(BaseModel):
    code: str
    detail: str


_REFUSAL = TypeAdapter(_Refusal)


@dataclass(frozen=True)
class Gateway:
    """Where it is, as it was said, and whether a key may go there unencrypted."""

    url: str
    plain_http: bool


def base_url(gateway: Gateway) -> str:
    """The URL as given, or that of the stack that runs here.

    Raises typer.Exit after a message where settings, URL, token or the way there are wrong.
    """
    given = gateway.url.strip()
    with told():
        address = (given if "://" in given else f"http://{given}") if given else shell_settings().local_url
        _check(address, gateway)
    return address


def open_client(url: str) -> httpx.AsyncClient:
    """A client of the gateway at this base URL, which `base_url` gave.

    It follows no redirect, which could take the key elsewhere, and reads no .netrc.
    """
    headers = {"Accept-Encoding": "identity", **credentials()}
    way = Bounded(way_to(httpx.URL(url)))
    return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, transport=way, headers=headers, trust_env=False)


def credentials() -> Mapping[str, str]:
    """The header with the token or API key of MASKWRIGHT_TOKEN; nothing without one. Raises SettingsError."""
    token = os.environ.get(_VARIABLE, "").strip()
    if not (token.isascii() and (token.isprintable() or not token)):
        raise SettingsError(f"{_VARIABLE}=…: a token has nothing but letters, digits and signs of ASCII")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _check(address: str, gateway: Gateway) -> None:
    """Raises SettingsError for what is no URL, or would show the key to others on the way, and ProxyError."""
    try:
        url = httpx.URL(address)
        httpx.Request("GET", url)  # names of which httpx knows no Unicode form fail only here
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"{shown(address)}: not a URL such as http://127.0.0.1:8000: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise SettingsError(f"{shown(address)}: not a URL such as http://127.0.0.1:8000")
    has_key = bool(credentials() or url.userinfo)
    if has_key and url.scheme == "http" and not is_loopback(url.host) and not gateway.plain_http:
        raise SettingsError(f"{shown(address)}: {_VARIABLE} would go there unencrypted; {_ENCRYPTED}")
    proxy_for(url)
    require_certificates()


async def expect_gateway(client: httpx.AsyncClient) -> None:
    """Return where a gateway answers. Raises GatewayAwayError."""
    try:
        await client.get("/health/live")
    except httpx.HTTPError as error:
        raise GatewayAwayError(str(client.base_url)) from error


def accepted(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is a good one. Raises RefusedError."""
    if answer.is_success:
        return answer
    try:
        refusal = parsed(answer.content, _REFUSAL)
    except UnexpectedAnswerError:
        raise RefusedError(UNEXPECTED, f"{answer.url} answered {answer.status_code}") from None
    raise RefusedError(refusal.code, refusal.detail)


def content_of(answer: httpx.Response, kind: TypeAdapter[T]) -> T:
    """The JSON of a good answer. Raises RefusedError, with the code `unexpected_answer` for anything else."""
    try:
        return parsed(accepted(answer).content, kind)
    except UnexpectedAnswerError as error:
        raise RefusedError(UNEXPECTED, f"{answer.url} answered with something else: {error}") from error


async def patiently(send: Callable[[], Awaitable[httpx.Response]], tries: int) -> httpx.Response:
    """The answer; a busy gateway is asked again after the time it names."""
    for _ in range(tries - 1):
        answer = await send()
        if answer.status_code not in _BUSY:
            return answer
        await asyncio.sleep(_pause_s(answer))
    return await send()


def _pause_s(answer: httpx.Response) -> float:
    """Seconds that Retry-After names; a proxy before the gateway may write a date there instead (RFC 9110 §10.2.3)."""
    named = answer.headers.get("retry-after", "")
    return min(float(named) if named.isascii() and named.isdecimal() else 1.0, _LONGEST_PAUSE_S)


def converse(gateway: Gateway, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """What the work gives back. Raises typer.Exit after a message, where the gateway is away or refuses."""
    address = base_url(gateway)
    try:
        return asyncio.run(_converse(address, work))
    except GatewayAwayError as error:
        away(address)
        raise typer.Exit(1) from error
    except RefusedError as error:
        complain(error)
        raise typer.Exit(1) from error
    except httpx.HTTPError as error:
        complain(f"connection_failed: {error or type(error).__name__}")
        raise typer.Exit(1) from error


def away(address: str) -> None:
    """Say that no gateway is there."""
    start = "start it with `maskwright up`"
    elsewhere = "for one in another folder set MASKWRIGHT_HOME, or name it by --url"
    complain(f"No gateway answers at {address}; {start}; {elsewhere}.")


async def _converse(url: str, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    async with open_client(url) as client:
        await expect_gateway(client)
        return await work(client)
