"""One moment by which a request must be done."""

import asyncio
from contextlib import AbstractContextManager

import anyio

from gateway.problems import Problem


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
