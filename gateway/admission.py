"""Who may come in and who may run: the one place that bounds the work in flight."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gateway.deadline import Deadline
from gateway.problems import Problem

_SMOOTHING = 0.2
_MAX_RETRY_AFTER_S = 60


class Admission:
    """Places for waiting requests, and turns, first come first served, for running ones."""

    def __init__(self, max_waiting: int, concurrency: int) -> None:
        self._max_waiting = max_waiting
        self._concurrency = concurrency
        self._turns = asyncio.Semaphore(concurrency)
        self._admitted = 0
        self._running = 0
        self._turn_s = 0.1

    @property
    def waiting(self) -> int:
        """Requests that came in and do not run yet."""
        return self._admitted - self._running

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place from before the body is read, so that waiting bodies cannot fill the memory.

        Raises Problem `queue_full` with the time the queue needs to empty.
        """
        if self.waiting >= self._max_waiting:
            raise Problem("queue_full", f"{self.waiting} requests are waiting.", retry_after=self._retry_after())
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    @asynccontextmanager
    async def turn(self, deadline: Deadline) -> AsyncIterator[None]:
        """Wait for a turn and hold it; cancelling either gives it back.

        Raises Problem `deadline_exceeded` where the turn does not come in time; a turn that came is not cut short.
        """
        await self._acquire(deadline)
        self._running += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self._running -= 1
            self._turn_s += _SMOOTHING * (time.monotonic() - start - self._turn_s)
            self._turns.release()

    async def _acquire(self, deadline: Deadline) -> None:
        try:
            with deadline.enforce():
                await self._turns.acquire()
        except TimeoutError as error:
            raise deadline.exceeded() from error

    def _retry_after(self) -> float:
        return min(_MAX_RETRY_AFTER_S, self.waiting * self._turn_s / self._concurrency)
