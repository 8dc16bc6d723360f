"""Whether the queue of jobs takes one more."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.jobs.store import JobStore, QueueCounts
from gateway.problems import Problem

_JOB_S = 0.2
"""What one job keeps one place of a worker busy, for want of a measurement: masks of one photo on one core."""
_LONGEST_PAUSE_S = 60.0


class Backlog:
    """The bound of the queue. Several requests that ask at once may pass together, so it is passed by a few at most.

    Batches do not pass it: they claim a place for each of their jobs before its photo is stored.
    """

    def __init__(self, jobs: JobStore, max_queued: int) -> None:
        self._jobs = jobs
        self._max_queued = max_queued
        self._claimed = 0

    async def check(self) -> None:
        """Return where there is room. Raises Problem `queue_full` with a guess at the time the queue needs to empty."""
        before = self._claimed
        counts = await self._jobs.counts()
        waiting = counts.queued + max(before, self._claimed)
        if waiting >= self._max_queued:
            pause_s = min(_LONGEST_PAUSE_S, _empty_in_s(counts))
            raise Problem("queue_full", f"{waiting} jobs are waiting.", retry_after=pause_s)

    @contextmanager
    def claim(self) -> Iterator["Claim"]:
        """Places for jobs until the store counts them: all are given back when the context ends."""
        claim = Claim(self)
        try:
            yield claim
        finally:
            self._claimed -= claim.places

    async def take(self) -> None:
        """Take a place. Raises Problem `queue_full`."""
        await self.check()
        self._claimed += 1

    async def wait_s(self) -> float:
        """A guess at the time until the job that came last has ended."""
        return ends_in_s(await self._jobs.counts())


class Claim:
    """`places` in the queue that jobs are about to fill."""

    def __init__(self, backlog: Backlog) -> None:
        self.places = 0
        self._backlog = backlog

    async def one(self) -> None:
        """Take one more. Raises Problem `queue_full`."""
        await self._backlog.take()
        self.places += 1


def ends_in_s(counts: QueueCounts) -> float:
    """A guess at the time until a job that comes now has ended."""
    return _JOB_S + _empty_in_s(counts)


def _empty_in_s(counts: QueueCounts) -> float:
    return counts.queued * _JOB_S / max(1, counts.workers)
