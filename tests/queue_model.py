"""What a queue must do, in the plainest words: lists and loops, no locks, no leases but the model's own."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from gateway.errors import PROBLEMS
from gateway.jobs.job import Job, Lease, NewJob, Outcome, SubmittedJob, TenantCounts
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import REMOVAL_S, BadMessage
from gateway.pipelines.outputs import Failure

OUTPUT_TOPIC, WEBHOOK = "mask_output", "https://example.com/hook"
Sent = tuple[str, bytes]
"""Where a delivery goes, and what it says."""


def announce(job: Job, outcome: Outcome) -> list[OutboxMessage]:
    """Two deliveries for each outcome, which say what it was."""
    assert job.finished
    return [
        OutboxMessage(kind, place, job.request.request_id, body) for kind, place, body in _announced(job.id, outcome)
    ]


def _announced(job_id: UUID, outcome: Outcome) -> Iterator[tuple[str, str, bytes]]:
    failure = outcome.failure and outcome.failure.code
    body = json.dumps([str(job_id), outcome.state, failure, dict(outcome.result)]).encode()
    yield "message", OUTPUT_TOPIC, body
    yield "webhook", WEBHOOK, body


@dataclass
class ModelDelivery:
    """A delivery that is owed, or was; due at a time of the model's clock."""

    job_id: UUID | None
    sent: Sent
    due_at: float
    state: str = "pending"


@dataclass
class ModelJob:
    """A job as it should be."""

    request: NewJob
    order: int
    run_at: float
    state: str = "queued"
    attempts: int = 0
    token: UUID | None = None
    lease_until: float = 0.0
    outcome: Outcome | None = None
    hidden: bool = False
    gone: bool = False
    created_at: float = 0.0
    writes_until: float = 0.0
    removal_at: float | None = None

    @property
    def finished(self) -> bool:
        return self.outcome is not None

    @property
    def turn(self) -> tuple[bool, int, int]:
        return self.state != "running", -self.request.priority, self.order

    @property
    def row(self) -> tuple[str, int, str | None]:
        """What a listing shows of it."""
        failure = self.outcome.failure if self.outcome else None
        return self.state, self.attempts, failure and failure.code


