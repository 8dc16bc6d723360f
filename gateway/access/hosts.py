"""Which hosts requests may name, and from which web pages they may come."""

import socket
from collections.abc import Sequence
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

from gateway.authority import Authority, WebOrigin, covers, matches_origin
from gateway.errors import Problem
from gateway.public import origin_of
from gateway.settings import Settings

_PRIVATE = (".localhost", ".internal")
"""Endings of names that nobody can register: RFC 6761 §6.3, and what ICANN keeps for private use."""
_CLUSTER = (".svc", ".cluster.local", ".local")
"""Kubernetes' names of services, and those of a local network."""

_REMEMBERED = 256
"""Good hosts: nearly all requests name the same few."""


class Hosts:
    """The hosts that a request may name.

    A web page can let its own name lead to our address (DNS rebinding), and its browser then takes us for the page's
    own server; but the name is in the request. Addresses, and names that nobody can register, are no such page's.
    """

    def __init__(self, settings: Settings) -> None:
        own = socket.gethostname().lower()
        self._local = settings.access == "off"
        self._any = not (self._local or settings.allowed_hosts)
        self._judged = lru_cache(_REMEMBERED)(self._judge)
        self._named = (*settings.allowed_hosts, own, f"{own}.local", *_public_hosts(settings))

    def check(self, scope: Scope) -> Authority | None:
        """The host that a request names; None where it names none, as HTTP/1.0 allows: no browser does that.

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
        self.nobody_is_asked = settings.access != "required"

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
        """Raise Problem `origin_not_allowed` where another's web page sends a request.

        Only where nobody is asked who they are: a page that has no token or key can do nothing elsewhere. Programs that
        are no browsers name no origin. `Sec-Fetch-Site` is the browser's own word, and pages cannot change it; links
        that people follow are no danger.
        """
        if not self.nobody_is_asked:
            return
        headers = Headers(scope=scope)
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in {"same-origin", "none"} or (origin is not None and self._is_good(origin, scope, host)):
            return
        if origin is None and (site is None or _is_followed(scope, headers) or self._embeds(scope, host)):
            return
        source = origin or f"another site ({site})"
        raise Problem("origin_not_allowed", f"Pages of {source[:100]} may not use this; ALLOWED_ORIGINS can name them.")

    def _is_good(self, origin: str, scope: Scope, host: Authority | None) -> bool:
        return self.allows(origin) is not None or _is_own(origin, scope, host)

    def _embeds(self, scope: Scope, host: Authority | None) -> bool:
        """Whether a page that may use us shows one of our pictures: of that a browser tells the page, no origin."""
        page = Headers(scope=scope).get("referer", "").split("/")
        return len(page) > 2 and self._is_good("/".join(page[:3]), scope, host)  # noqa: PLR2004 scheme, nothing, host


def _public_hosts(settings: Settings) -> Sequence[str]:
    """That of PUBLIC_URL, where it is set."""
    return [WebOrigin.parse("/".join(settings.public_url.split("/")[:3])).host] if settings.public_url else []


def _is_own(text: str, scope: Scope, host: Authority | None) -> bool:
    """Whether a page is at the address that others reach us at, or at the host that the request names."""
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
    """Whether somebody opened an address of ours as a page of its own, not as a frame in another's."""
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    return opened and scope.get("method") in {"GET", "HEAD"}
