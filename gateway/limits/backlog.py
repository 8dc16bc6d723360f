"""The bound of the queue of jobs, shared by the tenants."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Problem
from gateway.jobs.store import JobStore, QueueCounts

_JOB_S = 0.2
"""How long one job is guessed to take: masks of one photo on one core."""
_LONGEST_PAUSE_S = 60.0


class Backlog:
    """Says whether a tenant may add a job.

    A tenant may add jobs while fewer than QUEUE_MAX_SIZE wait, or while fewer of its own wait than its share:
    QUEUE_MAX_SIZE divided by the tenants that have unfinished jobs. So a lone tenant may fill the queue, and keeps
    nobody out.

    Several requests that ask at the same moment may all be let in, so the bound may be exceeded by a few. Batches never
    exceed it: they claim a place for each of their jobs before its photo is stored.
    """

    def __init__(self, jobs: JobStore, max_queued: int) -> None:
        self._jobs = jobs
        self._max_queued = max_queued
        self._claimed = Counter[str]()

    async def check(self, tenant: str) -> None:
        """Return where there is room. Raises Problem `queue_full`, with a guess at when the queue will be empty."""
        before = self._claimed.total()
        counts = await self._jobs.counts()
        waiting = counts.queued + max(before, self._claimed.total())
        if waiting < self._max_queued:
            return
        own, share = await self._share(tenant)
        if own >= share:
            pause_s = min(_LONGEST_PAUSE_S, _empty_in_s(counts))
            detail = f"{waiting} jobs are waiting. {own} of them are your tenant's, whose share is {share}."
            raise Problem("queue_full", detail, retry_after=pause_s)

    async def room(self, tenant: str) -> int:
        """How many jobs a tenant may add; 0 or less: none. Raises Problem `store_unavailable`."""
        free = self._max_queued - (await self._jobs.counts()).queued
        if 2 * free >= self._max_queued:  # of two or more tenants none has a greater share
            return free
        own, share = await self._share(tenant)
        return max(free, share - own)

    async def _share(self, tenant: str) -> tuple[int, int]:
        """How many of a tenant's jobs wait or are claimed; and how many may while the queue is full, at least 1."""
        before = self._claimed[tenant]
        counts = await self._jobs.tenant_counts(tenant)
        return counts.queued + max(before, self._claimed[tenant]), max(1, self._max_queued // counts.tenants)

    @contextmanager
    def claim(self, tenant: str) -> Iterator["Claim"]:
        """Places for jobs until the store counts them: all are given back when the context ends."""
        claim = Claim(self, tenant)
        try:
            yield claim
        finally:
            self._claimed[tenant] -= claim.places
            self._claimed = +self._claimed

    async def take(self, tenant: str) -> None:
        """Take a place. Raises Problem `queue_full`."""
        await self.check(tenant)
        self._claimed[tenant] += 1

    async def wait_s(self) -> float:
        """A guess at the time until the job that came last has ended."""
        return ends_in_s(await self._jobs.counts())


class Claim:
    """`places` in the queue that a tenant's jobs will fill soon."""

    def __init__(self, backlog: Backlog, tenant: str) -> None:
        self.places = 0
        self._backlog = backlog
        self._tenant = tenant

    async def one(self) -> None:
        """Take one more. Raises Problem `queue_full`."""
        await self._backlog.take(self._tenant)
        self.places += 1


def ends_in_s(counts: QueueCounts) -> float:
    """A guess at the time until a job that comes now has ended."""
    return _JOB_S + _empty_in_s(counts)


def _empty_in_s(counts: QueueCounts) -> float:
    return counts.queued * _JOB_S / max(1, counts.workers)
