"""How much a caller, and a tenant, may take: a token bucket each for requests and for bytes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nlargest

from starlette.requests import Request
from starlette.types import Message

from gateway.errors import Problem
from gateway.settings import Settings

_MINUTE_S = 60.0
_MANY = 10_000
"""So many callers, and tenants, are remembered: past that, the half that took least has all of it again."""


@dataclass
class Allowance:
    """So much a minute, and at once. What is taken may be more than is left: the next then waits for the rest.

    `at` is a reading of time.monotonic, in seconds. Without a limit (0) there is always enough.
    """

    per_minute: int
    at: float
    debt: float = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until there is some left; 0 where there is."""
        self.debt = max(0.0, self.debt - (now - self.at) * self.per_minute / _MINUTE_S)
        self.at = now
        lacking = self.debt - self.per_minute
        return (lacking + 1) * _MINUTE_S / self.per_minute if self.per_minute and lacking > -1 else 0.0

    def take(self, amount: int) -> None:
        """Take some."""
        self.debt += amount if self.per_minute else 0


@dataclass(frozen=True)
class _Account:
    requests: Allowance
    bytes: Allowance

    def wait_s(self, now: float) -> float:
        return max(self.requests.wait_s(now), self.bytes.wait_s(now))

    @property
    def debt(self) -> float:
        """As a share of what a minute gives."""
        limited = [one for one in (self.requests, self.bytes) if one.per_minute]
        return max((one.debt / one.per_minute for one in limited), default=0.0)


class _Accounts:
    """Accounts by name, each with so much a minute; `whose` they are is for who took too much."""

    def __init__(self, whose: str, requests: int, bytes_: int) -> None:
        self._limits = requests, bytes_
        self._whose = whose
        self._known: dict[str, _Account] = {}

    def find(self, name: str, now: float) -> _Account:
        """The account of this name, made if need be. Raises Problem `rate_limited` where it took too much."""
        if name not in self._known and len(self._known) >= _MANY:
            self._forget(now)
        requests, bytes_ = (Allowance(limit, now) for limit in self._limits)
        account = self._known.setdefault(name, _Account(requests, bytes_))
        if wait_s := account.wait_s(now):
            raise Problem("rate_limited", self._detail(), retry_after=wait_s)
        return account

    def _forget(self, now: float) -> None:
        """Keep the half that owes most: to be forgotten does no harm, and whoever comes new pushes out no debt."""
        for account in self._known.values():
            account.wait_s(now)
        self._known = dict(nlargest(_MANY // 2, self._known.items(), key=lambda one: one[1].debt))

    def _detail(self) -> str:
        limits = zip(self._limits, ("requests", "bytes"), strict=True)
        most = " and ".join(f"{limit} {what}" for limit, what in limits if limit)
        return f"At most {most} a minute are accepted from {self._whose}."


class Allowances:
    """What is left to each caller and tenant of this process; they start with all of it."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        callers = settings.caller_requests_per_minute, settings.caller_bytes_per_minute
        tenants = settings.tenant_requests_per_minute, settings.tenant_bytes_per_minute
        self._unlimited = not any((*callers, *tenants))
        self._callers = _Accounts("one caller", *callers)
        self._tenants = _Accounts("the tokens of one tenant", *tenants)
        self._clock = clock

    def charge(self, caller: str, tenant: str, request: Request) -> Request:
        """The request, whose body is charged to its caller and its tenant, if it has one, as it comes.

        Raises Problem `rate_limited`, with the time to wait, where either took too much already.
        """
        if self._unlimited:
            return request
        now = self._clock()
        accounts = [self._callers.find(caller, now), *([self._tenants.find(tenant, now)] if tenant else [])]
        for account in accounts:
            account.requests.take(1)
        return _metered(request, [account.bytes for account in accounts])


def _metered(request: Request, allowances: Sequence[Allowance]) -> Request:
    async def receive() -> Message:
        message = await request.receive()
        for allowance in allowances:
            allowance.take(len(message.get("body", b"")))
        return message

    return Request(request.scope, receive)
