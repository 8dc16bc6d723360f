"""The cache in memory."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice

from typing_extensions import override

from gateway.cache.cache import (
    NOTHING,
    Cache,
    CachedTask,
    CacheHit,
    CacheKey,
    CacheStats,
    NewEntry,
    Similarity,
    Traffic,
    regions_of,
    size_of,
    status_of,
    still,
)
from gateway.memory import Clock
from gateway.settings import Settings
from vision.photo import differing_bits

_SHARE = 4
"""The cache may take a quarter of what photos and artifacts may."""


@dataclass(frozen=True)
class _Kept:
    """An entry, its size and its hits."""

    entry: NewEntry
    until: datetime
    size: int
    hits: int = 0


class MemoryCache(Cache):
    """Results, and for each tenant their keys, the least recently used first."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._limit = min(settings.cache_max_bytes, settings.memory_store_bytes // _SHARE)
        self._clock = clock
        self._kept: dict[bytes, _Kept] = {}
        self._used: dict[str, OrderedDict[bytes, None]] = {}
        self._bytes = Counter[str]()
        self._traffic: dict[date, Traffic] = {}

    @override
    async def find(self, key: CacheKey) -> CacheHit | None:
        kept = self._kept.get(key.digest)
        return _hit(kept) if kept and kept.until > self._clock() else None

    @override
    async def find_similar(self, similarity: Similarity, bits: int) -> CacheHit | None:
        near = min(self._near(similarity, bits), key=lambda found: found[0], default=None)
        return _hit(near[1]) if near else None

    @override
    async def keep(self, entry: NewEntry) -> None:
        self._drop(entry.key.digest)
        kept = _Kept(entry, self._clock() + timedelta(seconds=entry.life_s), size_of(entry))
        self._kept[entry.key.digest] = kept
        self._used.setdefault(entry.key.tenant, OrderedDict())[entry.key.digest] = None
        self._bytes[entry.key.tenant] += kept.size
        self._evict()

    def forget(self, task_id: str) -> None:
        """Drop the results that a job brought about."""
        for digest in [digest for digest, kept in self._kept.items() if kept.entry.task_id == task_id]:
            self._drop(digest)

    @override
    def alone(self, _key: CacheKey) -> AbstractAsyncContextManager[None]:
        """There is no other process."""
        return nullcontext()

    @override
    def count(self, served: CacheHit | NewEntry) -> None:
        today = self._clock().date()
        self._traffic[today] = self._traffic.get(today, NOTHING) + Traffic.of(served)
        if isinstance(served, CacheHit) and (kept := self._kept.get(served.key.digest)):
            self._kept[served.key.digest] = replace(kept, hits=kept.hits + 1)
            self._used[kept.entry.key.tenant].move_to_end(served.key.digest)

    @override
    async def stats(self, days: int) -> CacheStats:
        today = self._clock().date()
        sums = sum((traffic for day, traffic in self._traffic.items() if (today - day).days < days), NOTHING)
        return CacheStats(days=days, **vars(sums), entries=len(self._kept), bytes=self._bytes.total())

    @override
    async def recent(self, limit: int, tenant: str = "") -> list[CachedTask]:
        own = (kept for kept in self._kept.values() if kept.entry.key.tenant == tenant)
        newest = sorted(own, key=lambda kept: kept.entry.submitted_at, reverse=True)
        return [_task(kept) for kept in islice(newest, limit)]

    @override
    async def cleanup(self, _alive: Callable[[], None] = still) -> int:
        now = self._clock()
        old = [digest for digest, kept in self._kept.items() if kept.until <= now]
        for digest in old:
            self._drop(digest)
        return len(old)

    def _near(self, similarity: Similarity, bits: int) -> Iterator[tuple[int, _Kept]]:
        now = self._clock()
        for kept in self._kept.values():
            other = kept.entry.similarity
            if kept.until > now and other and other.group == similarity.group:
                distance = differing_bits(similarity.photo_hash, other.photo_hash)
                if distance <= bits and similarity.alike(other.landmarks):
                    yield distance, kept

    def _drop(self, digest: bytes) -> None:
        kept = self._kept.pop(digest, None)
        if kept is None:
            return
        tenant = kept.entry.key.tenant
        self._bytes[tenant] -= kept.size
        del self._used[tenant][digest]
        if not self._used[tenant]:
            del self._used[tenant], self._bytes[tenant]

    def _evict(self) -> None:
        while self._bytes.total() > self._limit:
            richest = max(self._bytes, key=lambda tenant: self._bytes[tenant])
            self._drop(next(iter(self._used[richest])))


def _hit(kept: _Kept) -> CacheHit:
    return CacheHit(kept.entry.key, kept.entry.value)


def _task(kept: _Kept) -> CachedTask:
    entry, value = kept.entry, kept.entry.value
    return CachedTask(
        task_id=entry.task_id,
        pipeline=entry.key.pipeline,
        status=status_of(value),
        submitted_at=entry.submitted_at,
        processing_ms=value.processing_ms,
        regions=regions_of(value),
        hits=kept.hits,
        error_type=value.failure.code if value.failure else None,
    )
