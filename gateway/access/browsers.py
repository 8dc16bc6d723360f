"""Guards against other people's web pages: which hosts requests may name, which pages may send them (CORS).

And headers that let a browser show an answer, but do nothing else with it.
"""

import socket
from collections.abc import Sequence
from functools import lru_cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from gateway.access.forwarded import origin_of, problem_answer
from gateway.errors import Problem
from gateway.hosts import Authority, WebOrigin, covers, matches_origin
from gateway.settings import Settings

_PRIVATE = (".localhost", ".internal")
"""Endings of names that nobody can register: RFC 6761 §6.3, and the one that ICANN reserves for private use."""
_CLUSTER = (".svc", ".cluster.local", ".local")
"""Kubernetes' names of services, and those of a local network."""

_REMEMBERED = 256
"""Hosts whose check is remembered. Nearly all requests name the same few hosts."""

_METHODS = "GET, HEAD, POST, DELETE"
_SENDABLE_HEADERS = (
    "Accept, Authorization, baggage, Cache-Control, Content-Encoding, Content-Type, Idempotency-Key, If-None-Match, "
    "Last-Event-ID, traceparent, tracestate, X-API-Key, X-Request-Id, X-Requested-With"
)
_READABLE_HEADERS = (
    "Accept-Encoding, Allow, Cache-Status, Content-Disposition, Content-Length, ETag, Idempotent-Replayed, Location, "
    "Retry-After, Server-Timing, WWW-Authenticate, X-Request-Id"
)
_PREFLIGHT_KEPT_S = 600
_VARY = "Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network"

_SHOW_ONLY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""For answers that callers can influence: a browser shows them like a picture, but runs and loads nothing."""


class Hosts:
    """The hosts that a request may name.

    A web page can make its own name lead to our address (DNS rebinding). The browser then takes us for the page's own
    server, but the request still names the page's host. That host is never an address, nor a name that nobody can
    register. So addresses and such names are accepted.
    """

    def __init__(self, settings: Settings) -> None:
        own = socket.gethostname().lower()
        self._local = settings.access == "off"
        self._any = not (self._local or settings.allowed_hosts)
        self._judged = lru_cache(_REMEMBERED)(self._judge)
        self._named = (*settings.allowed_hosts, own, f"{own}.local", *_public_hosts(settings))

    def check(self, scope: Scope) -> Authority | None:
        """The host that a request names; None where it names none, which HTTP/1.0 allows and no browser does.

        Raises Problem `host_invalid`, `host_not_allowed`.
        """
        given = Headers(scope=scope).getlist("host")
        if not given or given == [""]:
            if scope.get("http_version") == "1.1" and not given:
                raise Problem("host_invalid", "HTTP/1.1 needs the header Host.")
            return None
        if len(given) > 1:
            raise Problem("host_invalid", f"The header Host came {len(given)} times.")
        return self._judged(given[0].strip(), _arrived_at(scope))

    def _judge(self, text: str, arrived_at: str | None) -> Authority:
        try:
            authority = Authority.parse(text)
        except ValueError as error:
            raise Problem("host_invalid", f"Host: {error}.") from error
        if not (self._any or self._allows(authority, arrived_at)):
            detail = f"Requests to {authority.host!r} are not answered here; ALLOWED_HOSTS can name it."
            raise Problem("host_not_allowed", detail)
        return authority

    def _allows(self, authority: Authority, arrived_at: str | None) -> bool:
        host = authority.host
        if any(covers(pattern, host) for pattern in self._named):
            return True
        if (address := authority.address) is not None:
            ours = address.is_loopback or address.is_unspecified or host == arrived_at
            return ours or not self._local
        return "." not in host or host.endswith(_PRIVATE if self._local else (*_PRIVATE, *_CLUSTER))


class Origins:
    """The web pages that may use the gateway: its own, and those of ALLOWED_ORIGINS."""

    def __init__(self, settings: Settings) -> None:
        self._patterns: Sequence[str] = settings.allowed_origins
        self.others = bool(self._patterns)
        self.varies = self.others and "*" not in self._patterns
        self.open_to_all = settings.access != "required"

    def allows(self, text: str) -> str | None:
        """What the answer must say so that pages of this origin may read it; None where they may not."""
        if "*" in self._patterns:
            return "*"
        try:
            origin = WebOrigin.parse(text)
        except ValueError:
            return None
        return text if any(matches_origin(pattern, origin) for pattern in self._patterns) else None

    def check(self, scope: Scope, host: Authority | None) -> None:
        """Raise Problem `origin_not_allowed` where somebody else's web page sends a request.

        Only if callers need no token or key: otherwise a page without one can do nothing. Programs other than browsers
        name no origin. Browsers set `Sec-Fetch-Site`, and pages cannot change it. Following a link is harmless.
        """
        if not self.open_to_all:
            return
        headers = Headers(scope=scope)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in {"same-origin", "none"} or (origin is not None and self._is_good(origin, scope, host)):
            return
        if origin is None and (site is None or _is_followed(scope, headers) or self._embeds(scope, host)):
            return
        raise _not_allowed(origin or f"another site ({site})")

    def _is_good(self, origin: str, scope: Scope, host: Authority | None) -> bool:
        return self.allows(origin) is not None or _is_own(origin, scope, host)

    def _embeds(self, scope: Scope, host: Authority | None) -> bool:
        """Whether a page that may use us shows one of our pictures: browsers then send a Referer but no Origin."""
        page = Headers(scope=scope).get("referer", "").split("/")
        return len(page) > 2 and self._is_good("/".join(page[:3]), scope, host)  # noqa: PLR2004 scheme, nothing, host


def _public_hosts(settings: Settings) -> Sequence[str]:
    """The host of PUBLIC_URL, where it is set."""
    return [WebOrigin.parse("/".join(settings.public_url.split("/")[:3])).host] if settings.public_url else []


def _is_own(text: str, scope: Scope, host: Authority | None) -> bool:
    """Whether a page is at our public address, or at the host that the request names."""
    try:
        origin = WebOrigin.parse(text)
    except ValueError:
        return False
    return origin == origin_of(scope) or (host is not None and origin.is_at(host))


def _arrived_at(scope: Scope) -> str | None:
    """The address of ours that the request was sent to."""
    server = scope.get("server")
    return str(server[0]) if server else None


def _is_followed(scope: Scope, headers: Headers) -> bool:
    """Whether somebody opened our address as a page of its own, not as a frame in another page."""
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    return opened and scope.get("method") in {"GET", "HEAD"}


class SafeHeaders:
    """ASGI middleware: tells browsers to show an answer and do nothing else with it, unless the answer says otherwise.

    Pages of other origins may embed pictures where ALLOWED_ORIGINS names any; `HostAndOriginGuard` says which. Answers
    without an ETag are not kept in caches, because a cache could not ask whether they are still the same.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._mark(MutableHeaders(scope=message), scope)
            await send(message)

        await self._app(scope, receive, send_marked if scope["type"] == "http" else send)

    def _mark(self, headers: MutableHeaders, scope: Scope) -> None:  # noqa: ARG002 for CorsHeaders
        """Change the headers of the answer to a request."""
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Content-Security-Policy", _SHOW_ONLY)
        headers.setdefault("Referrer-Policy", "no-referrer")
        policy = "cross-origin" if self._origins.others else "same-origin"
        headers.setdefault("Cross-Origin-Resource-Policy", policy)
        if "etag" not in headers:
            headers.setdefault("Cache-Control", "no-store")


