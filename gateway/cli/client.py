"""The HTTP client of the command line: the gateway's address and key, and limits of time and size for its answers."""

import asyncio
import inspect
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, TypeVar

import httpx
import typer
from pydantic import Base64Bytes, BaseModel, TypeAdapter, ValidationError
from typing_extensions import override

from gateway.cli.main import exit_on_bad_settings, shell_settings
from gateway.cli.terminal import complain
from gateway.hosts import is_loopback, proxy_for, require_certificates, transport_to
from gateway.settings import SettingsError
from gateway.untrusted_text import shown

T = TypeVar("T")

Url = Annotated[
    str,
    typer.Option(
        help="The gateway; this machine's at PORT otherwise. Its key comes from MASKWRIGHT_TOKEN.",
        envvar="MASKWRIGHT_URL",
    ),
]
PlainHttp = Annotated[
    bool,
    typer.Option("--plain-http", help="Let the key go to another machine unencrypted.", envvar="MASKWRIGHT_PLAIN_HTTP"),
]

UNEXPECTED = "unexpected_answer"
MOST_BYTES = 512 * 2**20
"""The largest answer. The artifacts of a photo are a few megabytes."""
MOST_ITEMS = 500_000
"""The most items of an answer's JSON: an item of two letters takes up to a hundred times as much memory."""
HEAD_S, BODY_S = 900.0, 1800.0
"""Seconds from the first byte sent until an answer begins, and from there until it ends."""
ENDLESS = "endless"
"""Extension of a request for a stream of events: its answer may last, and its reader has its own limits."""
MOST_LINE = 2**20
_MOST_FAULTS = 5
_PAGE = 200
_OBJECT = TypeAdapter(dict[str, object])
_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
_VARIABLE = "MASKWRIGHT_TOKEN"
_ENCRYPTED = "use https, or, where nobody else can listen, say --plain-http"
_BUSY = frozenset({429, 503})
_TRIES = 5
"""How often a photo is sent to a pipeline that stays busy."""
_LONGEST_PAUSE_S = 60.0
"""A server that asks for a longer pause is asked again after this one."""


class GatewayAwayError(ConnectionError):
    """Nothing answers at the gateway's address."""


class UnexpectedAnswerError(Exception):
    """The server answered with something that our gateway never sends; the message says what."""


class RefusedError(Exception):
    """The gateway answered with a problem."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Artifact(BaseModel):
    """A file in an answer."""

    base64: Base64Bytes


class _Refusal(BaseModel):
    code: str
    detail: str


_REFUSAL = TypeAdapter(_Refusal)


@dataclass(frozen=True)
class Gateway:
    """The given address, and whether a key may be sent there unencrypted."""

    url: str
    plain_http: bool


def asks_gateway(command: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Give a command the options --url and --plain-http. Its first argument becomes a client of that gateway.

    The command raises typer.Exit after a message if the gateway does not answer or refuses.
    """

    @wraps(command, assigned=("__module__", "__name__", "__doc__"))  # its own annotations say what url is
    def run(url: Url = "", plain_http: PlainHttp = False, **options: object) -> None:
        with_client(Gateway(url, plain_http), lambda client: command(client, **options))

    _, *own = inspect.signature(command).parameters.values()
    gateway = list(inspect.signature(run, follow_wrapped=False).parameters.values())[:2]
    run.__dict__["__signature__"] = inspect.Signature([*own, *gateway])
    return run


