"""The poison book in memory."""

import hashlib
from collections.abc import Callable
from itertools import count
from uuid import UUID

from gateway.jobs.dead_letters import BadMessage, DeadLetter, DeadLetters, dead_letter_origin
from gateway.jobs.job import Job, Waiting
from gateway.jobs.outbox import OutboxMessage
from gateway.memory.clock import Clock, waiting_since
from gateway.memory.outbox import MemoryOutbox
from gateway.results import Failure


class PoisonEntries:
    """Open entries, the messages they are about, and which messages ever had one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ids = count(1)
        self._seen: set[tuple[str, bytes]] = set()
        self._messages: dict[int, BadMessage] = {}
        self.open: dict[int, DeadLetter] = {}

    def add_message(self, poison: BadMessage) -> bool:
        """Keep a message; False where it came before."""
        identity = (poison.origin, hashlib.sha256(poison.value).digest())
        if identity in self._seen:
            return False
        self._seen.add(identity)
        self._messages[self._add(None, poison.origin, poison.failure, poison.attempts, len(poison.value))] = poison
        return True

    def add_job(self, job: Job, failure: Failure | None) -> bool:
        """Keep a job that came as a message and was worked on in vain; False for another."""
        origin = dead_letter_origin(job, failure)
        if not failure or not origin:
            return False
        self._add(job.id, origin, failure, job.attempts, 0)
        return True

    def close(self, entry_id: int) -> BadMessage | UUID | None:
        """Close an entry; its message or its job. None where there is no such open entry."""
        entry = self.open.pop(entry_id, None)
        return self._messages.pop(entry_id, entry.job_id) if entry else None

    def is_open(self, job_id: UUID) -> bool:
        """Whether there is an open entry about this job."""
        return any(entry.job_id == job_id for entry in self.open.values())

    def forget(self, job_id: UUID) -> None:
        """Close a job's entry, if there is one."""
        for entry_id in [entry.id for entry in self.open.values() if entry.job_id == job_id]:
            self.close(entry_id)

    def standing(self) -> Waiting:
        """How many are open."""
        return waiting_since((entry.created_at for entry in self.open.values()), self._clock())

    def _add(self, job_id: UUID | None, origin: str, failure: Failure, attempts: int, size: int) -> int:
        entry = DeadLetter(next(self._ids), job_id, origin, failure, attempts, size, self._clock())
        self.open[entry.id] = entry
        return entry.id


class MemoryPoison(DeadLetters):
    """The entries, and what can be done with them; `requeue` puts a failed job back into the queue."""

    def __init__(
        self, entries: PoisonEntries, outbox: MemoryOutbox, requeue: Callable[[UUID], None], input_topic: str
    ) -> None:
        self._entries = entries
        self._outbox = outbox
        self._requeue = requeue
        self._input_topic = input_topic
        self._replayed: set[tuple[UUID, UUID]] = set()

    async def entries(self, limit: int, before: int | None = None) -> list[DeadLetter]:
        """The newest first."""
        page = [entry for entry in self._entries.open.values() if before is None or entry.id < before]
        return page[::-1][:limit]

    async def standing(self) -> Waiting:
        """How many are open."""
        return self._entries.standing()

    async def replay(self, entry_id: int) -> bool:
        """Close an entry and work on it again. False where there is no such open entry."""
        closed = self._entries.close(entry_id)
        if isinstance(closed, UUID):
            self._requeue(closed)
        elif closed is not None:
            self._outbox.add(None, [self._message(closed)])
        return closed is not None

    async def replay_job(self, job_id: UUID, by: UUID) -> bool:
        """Replay the open entry about a job, at a message's wish. False where there is none, or it did so before."""
        ids = [entry.id for entry in self._entries.open.values() if entry.job_id == job_id]
        if not ids or (job_id, by) in self._replayed:
            return False
        self._replayed.add((job_id, by))
        return await self.replay(ids[0])

    async def drop(self, entry_id: int) -> bool:
        """Close an entry for good. False where there is no such open entry."""
        return self._entries.close(entry_id) is not None

    async def prune(self, _days: int) -> int:
        """None: what was closed is not kept."""
        return 0

    def _message(self, poison: BadMessage) -> OutboxMessage:
        key = (poison.key or b"").decode(errors="replace")
        return OutboxMessage("message", self._input_topic, key, poison.value, {"attempts": str(poison.attempts)})
