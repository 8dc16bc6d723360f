"""Jobs in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from statistics import fmean
from uuid import UUID, uuid4

from gateway.cache.cache import NewEntry
from gateway.jobs.artifacts import hold_lost
from gateway.jobs.dead_letters import FROM_KAFKA, BadMessage
from gateway.jobs.job import Job, Lease, NewJob, Outcome
from gateway.jobs.store import (
    FIRST_PAUSE_S,
    LATE_WRITES_S,
    LONGEST_PAUSE_S,
    RECENT_S,
    REMOVAL_S,
    WORK,
    Ended,
    JobFilter,
    JobStore,
    QueueCounts,
    Recent,
    Signals,
    Standing,
    Submission,
    TenantCounts,
)
from gateway.memory.archive import Archive
from gateway.memory.clock import Clock, waiting_since
from gateway.memory.holds import MemoryHolds
from gateway.memory.table import Identity, JobTable, Removal, identity_of
from gateway.memory.turns import in_rounds, in_turn
from gateway.problems import PROBLEMS
from gateway.results import Failure
from gateway.settings import Settings

_CANCELLED = Failure("cancelled", PROBLEMS["cancelled"].example)
_LIVE_LEASES = 3
"""A worker lives that gave a sign within so many times LEASE_S."""


@dataclass(frozen=True)
class _Held:
    """A lease that was given, until it ends."""

    token: UUID
    until: datetime


@dataclass(frozen=True)
class _Sign:
    """What a worker said of itself, until it counts no more."""

    capacity: int
    until: datetime


class MemoryJobs(JobStore):
    """The queue: a table of jobs, the leases on them, and the workers' signs of life."""

    def __init__(  # noqa: PLR0913, PLR0917 what the stores share
        self,
        settings: Settings,
        table: JobTable,
        archive: Archive,
        holds: MemoryHolds,
        signals: Signals,
        clock: Clock,
        ended: Ended,
    ) -> None:
        self._max_attempts = settings.max_retries + 1
        self._late = timedelta(seconds=settings.lease_s + LATE_WRITES_S)
        self._live = timedelta(seconds=_LIVE_LEASES * settings.lease_s)
        self._user_concurrency = settings.user_concurrency
        self._table = table
        self._archive = archive
        self._holds = holds
        self._signals = signals
        self._clock = clock
        self._ended = ended
        self._held: dict[UUID, _Held] = {}
        self._workers: dict[str, _Sign] = {}

    async def submit(self, jobs: Sequence[NewJob], poison: Sequence[BadMessage] = ()) -> list[Submission]:
        """Keep all or nothing: whatever can fail is done before anything is kept."""
        submissions = self._submissions(jobs)
        created = [submission.job for submission in submissions if submission.result == "created"]
        if not all(self._holds.spend(job.request, job.request.hold) for job in created):
            raise hold_lost()
        owed = [self._archive.announcements(job) for job in created]
        for job, deliveries in zip(created, owed, strict=True):
            self._table.add(job)
            if job.finished:
                self._archive.keep(job, deliveries)
            self._tell(job)
        self._archive.keep_poison(poison)
        return submissions

    async def claim(self, worker: str, limit: int, lease_s: float, after: str = "") -> list[Lease]:
        """Take due jobs; one that used up its attempts without an end fails instead."""
        del worker  # there is one process, whose end is the end of the jobs too
        now, leases = self._clock(), list[Lease]()
        for job in self._in_rounds(now, after):
            if len(leases) == limit:
                break
            if job.attempts < self._max_attempts:
                leases.append(self._lease(job, now, lease_s))
            else:
                detail = f"Begun {job.attempts} times without an end."
                outcome = Outcome(failure=Failure("attempts_exhausted", detail))
                self._ended(self._end(job, outcome), outcome)
        return leases

    async def renew(self, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float) -> frozenset[UUID]:
        """Extend leases and note the worker's sign of life; the tokens that still hold."""
        now = self._clock()
        until = now + timedelta(seconds=lease_s)
        self._workers[worker] = _Sign(capacity, now + self._live)
        jobs = {held.token: job_id for job_id, held in self._held.items() if held.token in set(tokens)}
        self._held.update({job_id: _Held(token, until) for token, job_id in jobs.items()})
        return frozenset(jobs)

    async def finish(self, lease: Lease, outcome: Outcome, entry: NewEntry | None = None) -> bool:
        """End a job. False for a lease that is over, or whose hold is."""
        job = self._leased(lease)
        if job is None or not self._holds.spend(job.request, lease.hold):
            return False
        self._end(job, outcome)
        if entry:
            await self._archive.cache.keep(entry)
        return True

    async def retry(self, lease: Lease, failure: Failure, delay_s: float) -> bool:
        """Put a job back, to be due in `delay_s` seconds. False for a lease that is over."""
        job = self._leased(lease)
        if job is not None:
            run_at = self._clock() + timedelta(seconds=delay_s)
            self._queue(replace(job, run_at=run_at, last_failure=failure))
        return job is not None

    async def release(self, lease: Lease) -> bool:
        """Hand a job back, and do not count the attempt. False for a lease that is over."""
        job = self._leased(lease)
        if job is not None:
            self._queue(replace(job, attempts=job.attempts - 1, run_at=self._clock()))
        return job is not None

    async def cancel(self, job_id: UUID) -> Job | None:
        """End an unfinished job as failed, `cancelled`. None where there is none."""
        return self._cancel(job_id)

    async def delete(self, job_id: UUID) -> Job | None:
        """Cancel and hide a job. None where there is none."""
        job = self._cancel(job_id)
        if job is not None:
            self._hide(job, timedelta(seconds=REMOVAL_S))
        return self._table.deleting(job_id) if job else None

    async def deleting(self, job_id: UUID) -> Job | None:
        """A job that is being deleted."""
        return self._table.deleting(job_id)

    async def get(self, job_id: UUID) -> Job | None:
        """One job."""
        return self._table.get(job_id)

    async def parameters(self, job_id: UUID) -> str | None:
        """The parameters of a job."""
        job = self._table.get(job_id)
        return job.request.parameters if job else None

    async def find(self, jobs: JobFilter) -> list[Job]:
        """Jobs, the newest first."""
        return list(islice((job for job in self._table.newest() if _matches(job, jobs)), jobs.limit))

    async def counts(self) -> QueueCounts:
        """How full the queue is."""
        now = self._clock()
        self._workers = {name: sign for name, sign in self._workers.items() if sign.until > now}
        unfinished = sum(len(jobs) for _, jobs in self._table.unfinished())
        capacity = sum(sign.capacity for sign in self._workers.values())
        return QueueCounts(unfinished - len(self._held), len(self._held), capacity)

    async def tenant_counts(self, tenant: str) -> TenantCounts:
        """How full the queue is of one tenant's jobs, and how many tenants share it."""
        jobs = [job for _, jobs in self._table.unfinished() for job in jobs]
        own = sum(job.state == "queued" for job in jobs if job.request.tenant == tenant)
        return TenantCounts(own, len({tenant, *(job.request.tenant for job in jobs)}))

    async def standing(self) -> Standing:
        """What is not over, and for how long."""
        now, jobs = self._clock(), [job for _, jobs in self._table.unfinished() for job in jobs]
        queued = (job.created_at if job.started_at else job.run_at for job in jobs if job.state == "queued")
        running = (job.started_at or job.created_at for job in jobs if job.state == "running")
        failing = sum(removal.attempts > 0 for removal in self._table.removals.values())
        deleting = waiting_since(self._table.hidden_since(), now)
        return Standing(waiting_since(queued, now), waiting_since(running, now), deleting, failing)

    async def finished(self) -> int:
        """How many jobs ended and are still kept."""
        return sum(self._table.finished_counts().values()) - self._table.hidden_count()

    async def recent(self) -> Recent:
        """What ended lately."""
        since = self._clock() - timedelta(seconds=RECENT_S)
        shown = (job for job in self._table.newest() if job.state != "deleting")
        ended = [job for job in shown if job.finished_at and job.finished_at > since]
        completed = [job for job in ended if job.state == "completed"]
        took = [(job.finished_at - job.created_at).total_seconds() for job in completed if job.finished_at]
        return Recent(len(completed), len(ended) - len(completed), fmean(took) if took else None)

    async def removable(self, limit: int, lease_s: float) -> list[Job]:
        """Jobs whose objects are to be removed by now."""
        jobs, removals = self._table.removable_by(self._clock())[:limit], self._table.removals
        until = self._clock() + timedelta(seconds=lease_s)
        removals.update({job.id: replace(removals[job.id], due_at=until) for job in jobs})
        return jobs

    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Of each of these jobs that there is, whether it has ended for good."""
        jobs = [job for job_id in job_ids if (job := self._table.get(job_id) or self._table.deleting(job_id))]
        return {job.id: job.finished and not self._archive.poison.is_open(job.id) for job in jobs}

    async def remove(self, job_ids: Sequence[UUID], since: datetime | None = None) -> frozenset[UUID]:
        """Note that their objects are gone; those that were deleted and are forgotten now."""
        now, removals = since or self._clock(), self._table.removals
        asked = {job_id: removals[job_id] for job_id in job_ids if job_id in removals}
        late = {job_id: one for job_id, one in asked.items() if one.writes_until > now}
        gone = [job for job_id in asked.keys() - late.keys() if (job := self._table.deleting(job_id))]
        for job in gone:
            self._archive.remove(job)
        for job_id in asked:
            removals.pop(job_id, None)
        removals.update({job_id: Removal(one.writes_until, one.writes_until) for job_id, one in late.items()})
        return frozenset(job.id for job in gone)

    async def postpone_removal(self, job_id: UUID, reason: str) -> None:
        """Note that objects could not be removed, to try it again later."""
        removal = self._table.removals.get(job_id)
        if removal is not None:
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(removal.attempts, 16))
            due_at = self._clock() + timedelta(seconds=pause_s)
            self._table.removals[job_id] = Removal(due_at, removal.writes_until, removal.attempts + 1, reason)

    async def expire(self, days: int) -> int:
        """Delete the jobs that ended so long ago; how many there were."""
        now = self._clock()
        old = self._table.ended_by(now - timedelta(days=days))
        for job in old:
            self._hide(job, timedelta(0))
        return len(old)

    def requeue(self, job_id: UUID) -> None:
        """Let a failed job begin anew."""
        job = self._table.get(job_id)
        if job is not None:
            now = self._clock()
            anew = replace(job, attempts=0, run_at=now, started_at=None, finished_at=None, outcome=None)
            self._table.removals.pop(job_id, None)
            self._queue(replace(anew, last_failure=None))

    def _submissions(self, requests: Sequence[NewJob]) -> list[Submission]:
        """What becomes of each request; jobs that were created are not in the table yet."""
        now = self._clock()
        coming: dict[Identity, Job] = {}
        submissions = []
        for request in requests:
            job = self._table.kept(request) or coming.get(identity_of(request))
            if job is None:
                coming[identity_of(request)] = job = self._table.new(request, now)
                submissions.append(Submission(job, "created"))
            else:
                same = job.request.fingerprint == request.fingerprint
                submissions.append(Submission(job, "known" if same else "conflict"))
        return submissions

    def _in_rounds(self, now: datetime, after: str) -> list[Job]:
        jobs = list(in_turn(self._table.unfinished(), self._user_concurrency))
        due = [job for job in jobs if self._due(job, now)]
        running = Counter(job.request.tenant for job in jobs if job.state == "running")
        running.subtract(job.request.tenant for job in due if job.state == "running")
        return in_rounds(due, running, after)

    def _due(self, job: Job, now: datetime) -> bool:
        held = self._held.get(job.id)
        return (held.until if held else job.run_at) <= now

    def _lease(self, job: Job, now: datetime, lease_s: float) -> Lease:
        running = replace(job, state="running", attempts=job.attempts + 1, started_at=now)
        held = _Held(uuid4(), now + timedelta(seconds=lease_s))
        self._held[job.id] = held
        self._table.put(running)
        self._signals.notify(str(job.id))
        return Lease(running, held.token)

    def _leased(self, lease: Lease) -> Job | None:
        held = self._held.get(lease.job.id)
        return self._table.get(lease.job.id) if held and held.token == lease.token else None

    def _queue(self, job: Job) -> None:
        self._held.pop(job.id, None)
        self._table.put(replace(job, state="queued"))
        self._tell(job)

    def _cancel(self, job_id: UUID) -> Job | None:
        job = self._table.get(job_id)
        return self._end(job, Outcome(failure=_CANCELLED)) if job and not job.finished else job

    def _end(self, job: Job, outcome: Outcome) -> Job:
        ended = replace(job, state=outcome.state, finished_at=self._clock(), outcome=outcome)
        deliveries = self._archive.announcements(ended)
        self._held.pop(job.id, None)
        self._archive.keep(ended, deliveries)
        if outcome.failure and _late(ended):
            self._table.removals[job.id] = Removal(self._clock() + self._late, self._clock() + self._late)
        self._tell(ended)
        return ended

    def _hide(self, job: Job, pause: timedelta) -> None:
        now = self._clock()
        ends = [job.finished_at or now] if _late(job) else []
        ends += [job.created_at] if job.request.source.startswith(FROM_KAFKA) else []
        self._archive.hide(job, now, Removal(now + pause, max(ends) + self._late if ends else now))

    def _tell(self, job: Job) -> None:
        """Wake who follows the job, and who works: it may be due, or a job that it kept waiting."""
        self._signals.notify(str(job.id))
        self._signals.notify(WORK)


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