@dataclass
class Model:
    """The whole queue; `now` in seconds."""

    user_concurrency: int
    max_attempts: int
    late_s: float
    now: float = 0.0
    jobs: list[ModelJob] = field(default_factory=list)
    deliveries: list[ModelDelivery] = field(default_factory=list)
    poisoned_jobs: dict[UUID, str] = field(default_factory=dict)
    poisoned_messages: dict[tuple[str, bytes], bool] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)

    def of(self, job_id: UUID) -> ModelJob:
        return next(job for job in self.jobs if job.request.id == job_id)

    def submit(self, request: NewJob) -> tuple[UUID, str]:
        """The id of the job that is kept, and what the answer must be."""
        for job in self.jobs:
            if not job.hidden and _identity(job.request) == _identity(request):
                return job.request.id, "known" if job.request.fingerprint == request.fingerprint else "conflict"
        job = ModelJob(request, len(self.jobs), self.now, created_at=self.now)
        self.jobs.append(job)
        if request.outcome:
            self.end(job, request.outcome)
        return request.id, "created"

    def check_submissions(self, requests: Sequence[NewJob], submissions: Sequence[SubmittedJob]) -> None:
        expected = [self.submit(request) for request in requests]
        assert [(submission.job.id, submission.result) for submission in submissions] == expected

    def add_poison(self, poison: BadMessage) -> None:
        message = (poison.origin, poison.value)
        if message not in self.poisoned_messages:
            self.poisoned_messages[message] = True
            self._owe(None, (poison.outbox_message.destination, poison.outbox_message.body))

    def due(self, after: str = "") -> list[ModelJob]:
        """Jobs that a claim may take, in the order in which it takes them where a job of `after` was the last."""
        first = [job for job in self.jobs if not job.finished and self._has_turn(job)]
        ready = [job for job in first if (job.lease_until if job.state == "running" else job.run_at) <= self.now]
        ready.sort(key=lambda job: (-job.request.priority, job.order))
        under_way = [job for job in self.jobs if job.state == "running" and job.lease_until > self.now]
        running = Counter(job.request.tenant for job in under_way)
        ordered: list[ModelJob] = []
        while ready:
            tenants = sorted({job.request.tenant for job in ready})
            tenants = [one for one in tenants if one > after] + [one for one in tenants if one <= after]
            fewest = min(tenants, key=lambda tenant: running[tenant])
            job = next(job for job in ready if job.request.tenant == fewest)
            running[fewest] += 1
            ready.remove(job)
            ordered.append(job)
        return ordered

    def exhausted(self) -> list[ModelJob]:
        return [job for job in self.due() if job.attempts >= self.max_attempts]

    def claimable(self, after: str = "") -> list[ModelJob]:
        return [job for job in self.due(after) if job.attempts < self.max_attempts]

    def tenant_counts(self, tenant: str) -> TenantCounts:
        unfinished = [job for job in self.jobs if not job.finished]
        queued = [job for job in unfinished if job.state == "queued" and job.request.tenant == tenant]
        return TenantCounts(len(queued), len({job.request.tenant for job in unfinished} | {tenant}))

    def lease(self, lease: Lease, lease_s: float) -> None:
        """Note a lease that the queue gave."""
        job = self.of(lease.job.id)
        assert lease.token not in {earlier.token for earlier in self.leases}
        job.state, job.token, job.lease_until = "running", lease.token, self.now + lease_s
        job.attempts += 1
        self.leases.append(lease)
        assert (lease.job.state, lease.job.attempts) == ("running", job.attempts)
        assert replace(lease.job.request, outcome=None) == replace(job.request, outcome=None)

    def holds(self, lease: Lease) -> bool:
        """Whether a lease lets its worker end the job: it may be late, as long as nobody else has the job."""
        job = self.of(lease.job.id)
        return job.state == "running" and job.token == lease.token

    def overtaken(self) -> list[Lease]:
        """Leases of jobs that run under another."""
        return [one for one in self.leases if self.of(one.job.id).state == "running" and not self.holds(one)]

    def put_back(self, lease: Lease, delay_s: float, *, counted: bool) -> None:
        job = self.of(lease.job.id)
        job.state, job.run_at = "queued", self.now + delay_s
        job.attempts -= not counted

    def end(self, job: ModelJob, outcome: Outcome) -> None:
        assert not job.finished
        job.state, job.outcome = outcome.state, outcome
        code = outcome.failure and outcome.failure.code
        late = job.attempts > 1 or (job.attempts == 1 and code in {"cancelled", "attempts_exhausted"})
        job.writes_until = self.now + self.late_s if late else 0.0
        job.removal_at = job.writes_until if late and code else None
        for _, place, body in _announced(job.request.id, outcome):
            self._owe(job.request.id, (place, body))
        failure = outcome.failure
        if failure and job.request.source.startswith("kafka:") and PROBLEMS[failure.code].status >= 500:
            self.poisoned_jobs[job.request.id] = failure.code

    def cancel(self, job: ModelJob) -> None:
        if not job.finished:
            self.end(job, Outcome(failure=Failure("cancelled", "")))
            job.token = None

    def hide(self, job: ModelJob) -> None:
        self.cancel(job)
        job.hidden, job.removal_at = True, self.now + REMOVAL_S
        if job.request.source.startswith("kafka:"):
            job.writes_until = max(job.writes_until, job.created_at + self.late_s)
        self.poisoned_jobs.pop(job.request.id, None)

    def removable(self) -> set[UUID]:
        """Jobs whose objects are to be removed by now."""
        return {job.request.id for job in self._removable()}

    def remove(self) -> set[UUID]:
        """Their objects are gone; those that are forgotten."""
        removable = self._removable()
        for job in removable:
            late = job.writes_until > self.now
            job.gone = job.hidden and not late
            job.removal_at = job.writes_until if late else None
        return {job.request.id for job in removable if job.gone}

    def requeue(self, job: ModelJob) -> None:
        job.writes_until, job.removal_at = 0.0, None
        job.state, job.attempts, job.run_at, job.outcome, job.token = "queued", 0, self.now, None, None

    def owe_message(self, topic: str, value: bytes) -> None:
        self._owe(None, (topic, value))

    def visible(self) -> list[ModelJob]:
        """Newest first."""
        return [job for job in reversed(self.jobs) if not job.hidden]

    def deliverable(self) -> Counter[Sent]:
        return Counter(
            delivery.sent for delivery in self.deliveries if delivery.state == "pending" and delivery.due_at <= self.now
        )

    def deliver(self, state: str, lease_s: float) -> None:
        """Everything that could be taken was, and came to this end; `pending` for a relay that died."""
        for delivery in self.deliveries:
            if delivery.state == "pending" and delivery.due_at <= self.now:
                delivery.state, delivery.due_at = state, self.now + lease_s

    def of_job(self, job_id: UUID) -> list[str]:
        """The states of a job's deliveries."""
        return [delivery.state for delivery in self.deliveries if delivery.job_id == job_id]

    def resend(self, job_id: UUID) -> int:
        failed = [one for one in self.deliveries if one.job_id == job_id and one.state == "failed"]
        for delivery in failed:
            delivery.state, delivery.due_at = "pending", self.now
        return len(failed)

    def _removable(self) -> list[ModelJob]:
        return [job for job in self.jobs if job.removal_at is not None and job.removal_at <= self.now]

    def _owe(self, job_id: UUID | None, sent: Sent) -> None:
        self.deliveries.append(ModelDelivery(job_id, sent, self.now))

    def _has_turn(self, job: ModelJob) -> bool:
        user = job.request.owner
        others = [one for one in self.jobs if one.request.owner == user and not one.finished]
        return not user or job in sorted(others, key=lambda one: one.turn)[: self.user_concurrency]


def _identity(request: NewJob) -> tuple[str, str, str]:
    return request.tenant, request.user_id, request.request_id
