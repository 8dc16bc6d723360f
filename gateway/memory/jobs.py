"""The queue in memory: jobs are submitted, claimed in turn, ended, deleted and found."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from statistics import fmean
from uuid import UUID, uuid4

from typing_extensions import override

from gateway.background import Signals
from gateway.cache.cache import NewEntry
from gateway.jobs.job import (
    RECENT_S,
    Job,
    JobFilter,
    Lease,
    NewJob,
    Outcome,
    QueueCounts,
    Recent,
    Standing,
    SubmittedJob,
    TenantCounts,
)
from gateway.jobs.objects import LockLostError
from gateway.jobs.store import (
    CANCELLED,
    FIRST_PAUSE_S,
    LATE_WRITES_S,
    LIVE_LEASES,
    LONGEST_PAUSE_S,
    REMOVAL_S,
    WORK,
    BadMessage,
    Ended,
    JobStore,
    exhausted,
)
from gateway.memory import Clock, waiting_since
from gateway.memory.objects import Endings, Identity, JobTable, MemoryArtifactLocks, Removal, identity_of
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from gateway.timing import Backoff


class MemoryJobs(JobStore):
    """The queue: a table of jobs, the leases on them, and the workers' signs of life."""

    def __init__(  # noqa: PLR0913, PLR0917 what the stores share
        self,
        settings: Settings,
        table: JobTable,
        endings: Endings,
        locks: MemoryArtifactLocks,
        signals: Signals,
        clock: Clock,
        ended: Ended,
    ) -> None:
        self._max_attempts = settings.max_retries + 1
        self._late = timedelta(seconds=settings.lease_s + LATE_WRITES_S)
        self._live = timedelta(seconds=LIVE_LEASES * settings.lease_s)
        self._user_concurrency = settings.user_concurrency
        self._table = table
        self._endings = endings
        self._locks = locks
        self._signals = signals
        self._clock = clock
        self._ended = ended
        self._leases: dict[UUID, tuple[UUID, datetime]] = {}  # the token of each running job's, and until when it lasts
        self._workers: dict[str, tuple[int, datetime]] = {}  # each one's capacity, and until when that counts

    @override
    async def submit(self, jobs: Sequence[NewJob], bad_messages: Sequence[BadMessage] = ()) -> list[SubmittedJob]:
        del bad_messages  # nothing comes from Kafka without PostgreSQL
        submissions = self._submissions(jobs)
        created = [submission.job for submission in submissions if submission.result == "created"]
        if not all(self._locks.spend(job.request, job.request.lock) for job in created):
            raise LockLostError
        owed = [self._endings.messages(job) for job in created]
        for job, deliveries in zip(created, owed, strict=True):
            self._table.add(job)
            if job.finished:
                self._endings.keep(job, deliveries)
            self._tell(job)
        return submissions

    @override
    async def claim(self, worker: str, limit: int, lease_s: float, after: str = "") -> list[Lease]:
        del worker  # there is one process, whose end is the end of the jobs too
        now, leases = self._clock(), list[Lease]()
        for job in self._in_rounds(now, after):
            if len(leases) == limit:
                break
            if job.attempts < self._max_attempts:
                leases.append(self._lease(job, now, lease_s))
            else:
                outcome = exhausted(job.attempts)
                self._ended(self._end(job, outcome), outcome)
        return leases

    @override
    async def renew(self, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float) -> frozenset[UUID]:
        now = self._clock()
        self._workers[worker] = capacity, now + self._live
        asked, until = set(tokens), now + timedelta(seconds=lease_s)
        kept = {job_id: (token, until) for job_id, (token, _) in self._leases.items() if token in asked}
        self._leases.update(kept)
        return frozenset(token for token, _ in kept.values())

    @override
    async def finish(self, lease: Lease, outcome: Outcome, entry: NewEntry | None = None) -> bool:
        job = self._leased(lease)
        if job is None or not self._locks.spend(job.request, lease.lock):
            return False
        self._end(job, outcome)
        if entry:
            await self._endings.cache.keep(entry)
        return True

    @override
    async def retry(self, lease: Lease, failure: Failure, delay_s: float) -> bool:
        job = self._leased(lease)
        if job is not None:
            run_at = self._clock() + timedelta(seconds=delay_s)
            self._queue(replace(job, run_at=run_at, last_failure=failure))
        return job is not None

    @override
    async def release(self, lease: Lease) -> bool:
        job = self._leased(lease)
        if job is not None:
            self._queue(replace(job, attempts=job.attempts - 1, run_at=self._clock()))
        return job is not None

    @override
    async def cancel(self, job_id: UUID) -> Job | None:
        return self._cancel(job_id)

    @override
    async def delete(self, job_id: UUID) -> Job | None:
        job = self._cancel(job_id)
        if job is not None:
            self._hide(job, timedelta(seconds=REMOVAL_S))
        return self._table.deleting(job_id) if job else None

    @override
    async def deleting(self, job_id: UUID) -> Job | None:
        return self._table.deleting(job_id)

    @override
    async def get(self, job_id: UUID) -> Job | None:
        return self._table.get(job_id)

    @override
    async def parameters(self, job_id: UUID) -> str | None:
        job = self._table.get(job_id)
        return job.request.parameters if job else None

    @override
    async def find(self, jobs: JobFilter) -> list[Job]:
        return list(islice((job for job in self._table.newest() if _matches(job, jobs)), jobs.limit))

    @override
    async def counts(self) -> QueueCounts:
        now = self._clock()
        self._workers = {name: (capacity, until) for name, (capacity, until) in self._workers.items() if until > now}
        unfinished = sum(len(jobs) for _, jobs in self._table.unfinished())
        capacity = sum(capacity for capacity, _ in self._workers.values())
        return QueueCounts(unfinished - len(self._leases), len(self._leases), capacity)

    @override
    async def tenant_counts(self, tenant: str) -> TenantCounts:
        jobs = [job for _, jobs in self._table.unfinished() for job in jobs]
        own = sum(job.state == "queued" for job in jobs if job.request.tenant == tenant)
        return TenantCounts(own, len({tenant, *(job.request.tenant for job in jobs)}))

    @override
    async def standing(self) -> Standing:
        now, jobs = self._clock(), [job for _, jobs in self._table.unfinished() for job in jobs]
        queued = (job.created_at if job.started_at else job.run_at for job in jobs if job.state == "queued")
        running = (job.started_at or job.created_at for job in jobs if job.state == "running")
        failing = sum(removal.attempts > 0 for removal in self._table.removals.values())
        deleting = waiting_since(self._table.hidden_since(), now)
        return Standing(waiting_since(queued, now), waiting_since(running, now), deleting, failing)

    @override
    async def finished(self) -> int:
        return sum(self._table.finished_counts().values()) - self._table.hidden_count()

    @override
    async def recent(self) -> Recent:
        since = self._clock() - timedelta(seconds=RECENT_S)
        shown = (job for job in self._table.newest() if job.state != "deleting")
        ended = [job for job in shown if job.finished_at and job.finished_at > since]
        completed = [job for job in ended if job.state == "completed"]
        took = [(job.finished_at - job.created_at).total_seconds() for job in completed if job.finished_at]
        return Recent(len(completed), len(ended) - len(completed), fmean(took) if took else None)

    @override
    async def removable(self, limit: int, lease_s: float) -> list[Job]:
        jobs, removals = self._table.removable_by(self._clock())[:limit], self._table.removals
        until = self._clock() + timedelta(seconds=lease_s)
        removals.update({job.id: replace(removals[job.id], due_at=until) for job in jobs})
        return jobs

    @override
    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        jobs = [job for job_id in job_ids if (job := self._table.get(job_id) or self._table.deleting(job_id))]
        return {job.id: job.finished for job in jobs}

    @override
    async def remove(self, job_ids: Sequence[UUID], since: datetime | None = None) -> frozenset[UUID]:
        now, removals = since or self._clock(), self._table.removals
        asked = {job_id: removals[job_id] for job_id in job_ids if job_id in removals}
        late = {job_id: one for job_id, one in asked.items() if one.writes_until > now}
        gone = [job for job_id in asked.keys() - late.keys() if (job := self._table.deleting(job_id))]
        for job in gone:
            self._endings.forget(job)
        for job_id in asked:
            removals.pop(job_id, None)
        removals.update({job_id: Removal(one.writes_until, one.writes_until) for job_id, one in late.items()})
        return frozenset(job.id for job in gone)

    @override
    async def postpone_removal(self, job_id: UUID, reason: str) -> None:
        removal = self._table.removals.get(job_id)
        if removal is not None:
            pause_s = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S).pause_s(removal.attempts + 1)
            due_at = self._clock() + timedelta(seconds=pause_s)
            self._table.removals[job_id] = Removal(due_at, removal.writes_until, removal.attempts + 1, reason)

    @override
    async def expire(self, days: int) -> int:
        now = self._clock()
        old = self._table.ended_by(now - timedelta(days=days))
        for job in old:
            self._hide(job, timedelta(0))
        return len(old)

    def _submissions(self, requests: Sequence[NewJob]) -> list[SubmittedJob]:
        """What becomes of each request; jobs that were created are not in the table yet."""
        now = self._clock()
        coming: dict[Identity, Job] = {}
        submissions = []
        for request in requests:
            job = self._table.kept(request) or coming.get(identity_of(request))
            if job is None:
                coming[identity_of(request)] = job = self._table.new(request, now)
                submissions.append(SubmittedJob(job, "created"))
            else:
                same = job.request.fingerprint == request.fingerprint
                submissions.append(SubmittedJob(job, "known" if same else "conflict"))
        return submissions

    def _in_rounds(self, now: datetime, after: str) -> list[Job]:
        jobs = list(_in_turn(self._table.unfinished(), self._user_concurrency))
        due = [job for job in jobs if self._due(job, now)]
        running = Counter(job.request.tenant for job in jobs if job.state == "running")
        running.subtract(job.request.tenant for job in due if job.state == "running")
        return _in_rounds(due, running, after)

    def _due(self, job: Job, now: datetime) -> bool:
        _, until = self._leases.get(job.id, (None, job.run_at))
        return until <= now

    def _lease(self, job: Job, now: datetime, lease_s: float) -> Lease:
        running = replace(job, state="running", attempts=job.attempts + 1, started_at=now)
        token = uuid4()
        self._leases[job.id] = token, now + timedelta(seconds=lease_s)
        self._table.put(running)
        self._signals.notify(str(job.id))
        return Lease(running, token)

    def _leased(self, lease: Lease) -> Job | None:
        token, _ = self._leases.get(lease.job.id, (None, None))
        return self._table.get(lease.job.id) if token == lease.token else None

    def _queue(self, job: Job) -> None:
        self._leases.pop(job.id, None)
        self._table.put(replace(job, state="queued"))
        self._tell(job)

    def _cancel(self, job_id: UUID) -> Job | None:
        job = self._table.get(job_id)
        return self._end(job, CANCELLED) if job and not job.finished else job

    def _end(self, job: Job, outcome: Outcome) -> Job:
        ended = replace(job, state=outcome.state, finished_at=self._clock(), outcome=outcome)
        deliveries = self._endings.messages(ended)
        self._leases.pop(job.id, None)
        self._endings.keep(ended, deliveries)
        if outcome.failure and _late(ended):
            self._table.removals[job.id] = Removal(self._clock() + self._late, self._clock() + self._late)
        self._tell(ended)
        return ended

    def _hide(self, job: Job, pause: timedelta) -> None:
        now = self._clock()
        writes_until = (job.finished_at or now) + self._late if _late(job) else now
        self._table.hide(job, now, Removal(now + pause, writes_until))

    def _tell(self, job: Job) -> None:
        """Wake who follows the job, and who works: it may be due, or a job that it kept waiting."""
        self._signals.notify(str(job.id))
        self._signals.notify(WORK)


def _in_turn(unfinished: Iterable[tuple[str, list[Job]]], user_concurrency: int) -> Iterator[Job]:
    """Each user's first jobs, running ones before the others; and all jobs without a user."""
    for user, jobs in unfinished:
        yield from heapq.nsmallest(user_concurrency, jobs, key=_turn) if user else jobs


def _in_rounds(due: Iterable[Job], busy: Mapping[str, int], after: str) -> list[Job]:
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


def _late(job: Job) -> bool:
    """Whether a worker may still write the artifacts of a job that has ended."""
    return job.attempts > 1 or (job.attempts == 1 and bool(job.outcome and job.outcome.leaves_objects))


def _matches(job: Job, wanted: JobFilter) -> bool:
    request = job.request
    return (
        wanted.tenant == request.tenant
        and (wanted.deleting or wanted.state == job.state or job.state != "deleting")
        and (wanted.before is None or job.sequence < wanted.before)
        and wanted.state in (None, job.state)
        and wanted.user_id in (None, request.user_id)
        and wanted.request_id in (None, request.request_id)
        and wanted.pipeline in (None, request.pipeline)
        and wanted.batch_id in (None, request.batch_id)
    )
