"""Whether the queue of jobs takes one more."""

from gateway.jobs.store import JobStore, QueueCounts
from gateway.problems import Problem

_JOB_S = 0.2
"""What one job keeps one place of a worker busy, for want of a measurement: masks of one photo on one core."""
_LONGEST_PAUSE_S = 60.0


class Backlog:
    """The bound of the queue. Several that ask at once may pass together, so it is passed by a few at most."""

    def __init__(self, jobs: JobStore, max_queued: int) -> None:
        self._jobs = jobs
        self._max_queued = max_queued

    async def check(self) -> None:
        """Return where there is room. Raises Problem `queue_full` with a guess at the time the queue needs to empty."""
        counts = await self._jobs.counts()
        if counts.queued >= self._max_queued:
            pause_s = min(_LONGEST_PAUSE_S, _empty_in_s(counts))
            raise Problem("queue_full", f"{counts.queued} jobs are waiting.", retry_after=pause_s)

    async def wait_s(self) -> float:
        """A guess at the time until the job that came last has ended."""
        return ends_in_s(await self._jobs.counts())


def ends_in_s(counts: QueueCounts) -> float:
    """A guess at the time until a job that comes now has ended."""
    return _JOB_S + _empty_in_s(counts)


def _empty_in_s(counts: QueueCounts) -> float:
    return counts.queued * _JOB_S / max(1, counts.workers)
