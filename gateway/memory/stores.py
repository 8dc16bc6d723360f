"""Everything that keeps something, in memory."""

from dataclasses import dataclass

from gateway.access.audit import AuditLog
from gateway.access.files import FileAudit, FileKeys
from gateway.access.keys import KeyBook
from gateway.cache.cache import Cache
from gateway.cache.null import NullCache
from gateway.jobs.deliveries import Announce
from gateway.jobs.signals import Signals
from gateway.jobs.store import Ended, unheard
from gateway.memory.archive import Archive
from gateway.memory.bucket import MemoryBucket
from gateway.memory.cache import MemoryCache
from gateway.memory.clock import Clock, system_clock
from gateway.memory.holds import MemoryHolds
from gateway.memory.jobs import MemoryJobs
from gateway.memory.outbox import MemoryOutbox
from gateway.memory.poison import MemoryPoison, PoisonEntries
from gateway.memory.room import Room
from gateway.memory.shelf import Shelf
from gateway.memory.table import JobTable
from gateway.settings import Settings

_PHOTOS_SHARE = 0.75
"""Of the memory; the rest lets jobs end whose photos fill it."""


@dataclass(frozen=True)
class MemoryStores:
    """The stores, and the signals that say what changed in them; keys and the audit log, which must last, in files."""

    jobs: MemoryJobs
    holds: MemoryHolds
    outbox: MemoryOutbox
    poison: MemoryPoison
    photos: MemoryBucket
    artifacts: MemoryBucket
    signals: Signals
    cache: Cache
    keys: KeyBook
    audit: AuditLog


def memory_stores(
    settings: Settings, announce: Announce, clock: Clock = system_clock, ended: Ended = unheard
) -> MemoryStores:
    """Empty stores; to be used from one event loop alone."""
    signals, table, photos, artifacts = Signals(), JobTable(), Shelf(), Shelf()
    outbox, entries = MemoryOutbox(signals, clock), PoisonEntries(clock)
    cache = MemoryCache(settings, clock) if settings.cache_enabled else NullCache()
    holds = MemoryHolds(clock)
    archive = Archive(table, outbox, entries, photos, artifacts, cache, announce, holds)
    jobs = MemoryJobs(settings, table, archive, holds, signals, clock, ended)
    room = Room(settings.memory_store_bytes, (photos, artifacts), archive.shed)
    photo_room = Room(int(settings.memory_store_bytes * _PHOTOS_SHARE), (photos,))
    return MemoryStores(
        jobs,
        holds,
        outbox,
        MemoryPoison(entries, outbox, jobs.requeue, settings.kafka_topic_input),
        MemoryBucket(photos, (photo_room, room)),
        MemoryBucket(artifacts, (room,)),
        signals,
        cache,
        FileKeys(settings),
        FileAudit(settings),
    )
