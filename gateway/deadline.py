"""One moment by which a request must be done."""

import asyncio
from contextlib import AbstractContextManager

import anyio


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
        """A context whose work is cancelled at the deadline. Raises TimeoutError."""
        return anyio.fail_after(max(0.0, self.remaining()))
