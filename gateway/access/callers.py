"""Callers: who sends a request, what they may do (scopes), how much (rate limits), and for whom their requests count.

The scopes:

- `run:PIPELINE`: run it, at once or as a job; `run:*` for every pipeline
- `jobs:read`: look at the tenant's jobs and their artifacts
- `jobs:write`: cancel and delete them, send their callbacks again; `jobs:*` for both
- `operate`: the dead letters and the cache, which all tenants share; the metrics, where they are closed
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from ipaddress import IPv6Address

from starlette.requests import Request
from starlette.types import Message

from gateway.errors import Problem
from gateway.hosts import ip_of
from gateway.limits.fairness import Owner
from gateway.settings import Settings

READ, WRITE, OPERATE = "jobs:read", "jobs:write", "operate"
RUN_ANY = "run"
"""The scope to run at least one pipeline, for addresses where only the body names the pipeline."""
EVERYTHING = frozenset({"run:*", "jobs:*", OPERATE})

_IN_SCOPE = "caller"
_BY_KEY = "key:"
_SITE_BITS = 64
"""Of an IPv6 address: the network that one customer gets at least (RFC 6177)."""


def run_scope(pipeline: str) -> str:
    """The scope that a pipeline needs."""
    return f"run:{pipeline}"


def allowed(granted: Collection[str], needed: str) -> bool:
    """Whether the granted scopes include the needed one, or the `*` of its kind."""
    if needed == RUN_ANY:
        return any(scope.startswith("run:") for scope in granted)
    kind, colon, _ = needed.partition(":")
    return needed in granted or (bool(colon) and f"{kind}:*" in granted)


@dataclass(frozen=True)
class Caller:
    """A caller. No other has its `name`, such as `key:5f0c1d9be1f9` or `token:alice`.

    Jobs, artifacts and cached results are seen by their tenant alone; `tenant` is empty where none is named.
    """

    name: str
    tenant: str
    scopes: Collection[str]

    @classmethod
    def by_key(cls, key_id: str, tenant: str, scopes: Collection[str]) -> "Caller":
        """The caller that sends an API key."""
        return cls(f"{_BY_KEY}{key_id}", tenant, scopes)

    @property
    def has_key(self) -> bool:
        """Whether it sent an API key."""
        return self.name.startswith(_BY_KEY)

    def check(self, scope: str) -> None:
        """Raise Problem `scope_missing` where the caller does not have the scope."""
        if not allowed(self.scopes, scope):
            needed = "run:PIPELINE" if scope == RUN_ANY else scope
            headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
            raise Problem("scope_missing", f"This needs the scope {needed}.", headers=headers)


LOCAL = Caller("local", "", EVERYTHING)
"""The caller of every request where no token or key is needed."""


def refused_credentials(code: str, detail: str) -> Problem:
    """The problem of a token, a key or a ticket that cannot be accepted."""
    return Problem(code, detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def note_caller(request: Request, caller: Caller) -> None:
    """Keep the caller with its request."""
    request.scope[_IN_SCOPE] = caller


def caller_of(request: Request) -> Caller:
    """The caller that was kept with the request."""
    caller = request.scope.get(_IN_SCOPE)
    if not isinstance(caller, Caller):
        raise TypeError("nobody asked who sends this request")
    return caller


def owner_by_address(scope: Mapping[str, object]) -> Owner:
    """The owner of a request by the client's address, which gateway.access.forwarded has found out behind proxies."""
    peer = scope.get("client")
    name = site_of(str(peer[0]) if isinstance(peer, (tuple, list)) else "")
    return Owner(name, name)


def owner_of(caller: Caller, by_address: Owner) -> Owner:
    """The owner of a caller's request: the tenant, among whose callers its share is divided."""
    if caller is LOCAL:
        return by_address
    return Owner(f"tenant:{caller.tenant}" if caller.tenant else caller.name, caller.name)


def rate_limited_names(caller: Caller, by_address: Owner) -> tuple[str, str]:
    """The names whose rate limits a request counts for: the caller, and the tenant, empty where there is none.

    A tenant's limit is for its tokens alone: their issuer can make any number of `sub`. The operator makes the keys.
    """
    if caller is LOCAL:
        return by_address.name, ""
    return f"{caller.tenant}/{caller.name}", "" if caller.has_key else caller.tenant


