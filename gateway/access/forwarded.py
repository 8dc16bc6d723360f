"""How a client reached the gateway, also through proxies: X-Forwarded-*, and Forwarded (RFC 7239).

This decides the client's address and the links in answers. No link names a host that an untrusted client sent. What a
trusted proxy says counts for the answer to that request alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import PROBLEM_CODE, Problem, problem_response
from gateway.hosts import WebOrigin, ip_of
from gateway.settings import Settings
from gateway.settings.fields import is_prefix

Networks = Sequence[IPv4Network | IPv6Network]

_SCHEMES = frozenset({"http", "https"})
_WELL_KNOWN = frozenset({"80", "443"})
"""Ports that are never added to a host: proxies name their own port, not the one that the client used."""
_TOKEN = re.compile(r'([a-z]{1,10})=("(?:[^"\\]|\\.)*+"?|[^",;\s]*+)|(,)', re.IGNORECASE)
"""A pair, or the end of an element. Possessive: it takes one pass, whatever a client sends through the proxy."""
_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([^:]+)(?::\d+)?|([0-9A-Fa-f:.]+)")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?")
_MOST_HOPS = 32
_IN_SCOPE = "public"


@dataclass(frozen=True)
class _Public:
    """scheme://host[:port][/prefix], empty where unknown; the prefix alone; and the address on this machine."""

    base: str
    prefix: str
    local: str


def base_of(request: Request) -> str:
    """What the links of an answer begin with."""
    public = _public(request)
    return public.base or public.local + public.prefix


def location(request: Request, path: str) -> str:
    """A path of ours for the header Location: a whole URL where the public one is known."""
    return server_of(request) + path


def server_of(request: Request) -> str:
    """What stands before the paths in the OpenAPI document; empty where the public address is unknown."""
    public = _public(request)
    return public.base or public.prefix


def asked_path(scope: Scope) -> str:
    """The path that the client asked for, before any proxy changed it, decoded."""
    public = scope.get(_IN_SCOPE)
    return (public.prefix if isinstance(public, _Public) else "") + str(scope["path"])


def problem_answer(scope: Scope, problem: Problem) -> Response:
    """The answer for a problem, which is noted with the request; it names the path that the client asked for."""
    scope[PROBLEM_CODE] = problem.code
    return problem_response(problem, asked_path(scope))


def origin_of(scope: Scope) -> WebOrigin | None:
    """The origin of our own pages, as browsers see it; None where it is unknown."""
    public = scope.get(_IN_SCOPE)
    base = public.base.removesuffix(public.prefix) if isinstance(public, _Public) else ""
    return WebOrigin.parse(base) if base else None


def _public(request: Request) -> _Public:
    public = request.scope.get(_IN_SCOPE)
    if not isinstance(public, _Public):
        raise TypeError("PublicAddresses has not seen this request")
    return public


class PublicAddresses:
    """The outermost ASGI middleware: finds out how the client reached us, and removes the prefix from the path.

    Inside of it, paths, schemes and clients' addresses are as if there were no proxy.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._trusted = settings.trusted_proxies
        self._told_prefix_counts = not (settings.public_url or settings.public_prefix)
        self._set = _Public(settings.public_base, settings.public_prefix, settings.local_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            self._read(scope)
        await self._app(scope, receive, send)

    def _read(self, scope: Scope) -> None:
        peer, _ = scope.get("client") or ("", 0)
        told = forwarded(Headers(scope=scope), peer, self._trusted) or Forwarded()
        prefix = told.prefix if self._told_prefix_counts else self._set.prefix
        base = self._set.base or (told.origin and told.origin + prefix)
        scope[_IN_SCOPE] = _Public(base, prefix, self._set.local)
        if told.scheme:
            scope["scheme"] = told.scheme
        if told.client and told.client != peer:
            scope["client"] = (told.client, 0)
        _strip(scope, prefix)


def _strip(scope: Scope, prefix: str) -> None:
    """Remove the prefix, unless a proxy has done so: none of our own paths begins with a usual prefix."""
    path = scope["path"]
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        scope["path"] = path[len(prefix) :] or "/"
        scope["raw_path"] = quote(scope["path"]).encode()


@dataclass(frozen=True)
class Forwarded:
    """What a trusted proxy says: the client's address; the scheme, scheme://host[:port] and prefix that it used."""

    client: str = ""
    scheme: str = ""
    origin: str = ""
    prefix: str = ""