def with_client(gateway: Gateway, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """The result of the work. Raises typer.Exit after a message if the gateway does not answer or refuses."""
    address = base_url(gateway)
    try:
        return asyncio.run(_with_client(address, work))
    except GatewayAwayError as error:
        complain_of_no_gateway(address)
        raise typer.Exit(1) from error
    except RefusedError as error:
        complain(error)
        raise typer.Exit(1) from error
    except httpx.HTTPError as error:
        complain(f"connection_failed: {error or type(error).__name__}")
        raise typer.Exit(1) from error


def complain_of_no_gateway(address: str) -> None:
    """Say that no gateway answers there."""
    start = "start it with `maskwright up`"
    elsewhere = "for one in another folder set MASKWRIGHT_HOME, or name it by --url"
    complain(f"No gateway answers at {address}; {start}; {elsewhere}.")


async def _with_client(url: str, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    async with open_client(url) as client:
        await expect_gateway(client)
        return await work(client)


def base_url(gateway: Gateway) -> str:
    """The given URL, or that of the stack that runs here.

    Raises typer.Exit after a message if the settings, the URL, the token or the proxy are wrong.
    """
    given = gateway.url.strip()
    with exit_on_bad_settings():
        address = (given if "://" in given else f"http://{given}") if given else shell_settings().local_url
        _check(address, gateway)
    return address


def open_client(url: str) -> httpx.AsyncClient:
    """A client of the gateway at an address from `base_url`.

    It follows no redirect, which could send the key elsewhere, and reads no .netrc.
    """
    headers = {"Accept-Encoding": "identity", **_credentials()}
    transport = BoundedTransport(transport_to(httpx.URL(url)))
    return httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, transport=transport, headers=headers, trust_env=False)


def _credentials() -> Mapping[str, str]:
    """The header with the token or API key of MASKWRIGHT_TOKEN, if there is one. Raises SettingsError."""
    token = os.environ.get(_VARIABLE, "").strip()
    if not (token.isascii() and (token.isprintable() or not token)):
        raise SettingsError(f"{_VARIABLE}=…: a token has nothing but letters, digits and signs of ASCII")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _check(address: str, gateway: Gateway) -> None:
    """Raises SettingsError if it is no URL, or the key would be sent unencrypted; and ProxyError."""
    try:
        url = httpx.URL(address)
        httpx.Request("GET", url)  # some wrong host names fail only here
    except (httpx.InvalidURL, ValueError) as error:
        raise SettingsError(f"{shown(address)}: not a URL such as http://127.0.0.1:8000: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise SettingsError(f"{shown(address)}: not a URL such as http://127.0.0.1:8000")
    has_key = bool(_credentials() or url.userinfo)
    if has_key and url.scheme == "http" and not is_loopback(url.host) and not gateway.plain_http:
        raise SettingsError(f"{shown(address)}: {_VARIABLE} would go there unencrypted; {_ENCRYPTED}")
    proxy_for(url)
    require_certificates()


async def expect_gateway(client: httpx.AsyncClient) -> None:
    """Raise GatewayAwayError if no gateway answers."""
    try:
        await client.get("/health/live")
    except httpx.HTTPError as error:
        raise GatewayAwayError(str(client.base_url)) from error


def accepted(answer: httpx.Response) -> httpx.Response:
    """The answer. Raises RefusedError for any other status than success."""
    if answer.is_success:
        return answer
    try:
        refusal = parsed(answer.content, _REFUSAL)
    except UnexpectedAnswerError:
        raise RefusedError(UNEXPECTED, f"{answer.url} answered {answer.status_code}") from None
    raise RefusedError(refusal.code, refusal.detail)


def content_of(answer: httpx.Response, kind: TypeAdapter[T]) -> T:
    """The JSON of a successful answer. Raises RefusedError, with `unexpected_answer` if it is something else."""
    try:
        return parsed(accepted(answer).content, kind)
    except UnexpectedAnswerError as error:
        raise RefusedError(UNEXPECTED, f"{answer.url} answered with something else: {error}") from error


async def collect_pages(
    client: httpx.AsyncClient, path: str, member: str, filters: Mapping[str, str], limit: int
) -> list[Mapping[str, object]]:
    """The first `limit` entries from a member of the answers, page after page. Raises RefusedError."""
    found: list[Mapping[str, object]] = []
    cursor: dict[str, str] = {}
    while len(found) < limit:
        size = {"limit": str(min(_PAGE, limit - len(found)))}
        page = content_of(await client.get(path, params={**filters, **size, **cursor}), _OBJECT)
        entries, follows = page.get(member), page.get("next")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise RefusedError(UNEXPECTED, f"{path} answered with no list of {member}")
        found.extend(entries[: limit - len(found)])
        if follows is None or not entries:
            break
        cursor = {"cursor": str(follows)}
    return found


async def send_until_not_busy(send: Callable[[], Awaitable[httpx.Response]], tries: int) -> httpx.Response:
    """The answer. A busy gateway is asked again after the time that it names."""
    for _ in range(tries - 1):
        answer = await send()
        if answer.status_code not in _BUSY:
            return answer
        await asyncio.sleep(_pause_s(answer))
    return await send()


async def run_pipeline(
    client: httpx.AsyncClient, pipeline: str, photo: bytes, fields: Mapping[str, str]
) -> httpx.Response:
    """Send a photo to a pipeline. The answer has the artifacts in JSON."""

    def send() -> Awaitable[httpx.Response]:
        files, headers = {"image": ("photo", photo)}, {"Accept": "application/json"}
        return client.post(f"/v1/run/{pipeline}", files=files, data=fields, headers=headers)

    return await send_until_not_busy(send, _TRIES)


def _pause_s(answer: httpx.Response) -> float:
    """Seconds that Retry-After names; a proxy before the gateway may write a date there instead (RFC 9110 §10.2.3)."""
    named = answer.headers.get("retry-after", "")
    return min(float(named) if named.isascii() and named.isdecimal() else 1.0, _LONGEST_PAUSE_S)


class BoundedTransport(httpx.AsyncBaseTransport):
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
    """The JSON, validated. Raises UnexpectedAnswerError."""
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_ITEMS:
        raise UnexpectedAnswerError(f"JSON of more than {MOST_ITEMS} items")
    try:
        return kind.validate_json(content)
    except ValidationError as error:
        raise UnexpectedAnswerError(_faults(error)) from error


async def lines(answer: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream of events. Raises UnexpectedAnswerError for a line that is too long."""
    rest = b""
    async for chunk in answer.aiter_bytes():
        *whole, rest = re.split(rb"\r\n|\n|\r(?!$)", rest + chunk)
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) > MOST_LINE:
            raise UnexpectedAnswerError(f"a line of more than {MOST_LINE >> 20} MiB")


def _faults(error: ValidationError) -> str:
    """What is wrong. Many faults are only counted, because listing them would take as much memory again."""
    if error.error_count() > _MOST_FAULTS:
        return f"JSON of another kind, with {error.error_count()} faults"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