def site_of(address: str) -> str:
    """The name by which a client is counted: its address; of an IPv6 address, its /64."""
    parsed = ip_of(address)
    if parsed is None:
        return address[:_SITE_BITS]
    return f"{IPv6Address(int(parsed) >> _SITE_BITS << _SITE_BITS)}/64" if parsed.version == 6 else str(parsed)  # noqa: PLR2004


_MINUTE_S = 60.0
_MOST_KNOWN = 10_000
"""Callers, and tenants, that are remembered. If more come, the half that used least is forgotten."""


@dataclass
class TokenBucket:
    """An amount that may be used in a minute, or all at once. One request may use more; the next then waits longer.

    `at` is a reading of time.monotonic, in seconds. Without a limit (0) there is always enough.
    """

    per_minute: int
    at: float
    used: float = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until some is left; 0 where some is."""
        self.used = max(0.0, self.used - (now - self.at) * self.per_minute / _MINUTE_S)
        self.at = now
        lacking = self.used - self.per_minute
        return (lacking + 1) * _MINUTE_S / self.per_minute if self.per_minute and lacking > -1 else 0.0

    def take(self, amount: int) -> None:
        """Take an amount."""
        self.used += amount if self.per_minute else 0

    @property
    def used_share(self) -> float:
        """What is used, as a share of what a minute gives."""
        return self.used / self.per_minute if self.per_minute else 0.0


_Buckets = Sequence[TokenBucket]
"""Of requests, and of bytes."""


class _LimitsByName:
    """The limits of all callers, or of all tenants; `whose` is told to those who sent too much."""

    def __init__(self, whose: str, requests: int, bytes_: int) -> None:
        self._per_minute = requests, bytes_
        self._whose = whose
        self._known: dict[str, _Buckets] = {}

    def find(self, name: str, now: float) -> _Buckets:
        """Those of this name, new ones if need be. Raises Problem `rate_limited` where nothing is left."""
        if name not in self._known and len(self._known) >= _MOST_KNOWN:
            self._forget(now)
        buckets = self._known.setdefault(name, [TokenBucket(limit, now) for limit in self._per_minute])
        if wait_s := max(bucket.wait_s(now) for bucket in buckets):
            raise Problem("rate_limited", self._detail(), retry_after=wait_s)
        return buckets

    def _forget(self, now: float) -> None:
        """Remember the half that used most: a crowd of new names must not make others start anew."""
        used: dict[str, float] = {}
        for name, buckets in self._known.items():
            for bucket in buckets:
                bucket.wait_s(now)
            used[name] = max(bucket.used_share for bucket in buckets)
        self._known = {name: self._known[name] for name in nlargest(_MOST_KNOWN // 2, used, key=used.__getitem__)}

    def _detail(self) -> str:
        limits = zip(self._per_minute, ("requests", "bytes"), strict=True)
        most = " and ".join(f"{limit} {what}" for limit, what in limits if limit)
        return f"At most {most} a minute are accepted from {self._whose}."


class RateLimits:
    """The rate limits of this process for all callers and tenants; each starts unused."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        callers = settings.caller_requests_per_minute, settings.caller_bytes_per_minute
        tenants = settings.tenant_requests_per_minute, settings.tenant_bytes_per_minute
        self._unlimited = not any((*callers, *tenants))
        self._callers = _LimitsByName("one caller", *callers)
        self._tenants = _LimitsByName("the tokens of one tenant", *tenants)
        self._clock = clock

    def charge(self, caller: str, tenant: str, request: Request) -> Request:
        """Count a request; its body is counted while the request that is returned is read.

        Raises Problem `rate_limited`, with the time to wait, where either has nothing left.
        """
        if self._unlimited:
            return request
        now = self._clock()
        charged = [self._callers.find(caller, now), *([self._tenants.find(tenant, now)] if tenant else [])]
        for requests, _ in charged:
            requests.take(1)
        return _metered(request, [bytes_ for _, bytes_ in charged])


def _metered(request: Request, buckets: Sequence[TokenBucket]) -> Request:
    async def receive() -> Message:
        message = await request.receive()
        for bucket in buckets:
            bucket.take(len(message.get("body", b"")))
        return message

    return Request(request.scope, receive)
