"""Everything that is kept in memory."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from typing_extensions import override

from gateway.access.audit import AuditLog, FileAudit
from gateway.access.keys import FileKeys, KeyStore
from gateway.cache.cache import Cache, NullCache
from gateway.jobs.dead_letters import DeadLetter, DeadLetters
from gateway.jobs.job import Waiting
from gateway.jobs.outbox import MessageMaker
from gateway.jobs.store import Ended, Signals, unheard
from gateway.memory.cache import MemoryCache
from gateway.memory.endings import Endings
from gateway.memory.jobs import MemoryJobs
from gateway.memory.locks import MemoryArtifactLocks
from gateway.memory.objects import MemoryBucket, MemoryLimit, Objects
from gateway.memory.outbox import MemoryOutbox
from gateway.memory.table import Clock, JobTable
from gateway.settings import Settings

_PHOTOS_SHARE = 0.75
"""Photos may take so much of the memory; the rest is for masks, so that the jobs of those photos can end."""


@dataclass(frozen=True)
class MemoryStores:
    """The stores, and the signals that say what changed in them; keys and the audit log, which must last, in files."""

    jobs: MemoryJobs
    locks: MemoryArtifactLocks
    outbox: MemoryOutbox
    poison: DeadLetters
    photos: MemoryBucket
    artifacts: MemoryBucket
    signals: Signals
    cache: Cache
    keys: KeyStore
    audit: AuditLog


def system_clock() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


def memory_stores(
    settings: Settings, messages_of: MessageMaker, clock: Clock = system_clock, ended: Ended = unheard
) -> MemoryStores:
    """Empty stores; to be used from one event loop alone."""
    signals, table, photos, artifacts = Signals(), JobTable(), Objects(), Objects()
    outbox, locks = MemoryOutbox(signals, clock), MemoryArtifactLocks(clock)
    cache = MemoryCache(settings, clock) if settings.cache_enabled else NullCache()
    endings = Endings(table, outbox, photos, artifacts, cache, messages_of, locks)
    limit = MemoryLimit(settings.memory_store_bytes, (photos, artifacts), endings.shed)
    photo_limit = MemoryLimit(int(settings.memory_store_bytes * _PHOTOS_SHARE), (photos,))
    return MemoryStores(
        MemoryJobs(settings, table, endings, locks, signals, clock, ended),
        locks,
        outbox,
        NoDeadLetters(),
        MemoryBucket(photos, (photo_limit, limit)),
        MemoryBucket(artifacts, (limit,)),
        signals,
        cache,
        FileKeys(settings),
        FileAudit(settings),
    )


class NoDeadLetters(DeadLetters):
    """There are none: they come of Kafka's messages, which need PostgreSQL."""

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
