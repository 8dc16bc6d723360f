"""Time: limits of requests, slow clients and questions; pauses between attempts; how long each stage took."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Generic, TypeVar

import anyio

from gateway.errors import Problem

T = TypeVar("T")


class Deadline:
    """A time limit counted from its making; must be made inside a running loop."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + limit_s

    def remaining(self) -> float:
        """Seconds left; zero or less when it is over."""
        return self._ends - self._clock()

    def enforce(self) -> AbstractContextManager[anyio.CancelScope]:
        """A context whose work is cancelled at the deadline. Raises TimeoutError.

        Not for gRPC calls, which replace the cancellation with one of their own; they take a timeout instead.
        """
        return anyio.fail_after(max(0.0, self.remaining()))

    def exceeded(self) -> Problem:
        """The problem of a request that was not done in time."""
        return Problem("deadline_exceeded", f"Not done within {self.limit_s:g} s.", retry_after=1)


class Pace:
    """How long a slow client is waited for: `grace_s` seconds at the start.

    A token bucket of seconds: waiting empties it, and every byte that moves refills it by the time that a byte takes at
    `least_rate` bytes a second, up to `grace_s`. `bytes` and `waited_s` count all bytes, and all waiting, so far.
    """

    def __init__(self, grace_s: float, least_rate: float) -> None:
        self.grace_s = grace_s
        self.least_rate = least_rate
        self.left_s = grace_s
        self.bytes = 0
        self._spent_s = 0.0
        self._since: float | None = None
        self._clock = asyncio.get_running_loop().time

    @property
    def stalled_s(self) -> float:
        """Seconds that the current wait has taken."""
        return self._clock() - self._since if self._since is not None else 0.0

    @property
    def waited_s(self) -> float:
        """Seconds of all waits, the current one too."""
        return self._spent_s + self.stalled_s

    @property
    def rate(self) -> float:
        """Bytes a second of waiting."""
        return self.bytes / max(self.waited_s, 1e-3)

    def count(self, useful: int) -> None:
        """Count bytes that were received or sent."""
        self.bytes += useful
        self.left_s = min(self.grace_s, self.left_s + useful / self.least_rate)

    async def wait(self, client: Awaitable[T], deadline: Deadline | None = None) -> T:
        """Wait for the client to send or to read, until the deadline if there is one. Raises TimeoutError."""
        self._since = self._clock()
        most_s = self.left_s if deadline is None else min(self.left_s, deadline.remaining())
        try:
            async with asyncio.timeout(max(0.0, most_s)):
                return await client
        finally:
            spent_s = self._clock() - self._since
            self._since = None
            self._spent_s += spent_s
            self.left_s -= spent_s


async def answer_within(seconds: float, asked: Awaitable[T]) -> T | None:
    """The answer; None where a Problem is in its place, or none comes in time."""
    with anyio.move_on_after(seconds), suppress(Problem):
        return await asked
    return None


class Remembered(Generic[T]):
    """An answer that is asked for anew once it is `fresh_s` seconds old, and only once however many want it."""

    def __init__(self, ask: Callable[[], Awaitable[T]], fresh_s: float) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._lock = asyncio.Lock()
        self._known: tuple[float, T] | None = None

    async def get(self) -> T:
        """The answer."""
        async with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > self._fresh_s:
                self._known = time.monotonic(), await self._ask()
            return self._known[1]


_MOST_STEPS = 64
"""Steps after which a pause grows no more, far past any longest one."""


@dataclass(frozen=True)
class Backoff:
    """Pauses that grow with each failure in a row: `first_s`, then `factor` times as long, at most `longest_s`.

    `jitter` is the share by which each pause is longer or shorter at random, so that what failed at one moment does not
    come back at one moment.
    """

    first_s: float
    longest_s: float
    factor: float = 2.0
    jitter: float = 0.0

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        steps = min(max(0, failures - 1), _MOST_STEPS)
        pause_s = min(self.longest_s, self.first_s * self.factor**steps)
        return pause_s * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 jitter, not a secret

    def pauses(self) -> Iterator[float]:
        """The pauses after the first failure, the second, and so on without end."""
        return map(self.pause_s, count(1))


class Stopwatch:
    """Milliseconds by stage of a request or job; a stage that is timed twice adds up."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    @property
    def timings_ms(self) -> dict[str, float]:
        """Rounded to a tenth."""
        return {stage: round(duration, 1) for stage, duration in self._ms.items()}

    def add(self, stage: str, duration_s: float) -> None:
        """Count time that was measured elsewhere."""
        self._ms[stage] = self._ms.get(stage, 0.0) + max(0.0, duration_s) * 1000

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, whether it succeeds or not."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - start)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, as in 2025-11-26T12:00:00.123456Z; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
