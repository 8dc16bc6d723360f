"""The addresses that are handed out: those at which others reach the gateway.

What an untrusted client says of hosts ends in none of them; what a trusted proxy says, only in answers to that request.
"""

from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.authority import WebOrigin
from gateway.forwarded import Forwarded, forwarded
from gateway.settings import Settings

_KEY = "public"
_NOTHING = Forwarded()


@dataclass(frozen=True)
class _Public:
    """scheme://host[:port][/prefix], empty where nobody said it; the prefix alone; and where this machine has it."""

    base: str
    prefix: str
    local: str


def own_base(settings: Settings) -> str:
    """What links begin with where there is no request, as in callbacks and messages: PUBLIC_URL, else this machine."""
    return settings.public_base or settings.local_url + settings.public_prefix


def base_of(request: Request) -> str:
    """What the links of an answer begin with."""
    public = _public(request)
    return public.base or public.local + public.prefix


def location(request: Request, path: str) -> str:
    """A path of ours for the header Location: a whole URL where the public one is known."""
    public = _public(request)
    return (public.base or public.prefix) + path


def server_of(request: Request) -> str:
    """What stands before the paths in the API's description; empty where nothing is known to."""
    public = _public(request)
    return public.base or public.prefix


def asked_path(scope: Scope) -> str:
    """The path that was asked for, as the client wrote it before any proxy, decoded."""
    public = scope.get(_KEY)
    return (public.prefix if isinstance(public, _Public) else "") + str(scope["path"])


def origin_of(scope: Scope) -> WebOrigin | None:
    """The origin of our own pages, as their browsers know it; None where nobody said it."""
    public = scope.get(_KEY)
    base = public.base.removesuffix(public.prefix) if isinstance(public, _Public) else ""
    return WebOrigin.parse(base) if base else None


def _public(request: Request) -> _Public:
    public = request.scope.get(_KEY)
    if not isinstance(public, _Public):
        raise TypeError("nobody asked how this request came")
    return public


class PublicAddresses:
    """Pure ASGI, outermost: finds out how the client reached us, and takes the prefix off the path, if it is there.

    Inside, paths, schemes and clients' addresses are as if there were no proxy.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            self._read(scope)
        await self._app(scope, receive, send)

    def _read(self, scope: Scope) -> None:
        settings, (peer, _) = self._settings, scope.get("client") or ("", 0)
        told = forwarded(Headers(scope=scope), peer, settings.trusted_proxies) or _NOTHING
        prefix = settings.public_prefix or ("" if settings.public_url else told.prefix)
        base = settings.public_base or (told.origin and told.origin + prefix)
        scope[_KEY] = _Public(base, prefix, settings.local_url)
        if told.scheme:
            scope["scheme"] = told.scheme
        if told.client and told.client != peer:
            scope["client"] = (told.client, 0)
        _strip(scope, prefix)


def _strip(scope: Scope, prefix: str) -> None:
    """A proxy may have done it; none of our own paths begins like a usual prefix."""
    path = scope["path"]
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        scope["path"] = path[len(prefix) :] or "/"
        scope["raw_path"] = quote(scope["path"]).encode()