def forwarded(headers: Headers, peer: str, trusted: Networks) -> Forwarded | None:
    """What a trusted peer says; None for any other peer. Malformed values count as missing.

    Each trusted proxy is believed about the one before it, and the outermost about the client.
    """
    if not is_trusted(peer, trusted):
        return None
    hops = _x_hops(headers) or _hops(headers)
    return _believed(hops, headers, trusted)


def is_trusted(peer: str, trusted: Networks) -> bool:
    """Whether an address is of these networks."""
    address = ip_of(peer)
    return address is not None and any(address in network for network in trusted)


def _believed(hops: Sequence[Mapping[str, str]], headers: Headers, trusted: Networks) -> Forwarded:
    """The hop that the outermost trusted proxy reported; hops are in order, the client's first."""
    hop: Mapping[str, str] = {}
    for told in reversed(hops):
        hop = told
        if not is_trusted(_node(told.get("for", "")), trusted):
            break
    scheme = hop.get("proto", "").lower()
    host, port = _split_host(hop.get("host") or headers.get("host", ""))
    known = scheme if scheme in _SCHEMES else ""
    named = hop.get("port", "")
    given = port or (named if named.isdecimal() and named not in _WELL_KNOWN and len(named) <= len("65535") else "")
    prefix = hop.get("prefix", "").rstrip("/")
    client = ip_of(_node(hop.get("for", "")))
    return Forwarded(
        client=str(client) if client else "",
        scheme=known,
        origin=_origin(known or "http", host, given) if hop else "",
        prefix=prefix if is_prefix(prefix) else "",
    )


def _origin(scheme: str, host: str, port: str) -> str:
    """scheme://host[:port] in one spelling; empty where the host or the port is none."""
    try:
        return str(WebOrigin.parse(f"{scheme}://{host}" + (f":{port}" if port else "")))
    except ValueError:
        return ""


def _x_hops(headers: Headers) -> list[dict[str, str]]:
    """From X-Forwarded-*: proxies add values at the end. A shorter list's first value counts for all earlier hops."""
    lists = {name: _list(headers, f"x-forwarded-{name}") for name in ("for", "proto", "host", "port", "prefix")}
    longest = max(map(len, lists.values()))
    hops: list[dict[str, str]] = [{} for _ in range(longest)]
    for name, values in lists.items():
        for index, hop in enumerate(hops):
            place = index - (longest - len(values))
            if values:
                hop[name] = values[max(0, place)] if name != "for" or place >= 0 else ""
    return hops


def _list(headers: Headers, name: str) -> list[str]:
    parts = ",".join(headers.getlist(name)).split(",")[-_MOST_HOPS:]
    return [part.strip() for part in parts if part.strip()]


def _hops(headers: Headers) -> list[dict[str, str]]:
    """From the header Forwarded."""
    hops: list[dict[str, str]] = [{}]
    for name, value, end in _TOKEN.findall(",".join(headers.getlist("forwarded"))):
        if end:
            hops.append({})
        else:
            hops[-1][name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return [hop for hop in hops if hop][-_MOST_HOPS:]


def _node(text: str) -> str:
    """The address of a node, without its port; `unknown` and names stay as they are."""
    match = _NODE.fullmatch(text.strip())
    return (match[1] or match[2] or match[3]) if match else ""


def _split_host(text: str) -> tuple[str, str]:
    match = _HOST.fullmatch(text.strip())
    return (match[1], match[2] or "") if match else ("", "")
