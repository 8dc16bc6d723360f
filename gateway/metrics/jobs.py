"""A store of jobs whose submissions and endings are counted."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from typing_extensions import override

from gateway.cache.cache import NewEntry
from gateway.jobs.dead_letters import BadMessage
from gateway.jobs.job import Job, Lease, NewJob, Outcome
from gateway.jobs.store import JobFilter, JobStore, QueueCounts, Recent, Standing, Submission, TenantCounts
from gateway.metrics.instruments import Instruments
from gateway.results import Failure

_REMEMBERED = 1000


class MeasuredJobs(JobStore):
    """Does what another store does, and counts it; a job that was cancelled is none that was worked on."""

    def __init__(self, jobs: JobStore, instruments: Instruments) -> None:
        self._jobs = jobs
        self._tasks = instruments.tasks
        self._errors = instruments.errors
        self._ended = instruments.ended
        self._lost: deque[UUID] = deque(maxlen=_REMEMBERED)

    async def submit(self, jobs: Sequence[NewJob], poison: Sequence[BadMessage] = ()) -> list[Submission]:
        """Count the jobs that were not known, and those that ended at once."""
        submissions = await self._jobs.submit(jobs, poison)
        for submission in submissions:
            if submission.result == "created":
                self._tasks.submitted(submission.job)
                self._count_failure(submission.job.outcome)
        return submissions

    async def finish(self, lease: Lease, outcome: Outcome, entry: NewEntry | None = None) -> bool:
        """Count the job that ended."""
        finished = await self._jobs.finish(lease, outcome, entry)
        if finished:
            self._ended(lease.job, outcome)
        else:
            self._lose([lease.token])
        return finished

    async def retry(self, lease: Lease, failure: Failure, delay_s: float) -> bool:
        """Count the error."""
        self._errors.count(failure.code, "worker")
        holds = await self._jobs.retry(lease, failure, delay_s)
        self._lose([] if holds else [lease.token])
        return holds

    @override
    async def claim(self, worker: str, limit: int, lease_s: float, after: str = "") -> list[Lease]:
        return await self._jobs.claim(worker, limit, lease_s, after)

    async def renew(self, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float) -> frozenset[UUID]:
        """Count the leases that are over."""
        held = await self._jobs.renew(worker, capacity, tokens, lease_s)
        self._lose([token for token in tokens if token not in held])
        return held

    @override
    async def release(self, lease: Lease) -> bool:
        return await self._jobs.release(lease)

    @override
    async def cancel(self, job_id: UUID) -> Job | None:
        return await self._jobs.cancel(job_id)

    @override
    async def delete(self, job_id: UUID) -> Job | None:
        return await self._jobs.delete(job_id)

    @override
    async def deleting(self, job_id: UUID) -> Job | None:
        return await self._jobs.deleting(job_id)

    @override
    async def get(self, job_id: UUID) -> Job | None:
        return await self._jobs.get(job_id)

    @override
    async def find(self, jobs: JobFilter) -> list[Job]:
        return await self._jobs.find(jobs)

    @override
    async def parameters(self, job_id: UUID) -> str | None:
        return await self._jobs.parameters(job_id)

    @override
    async def counts(self) -> QueueCounts:
        return await self._jobs.counts()

    @override
    async def tenant_counts(self, tenant: str) -> TenantCounts:
        return await self._jobs.tenant_counts(tenant)

    @override
    async def standing(self) -> Standing:
        return await self._jobs.standing()

    @override
    async def finished(self) -> int:
        return await self._jobs.finished()

    @override
    async def recent(self) -> Recent:
        return await self._jobs.recent()

    @override
    async def removable(self, limit: int, lease_s: float) -> list[Job]:
        return await self._jobs.removable(limit, lease_s)

    @override
    async def remove(self, job_ids: Sequence[UUID], since: datetime | None = None) -> frozenset[UUID]:
        return await self._jobs.remove(job_ids, since)

    @override
    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        return await self._jobs.over(job_ids)

    @override
    async def postpone_removal(self, job_id: UUID, reason: str) -> None:
        await self._jobs.postpone_removal(job_id, reason)

    @override
    async def expire(self, days: int) -> int:
        return await self._jobs.expire(days)

    def _lose(self, tokens: Sequence[UUID]) -> None:
        """Each once: the heartbeat asks again for a lease whose work is just ending."""
        for token in tokens:
            if token not in self._lost:
                self._lost.append(token)
                self._tasks.lost_lease()

    def _count_failure(self, outcome: Outcome | None) -> None:
        if outcome and outcome.failure:
            self._errors.count(outcome.failure.code, "worker")
