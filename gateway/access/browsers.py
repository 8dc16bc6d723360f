"""What browsers are told, and what is not taken from them.

What they may do with an answer, CORS (WHATWG Fetch §3.2), and the check of host and page.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.hosts import Hosts, Origins
from gateway.problems import Problem, note_problem, problem_response
from gateway.public import asked_path

_METHODS = "GET, HEAD, POST, DELETE"
_TAKEN = (
    "Accept, Authorization, baggage, Cache-Control, Content-Encoding, Content-Type, Idempotency-Key, If-None-Match, "
    "Last-Event-ID, traceparent, tracestate, X-API-Key, X-Request-Id, X-Requested-With"
)
_SHOWN = (
    "Accept-Encoding, Allow, Cache-Status, Content-Disposition, Content-Length, ETag, Idempotent-Replayed, Location, "
    "Retry-After, Server-Timing, WWW-Authenticate, X-Request-Id"
)
_KEPT_S = 600
_VARY = "Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network"

_SHOWN_ALONE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Of what callers have a hand in, a browser runs nothing and loads nothing: it may be shown, as a picture is."""


class SafeHeaders:
    """Pure ASGI, about all that may answer: keeps browsers from more than showing an answer, unless it says otherwise.

    Pages of other origins may embed pictures where ALLOWED_ORIGINS names any; which of them, `FrontDoor` says. What
    has no ETag, by which it is asked for anew, is not kept on the way.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._headers = (
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", _SHOWN_ALONE.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-resource-policy", b"cross-origin" if origins.others else b"same-origin"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._completed(message["headers"])
            await send(message)

        await self._app(scope, receive, tell if scope["type"] == "http" else send)

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = {name for name, _ in headers}
        added = [header for header in self._headers if header[0] not in given]
        if b"etag" in given or b"cache-control" in given:
            return [*headers, *added]
        return [*headers, *added, (b"cache-control", b"no-store")]


class CrossOrigin:
    """Pure ASGI, about all that may answer: lets pages of ALLOWED_ORIGINS read every answer, errors too.

    Credentials come in headers that the page itself sets, never from the browser's own store.
    """

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        allowed = self._origins.allows(origin) if origin is not None else None

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._mark(MutableHeaders(raw=message["headers"]), allowed)
            await send(message)

        marked = allowed is not None or self._origins.varies
        await self._app(scope, receive, tell if marked else send)

    def _mark(self, headers: MutableHeaders, allowed: str | None) -> None:
        if self._origins.varies:
            headers.add_vary_header("Origin")
        if allowed is not None:
            headers["Access-Control-Allow-Origin"] = allowed
            headers["Access-Control-Expose-Headers"] = _SHOWN


class FrontDoor:
    """Pure ASGI, before every address: checks which host a request names and who sends it; answers preflights."""

    def __init__(self, app: ASGIApp, hosts: Hosts, origins: Origins) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            answer = self._preflight(scope)
        except Problem as problem:
            note_problem(scope, problem.code)
            answer = problem_response(problem, asked_path(scope))
        if answer is None:
            await self._app(scope, receive, send)
        else:
            await answer(scope, receive, send)

    def _preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser that asks beforehand; None to everybody else who may go on. Raises Problem."""
        host, headers = self._hosts.check(scope), Headers(scope=scope)
        origin = headers.get("origin")
        if scope.get("method") != "OPTIONS" or origin is None or "access-control-request-method" not in headers:
            self._origins.check(scope, host)
            return None
        if self._origins.allows(origin) is None:
            detail = f"Pages of {origin[:100]} may not use this; ALLOWED_ORIGINS can name them."
            raise Problem("origin_not_allowed", detail)
        return Response(status_code=204, headers=_permission(headers))


def _permission(headers: Headers) -> dict[str, str]:
    permission = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _TAKEN,
        "Access-Control-Max-Age": str(_KEPT_S),
        "Vary": _VARY,
    }
    if headers.get("access-control-request-private-network") == "true":
        permission["Access-Control-Allow-Private-Network"] = "true"
    return permission
