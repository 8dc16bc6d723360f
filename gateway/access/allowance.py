"""How much a caller may take: a token bucket each for requests and for bytes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Message

from gateway.access.caller import Caller
from gateway.problems import Problem
from gateway.settings import Settings

_MINUTE_S = 60.0
_MANY = 10_000
"""Callers past which those are forgotten that took nothing lately; and again past twice as many as then stay."""


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


class Allowances:
    """What is left to each caller of this process; they start with all of it."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = settings.caller_requests_per_minute
        self._bytes = settings.caller_bytes_per_minute
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._many = _MANY

    def charge(self, caller: Caller, request: Request) -> Request:
        """The request, whose body is charged to its caller as it comes.

        Raises Problem `rate_limited`, with the time to wait, where the caller took too much already.
        """
        if not self._requests and not self._bytes:
            return request
        account, now = self._account(caller), self._clock()
        wait_s = max(account.requests.wait_s(now), account.bytes.wait_s(now))
        if wait_s:
            raise Problem("rate_limited", self._detail(), retry_after=wait_s)
        account.requests.take(1)
        return _metered(request, account.bytes)

    def _account(self, caller: Caller) -> _Account:
        now = self._clock()
        if caller.name not in self._accounts and len(self._accounts) >= self._many:
            self._forget(now)
            self._many = max(_MANY, 2 * len(self._accounts))
        new = _Account(Allowance(self._requests, now), Allowance(self._bytes, now))
        return self._accounts.setdefault(caller.name, new)

    def _forget(self, now: float) -> None:
        """Drop the accounts that are as good as new."""
        for name, account in list(self._accounts.items()):
            for allowance in (account.requests, account.bytes):
                allowance.wait_s(now)
            if not account.requests.debt and not account.bytes.debt:
                del self._accounts[name]

    def _detail(self) -> str:
        limits = ((self._requests, "requests"), (self._bytes, "bytes"))
        return f"At most {' and '.join(f'{limit} {what}' for limit, what in limits if limit)} a minute are accepted."


def _metered(request: Request, allowance: Allowance) -> Request:
    async def receive() -> Message:
        message = await request.receive()
        allowance.take(len(message.get("body", b"")))
        return message

    return Request(request.scope, receive)
