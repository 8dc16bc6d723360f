"""How much a caller, and a tenant, may send: a token bucket each for requests and for bytes of bodies."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest

from starlette.requests import Request
from starlette.types import Message

from gateway.errors import Problem
from gateway.settings import Settings

_MINUTE_S = 60.0
_MOST_KNOWN = 10_000
"""Callers, and tenants, that are remembered; of more than these, the half that has used least starts anew."""


@dataclass
class TokenBucket:
    """So much a minute, and at once. One request may take more than is left: the next then waits until that is repaid.

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


@dataclass(frozen=True)
class _Limits:
    """The limits of one caller or tenant."""

    requests: TokenBucket
    bytes: TokenBucket

    def wait_s(self, now: float) -> float:
        return max(self.requests.wait_s(now), self.bytes.wait_s(now))

    @property
    def used(self) -> float:
        """The larger of both, as a share of what a minute gives."""
        limited = [one for one in (self.requests, self.bytes) if one.per_minute]
        return max((one.used / one.per_minute for one in limited), default=0.0)


class _LimitsByName:
    """The limits of all callers, or of all tenants; `whose` is told to those who sent too much."""

    def __init__(self, whose: str, requests: int, bytes_: int) -> None:
        self._per_minute = requests, bytes_
        self._whose = whose
        self._known: dict[str, _Limits] = {}

    def find(self, name: str, now: float) -> _Limits:
        """Those of this name, made if need be. Raises Problem `rate_limited` where nothing is left."""
        if name not in self._known and len(self._known) >= _MOST_KNOWN:
            self._forget(now)
        requests, bytes_ = (TokenBucket(limit, now) for limit in self._per_minute)
        limits = self._known.setdefault(name, _Limits(requests, bytes_))
        if wait_s := limits.wait_s(now):
            raise Problem("rate_limited", self._detail(), retry_after=wait_s)
        return limits

    def _forget(self, now: float) -> None:
        """Keep the half that has used most, so that a crowd of new names wipes out nobody's use."""
        for limits in self._known.values():
            limits.wait_s(now)
        self._known = dict(nlargest(_MOST_KNOWN // 2, self._known.items(), key=lambda one: one[1].used))

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
        """The request, whose body counts against its caller's limits, and its tenant's if it has one, as it comes.

        Raises Problem `rate_limited`, with the time to wait, where either has nothing left.
        """
        if self._unlimited:
            return request
        now = self._clock()
        charged = [self._callers.find(caller, now), *([self._tenants.find(tenant, now)] if tenant else [])]
        for limits in charged:
            limits.requests.take(1)
        return _metered(request, [limits.bytes for limits in charged])


def _metered(request: Request, buckets: Sequence[TokenBucket]) -> Request:
    async def receive() -> Message:
        message = await request.receive()
        for bucket in buckets:
            bucket.take(len(message.get("body", b"")))
        return message

    return Request(request.scope, receive)
