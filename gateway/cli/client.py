"""The gateway that the command line speaks to."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import httpx
import typer
from pydantic import BaseModel, ValidationError

from gateway.cli.shell import shell_settings, told
from gateway.proxies import proxy_for, require_certificates, way_to
from gateway.settings import SettingsError
from gateway.settings.environment import shown

T = TypeVar("T")

_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
_VARIABLE = "MASKWRIGHT_TOKEN"
_BUSY = frozenset({429, 503})


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


def base_url(url: str) -> str:
    """The URL as given, or that of the stack that runs here.

    Raises typer.Exit after a message where settings, URL, token or the way there are wrong.
    """
    given = url.strip()
    with told():
        address = (given if "://" in given else f"http://{given}") if given else shell_settings().local_url
        _check(address)
        credentials()
    return address


def open_client(url: str) -> httpx.AsyncClient:
    """A client of the gateway at this base URL, which `base_url` gave."""
    return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, transport=way_to(httpx.URL(url)), headers=credentials())


def credentials() -> Mapping[str, str]:
    """The header with the token or API key of MASKWRIGHT_TOKEN; nothing without one. Raises SettingsError."""
    token = os.environ.get(_VARIABLE, "").strip()
    if not (token.isascii() and (token.isprintable() or not token)):
        raise SettingsError(f"{_VARIABLE}=…: a token has nothing but letters, digits and signs of ASCII")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _check(address: str) -> None:
    """Raises SettingsError for what is no URL, and ProxyError."""
    try:
        url = httpx.URL(address)
        httpx.Request("GET", url)  # names of which httpx knows no Unicode form fail only here
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"{shown(address)}: not a URL such as http://127.0.0.1:8000: {error}") from error
    proxy_for(url)
    require_certificates()


async def expect_gateway(client: httpx.AsyncClient) -> None:
    """Return where a gateway answers. Raises GatewayAwayError."""
    try:
        await client.get("/health/live")
    except httpx.TransportError as error:
        raise GatewayAwayError(str(client.base_url)) from error


def accepted(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is a good one. Raises RefusedError."""
    if answer.is_success:
        return answer
    try:
        refusal = _Refusal.model_validate_json(answer.content)
    except ValidationError:
        raise RefusedError("unexpected_answer", f"{answer.url} answered {answer.status_code}") from None
    raise RefusedError(refusal.code, refusal.detail)


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
    return float(named) if named.isdecimal() else 1.0


def converse(url: str, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """What the work gives back. Raises typer.Exit after a message, where the gateway is away or refuses."""
    address = base_url(url)
    try:
        return asyncio.run(_converse(address, work))
    except GatewayAwayError as error:
        away(address)
        raise typer.Exit(1) from error
    except RefusedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except httpx.HTTPError as error:
        typer.echo(f"connection_failed: {error or type(error).__name__}", err=True)
        raise typer.Exit(1) from error


def away(address: str) -> None:
    """Say that no gateway is there."""
    start = "start it with `maskwright up`"
    elsewhere = "for one in another folder set MASKWRIGHT_HOME, or name it by --url"
    typer.echo(f"No gateway answers at {address}; {start}; {elsewhere}.", err=True)


async def _converse(url: str, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    async with open_client(url) as client:
        await expect_gateway(client)
        return await work(client)
