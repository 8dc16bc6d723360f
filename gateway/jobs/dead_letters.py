"""Messages and jobs that were given up, until somebody looks at them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from typing_extensions import override

from gateway.errors import Problem
from gateway.jobs.job import Job, Waiting
from gateway.jobs.outbox import OutboxMessage
from gateway.results import Failure

FROM_KAFKA = "kafka:"
"""Of a job's source."""


def dead_letter_origin(job: Job, failure: Failure | None) -> str | None:
    """Where the message came from, if the job came as one and failed in vain: not by its sender's mistake."""
    source = job.request.source
    if failure is None or not source.startswith(FROM_KAFKA):
        return None
    return source.removeprefix(FROM_KAFKA) if Problem(failure.code, failure.detail).transient else None


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
