"""The table of jobs in memory: how they are found, and in which order they are claimed."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from gateway.jobs.job import Job, NewJob, Waiting
from gateway.pipelines.outputs import Failure

Identity = tuple[str, str, str]
Clock = Callable[[], datetime]
"""The present, in UTC."""


def waiting_since(moments: Iterable[datetime], now: datetime) -> Waiting:
    """How many moments there are, and how long ago the first was."""
    known = list(moments)
    return Waiting(len(known), max(0.0, (now - min(known)).total_seconds()) if known else 0.0)


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


def identity_of(request: NewJob) -> Identity:
    """What is kept once: tenant, user and request id."""
    return request.tenant, request.user_id, request.request_id


@dataclass(frozen=True)
class Removal:
    """When a job's objects are to be removed, why they could not be, and until when a worker may still write some."""

    due_at: datetime
    writes_until: datetime
    attempts: int = 0
    reason: str = ""


class JobTable:
    """Jobs in the order in which they came; a hidden job, which is being deleted, is seen only by janitors."""

    def __init__(self) -> None:
        self._sequences = count(1)
        self._jobs: dict[UUID, Job] = {}
        self._identities: dict[Identity, UUID] = {}
        self._unfinished: dict[str, dict[UUID, None]] = {}
        self._finished: dict[str, dict[UUID, None]] = {}
        self._hidden: dict[UUID, datetime] = {}
        self.removals: dict[UUID, Removal] = {}

    def new(self, request: NewJob, now: datetime) -> Job:
        """A job that comes now; `add` puts it into the table."""
        sequence = next(self._sequences)
        outcome = request.outcome
        if outcome is None:
            return Job(request, sequence, "queued", 0, now, now, None, None, None, None)
        return Job(request, sequence, outcome.state, 0, now, now, None, now, outcome, None)

    def add(self, job: Job) -> None:
        """Keep a new job under its identity."""
        self._identities[identity_of(job.request)] = job.id
        self.put(job)

    def put(self, job: Job) -> None:
        """Keep a job as it is now."""
        self._jobs[job.id] = job
        unfinished, finished = (self._unfinished, job.request.owner), (self._finished, job.request.tenant)
        groups, name = finished if job.finished else unfinished
        groups.setdefault(name, {}).setdefault(job.id)
        _discard(*(unfinished if job.finished else finished), job.id)

    def hide(self, job: Job, now: datetime, removal: Removal) -> None:
        """Let a finished job be one that is being deleted; its identity is free again."""
        self._hidden[job.id] = now
        self.removals[job.id] = removal
        del self._identities[identity_of(job.request)]

    def forget(self, job: Job) -> None:
        """Drop a finished job."""
        _discard(self._finished, job.request.tenant, job.id)
        for kept in (self._jobs, self._hidden, self.removals):
            kept.pop(job.id, None)
        if self._identities.get(identity_of(job.request)) == job.id:
            del self._identities[identity_of(job.request)]

    def namesake(self, request: NewJob) -> Job | None:
        """The job of this tenant, user and request id that is not hidden."""
        job_id = self._identities.get(identity_of(request))
        return self._jobs[job_id] if job_id else None

    def kept(self, request: NewJob) -> Job | None:
        """The job that was made of the same request before; hidden, where it is the very same one."""
        return self.namesake(request) or self._jobs.get(request.id)

    def get(self, job_id: UUID) -> Job | None:
        """A job that is not hidden."""
        return None if job_id in self._hidden else self._jobs.get(job_id)

    def deleting(self, job_id: UUID) -> Job | None:
        """A job that is hidden."""
        return self._shown(self._jobs[job_id]) if job_id in self._hidden else None

    def newest(self) -> Iterator[Job]:
        """Jobs, hidden ones too, the newest first."""
        return map(self._shown, reversed(self._jobs.values()))

    def unfinished(self) -> Iterator[tuple[str, list[Job]]]:
        """Each user's jobs that are queued or running, the oldest first."""
        return ((user, [self._jobs[job_id] for job_id in ids]) for user, ids in self._unfinished.items())

    def finished(self, tenant: str) -> Iterator[Job]:
        """A tenant's jobs that ended, hidden or not, the first to end first."""
        return (self._jobs[job_id] for job_id in self._finished.get(tenant, ()))

    def finished_counts(self) -> Mapping[str, int]:
        """Finished jobs by tenant, hidden or not."""
        return {tenant: len(jobs) for tenant, jobs in self._finished.items()}

    def hidden_since(self) -> list[datetime]:
        """When hidden jobs were hidden."""
        return list(self._hidden.values())

    def hidden_count(self) -> int:
        """Hidden jobs, which are all finished."""
        return len(self._hidden)

    def ended_by(self, moment: datetime) -> list[Job]:
        """Jobs that are not hidden and ended by then, a tenant's first to end first."""
        ended = (
            self._jobs[job_id] for jobs in self._finished.values() for job_id in jobs if job_id not in self._hidden
        )
        return [job for job in ended if job.finished_at and job.finished_at <= moment]

    def removable_by(self, moment: datetime) -> list[Job]:
        """Jobs whose objects are to be removed by then, the first to be due first."""
        due = sorted((removal.due_at, job_id) for job_id, removal in self.removals.items() if removal.due_at <= moment)
        return [self._shown(self._jobs[job_id]) for _, job_id in due]

    def _shown(self, job: Job) -> Job:
        """A hidden one as what it is."""
        if job.id not in self._hidden:
            return job
        reason = self.removals[job.id].reason
        return replace(job, state="deleting", last_failure=Failure("storage_unavailable", reason) if reason else None)


def in_turn(unfinished: Iterable[tuple[str, list[Job]]], user_concurrency: int) -> Iterator[Job]:
    """Each user's first jobs, running ones before the others; and all jobs without a user."""
    for user, jobs in unfinished:
        yield from heapq.nsmallest(user_concurrency, jobs, key=_turn) if user else jobs


def in_rounds(due: Iterable[Job], busy: Mapping[str, int], after: str) -> list[Job]:
    """Due jobs in the order in which they are claimed, which goes round the tenants.

    A tenant's jobs go by priority and age. The next job is that of the tenant with fewest running (`busy`) and chosen
    jobs; among equals, of the tenant whose name is next after `after`.
    """
    taken, places = Counter(busy), dict[int, tuple[int, bool, str]]()
    jobs = sorted(due, key=lambda job: (-job.request.priority, job.sequence))
    for job in jobs:
        tenant = job.request.tenant
        taken[tenant] += 1
        places[job.sequence] = taken[tenant], tenant <= after, tenant
    return sorted(jobs, key=lambda job: places[job.sequence])


def _turn(job: Job) -> tuple[bool, int, int]:
    return job.state != "running", -job.request.priority, job.sequence


def _discard(groups: dict[str, dict[UUID, None]], name: str, job_id: UUID) -> None:
    group = groups.get(name, {})
    group.pop(job_id, None)
    if not group:
        groups.pop(name, None)
