"""What PostgreSQL and memory must do: keep jobs, dead letters, and locks on the names of artifacts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from typing_extensions import override

from gateway.cache.cache import NewEntry
from gateway.errors import PROBLEMS
from gateway.jobs.job import (
    ArtifactLock,
    Job,
    JobFilter,
    Lease,
    LockName,
    NewJob,
    Outcome,
    QueueCounts,
    Recent,
    Standing,
    SubmittedJob,
    TenantCounts,
    Waiting,
)
from gateway.jobs.outbox import OutboxMessage
from gateway.pipelines.outputs import Failure

CANCELLED = Outcome(failure=Failure("cancelled", PROBLEMS["cancelled"].example))
LIVE_LEASES = 3
"""A worker counts as dead if it has not renewed its leases for so many times LEASE_S."""
LATE_WRITES_S = 30.0
"""How long a write to the object store may still be under way after the writer's lease is over."""
REMOVAL_S = 10.0
"""So long the gateway that deletes a job has for its objects, before a janitor comes to it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 600.0
"""Before a removal that failed is tried again: twice as long with each failure."""


def exhausted(attempts: int) -> Outcome:
    """The end of a job that was begun too often."""
    return Outcome(failure=Failure("attempts_exhausted", f"Begun {attempts} times without an end."))


@dataclass(frozen=True)
class BadMessage:
    """A message that no job could be made of, as it came; `origin` is its topic/partition/offset.

    `attempts` counts how often it was read, as it says itself where it was sent again.
    """

    origin: str
    key: bytes | None
    value: bytes
    failure: Failure
    outbox_message: OutboxMessage
    attempts: int = 1


Ended = Callable[[Job, Outcome], None]
"""Hears of a job that the store itself ended: one that was begun too often."""


def unheard(_job: Job, _outcome: Outcome) -> None:
    """Does nothing: nobody counts the jobs that the store ends."""


WORK = "work"
OUTBOX = "outbox"
"""Topics beside the ids of jobs: a job is due; a delivery is due."""


class JobStore(Protocol):
    """Jobs and their order. Invariants: one live lease a job; one outcome a job; nothing accepted is lost.

    Every method raises Problem `store_unavailable` where the database cannot be reached in time.
    """

    async def submit(self, jobs: Sequence[NewJob], bad_messages: Sequence[BadMessage] = ()) -> list[SubmittedJob]:
        """Keep all or nothing; a (tenant, user_id, request_id) is kept once, a message's (origin, value) too."""

    async def claim(self, worker: str, limit: int, lease_s: float, after: str = "") -> list[Lease]:
        """Take due jobs, one tenant after the other: first of the tenant that has the fewest running ones.

        Of tenants that have equally many, the next by name after `after` comes first: the tenant whose job the same
        worker took last. A tenant's jobs come by priority and age, at most USER_CONCURRENCY of one user at a time.
        Jobs whose lease is over are taken again; one that was begun more than MAX_RETRIES + 1 times fails with
        `attempts_exhausted` instead.
        """

    async def renew(self, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float) -> frozenset[UUID]:
        """Extend leases and say that the worker lives; the tokens that still hold."""

    async def finish(self, lease: Lease, outcome: Outcome, entry: NewEntry | None = None) -> bool:
        """End a job in one transaction: its row, `user_mask_outputs`, the outbox, and the result for the cache.

        False, and nothing done, for a lease that is over, or whose lock on the artifacts' keys is. The lock ends too.
        """

    async def retry(self, lease: Lease, failure: Failure, delay_s: float) -> bool:
        """Put a job back, to be due in `delay_s` seconds. False for a lease that is over."""

    async def release(self, lease: Lease) -> bool:
        """Hand a job back unstarted: due at once, and the attempt not counted. False for a lease that is over."""

    async def cancel(self, job_id: UUID) -> Job | None:
        """End an unfinished job as failed, `cancelled`; a finished one is left as it is. None where there is none."""

    async def delete(self, job_id: UUID) -> Job | None:
        """Cancel a job, and let it be `deleting` until its objects are removed. None where there is none."""

    async def deleting(self, job_id: UUID) -> Job | None:
        """A job that is being deleted. None where there is none."""

    async def get(self, job_id: UUID) -> Job | None:
        """One job; none that is being deleted."""

    async def find(self, jobs: JobFilter) -> list[Job]:
        """Jobs, the newest first. Where what the model found is large, it may be left out."""

    async def parameters(self, job_id: UUID) -> str | None:
        """The parameters of a job that is there, as `NewJob` has them; the jobs of leases alone are read with them."""

    async def counts(self) -> QueueCounts:
        """How full the queue is."""

    async def tenant_counts(self, tenant: str) -> TenantCounts:
        """How full the queue is of one tenant's jobs, and how many tenants share it."""

    async def standing(self) -> Standing:
        """What is not over, and for how long."""

    async def finished(self) -> int:
        """How many jobs ended. The number may be a little old, because counting millions takes long."""

    async def recent(self) -> Recent:
        """What ended lately."""

    async def removable(self, limit: int, lease_s: float) -> list[Job]:
        """Jobs whose objects are to be removed by now, kept from other janitors for `lease_s` seconds.

        Deleted ones, and failed ones during whose last attempts artifacts may have been written.
        """

    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Of each of these jobs that there is, whether it has ended for good: nobody can replay it."""

    async def remove(self, job_ids: Sequence[UUID], since: datetime | None = None) -> frozenset[UUID]:
        """Note that the objects of these jobs are gone, as of `since` or of now; return the jobs forgotten by that.

        A deleted job into whose objects a worker may still write is `removable` once more when none can.
        """

    async def postpone_removal(self, job_id: UUID, reason: str) -> None:
        """Note that objects could not be removed; the job is `removable` again after a pause that grows."""

    async def expire(self, days: int) -> int:
        """Delete some of the jobs that ended so long ago; how many, none when no more are left."""


@dataclass(frozen=True)
class DeadLetter:
    """An open entry: a message as it came, or a job (`job_id`) that used up its attempts."""

    id: int
    job_id: UUID | None
    origin: str
    failure: Failure
    attempts: int
    size: int
    created_at: datetime


class DeadLetters(Protocol):
    """Open entries. Every method raises Problem `store_unavailable`."""

    async def entries(self, limit: int, before: int | None = None) -> list[DeadLetter]:
        """The newest first; `before` is the id where the page before ended."""

    async def standing(self) -> Waiting:
        """How many are open."""

    async def replay(self, entry_id: int) -> bool:
        """Close an entry and work on it again: its job is queued anew, its message goes to the input topic again.

        False where there is no such open entry.
        """

    async def replay_job(self, job_id: UUID, by: UUID) -> bool:
        """Replay the open entry about a job, at a message's wish. False where there is none.

        False also for a message that had an entry of this job replayed before; `by` is the id of the message's own job.
        """

    async def drop(self, entry_id: int) -> bool:
        """Close an entry for good. False where there is no such open entry."""

    async def prune(self, days: int) -> int:
        """Remove some of the entries that were closed so long ago; how many, none when no more are left."""


class NoDeadLetters(DeadLetters):
    """There are none without PostgreSQL: without it, nothing comes from Kafka."""

    @override
    async def entries(self, limit: int, before: int | None = None) -> list[DeadLetter]:
        return []

    @override
    async def standing(self) -> Waiting:
        return Waiting()

    @override
    async def replay(self, entry_id: int) -> bool:
        return False

    @override
    async def replay_job(self, job_id: UUID, by: UUID) -> bool:
        return False

    @override
    async def drop(self, entry_id: int) -> bool:
        return False

    @override
    async def prune(self, days: int) -> int:
        return 0


class ArtifactLocks(Protocol):
    """Which names are locked. Every method raises Problem `store_unavailable`."""

    async def take(self, name: LockName, life_s: float) -> ArtifactLock | None:
        """Lock a name for so many seconds; None while another has it."""

    async def release(self, lock: ArtifactLock) -> None:
        """Let the next one have it."""

    async def leave(self, lock: ArtifactLock, life_s: float) -> None:
        """Let it lapse in so many seconds."""

    async def lapsed(self, limit: int) -> Sequence[LockName]:
        """Names that were not released in time: their writers died, or left requests behind."""