class CorsHeaders(SafeHeaders):
    """The same, and lets pages of ALLOWED_ORIGINS read every answer, errors too (WHATWG Fetch §3.2).

    Credentials come in headers that the page itself sets, never from the browser's own store.
    """

    @override
    def _mark(self, headers: MutableHeaders, scope: Scope) -> None:
        super()._mark(headers, scope)
        if self._origins.varies:
            headers.add_vary_header("Origin")
        origin = Headers(scope=scope).get("origin")
        allowed = self._origins.allows(origin) if origin is not None else None
        if allowed is not None:
            headers["Access-Control-Allow-Origin"] = allowed
            headers["Access-Control-Expose-Headers"] = _READABLE_HEADERS


class HostAndOriginGuard:
    """ASGI middleware: refuses requests to other hosts and from other people's pages; answers preflights."""

    def __init__(self, app: ASGIApp, hosts: Hosts, origins: Origins) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            answer = self._answer(scope) if scope["type"] == "http" else None
        except Problem as problem:
            answer = problem_answer(scope, problem)
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        """The answer to a preflight; None for all other requests that may go on. Raises Problem."""
        host, headers = self._hosts.check(scope), Headers(scope=scope)
        origin = headers.get("origin")
        if scope.get("method") != "OPTIONS" or origin is None or "access-control-request-method" not in headers:
            self._origins.check(scope, host)
            return None
        if self._origins.allows(origin) is None:
            raise _not_allowed(origin)
        return Response(status_code=204, headers=_permission(headers))


def _not_allowed(source: str) -> Problem:
    return Problem("origin_not_allowed", f"Pages of {source[:100]} may not use this; ALLOWED_ORIGINS can name them.")


def _permission(headers: Headers) -> dict[str, str]:
    permission = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _SENDABLE_HEADERS,
        "Access-Control-Max-Age": str(_PREFLIGHT_KEPT_S),
        "Vary": _VARY,
    }
    if headers.get("access-control-request-private-network") == "true":
        permission["Access-Control-Allow-Private-Network"] = "true"
    return permission
