"""Time limits: of a request, of a client that is slow, and of questions that may go unanswered."""

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

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
    """The patience with a client that lets us wait: `grace_s` seconds, which every useful byte renews in part.

    A token bucket: it refills by the time that the bytes may take at `least_rate`, in bytes a second, and is never
    fuller than at the start. `bytes` and `waited_s` are what came, or went, and what we waited for it, in all.
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
        """Seconds that we wait for the next byte."""
        return self._clock() - self._since if self._since is not None else 0.0

    @property
    def waited_s(self) -> float:
        """Seconds that we waited, and wait now."""
        return self._spent_s + self.stalled_s

    @property
    def rate(self) -> float:
        """Bytes a second of waiting."""
        return self.bytes / max(self.waited_s, 1e-3)

    def count(self, useful: int) -> None:
        """Count bytes that came, or went."""
        self.bytes += useful
        self.left_s = min(self.grace_s, self.left_s + useful / self.least_rate)

    async def wait(self, client: Awaitable[T], deadline: Deadline | None = None) -> T:
        """What the client sends, or takes, until the deadline if there is one. Raises TimeoutError."""
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
