"""Results in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import anyio
import asyncpg

from gateway.cache.cache import (
    Cache,
    CachedTask,
    CacheHit,
    CacheKey,
    CacheStats,
    CacheTotals,
    KeyedLocks,
    NewEntry,
    NullCache,
    Similarity,
    Tally,
    still,
)
from gateway.errors import Problem
from gateway.postgres.database import Database
from gateway.postgres.eviction import forget_some, remove_some
from gateway.postgres.likenesses import find_digest_like
from gateway.postgres.locks import Locks, RowLocks, SessionLocks
from gateway.postgres.pool import Pool, Work
from gateway.postgres.results import find_entry, keep_entry, recent_entries
from gateway.postgres.traffic import note, read_stats, read_totals
from gateway.settings import Settings

T = TypeVar("T")

_NOTE_S = 1.0
"""How often hits are noted: a hit that wrote to the disk would not be quick."""


class PostgresCache(Cache):
    """Results in PostgreSQL. Every method that waits raises Problem `store_unavailable`."""

    def __init__(self, settings: Settings, pool: Pool, locks: Locks) -> None:
        self._max_bytes = settings.cache_max_bytes
        self._pool = pool
        self._quick = pool.impatient()
        self._here = KeyedLocks()
        self._everywhere = locks
        self._tally = Tally()

    async def find(self, key: CacheKey) -> CacheHit | None:
        """The result under this very key."""
        return await self._quickly(lambda connection: find_entry(connection, key.digest.hex()))

    async def find_similar(self, similarity: Similarity, bits: int) -> CacheHit | None:
        """The nearest result that is near enough."""
        digest = await self._quickly(lambda connection: find_digest_like(connection, similarity, bits))
        return await self._quickly(lambda connection: find_entry(connection, digest)) if digest else None

    async def keep(self, entry: NewEntry) -> None:
        """Keep a result."""
        await self._quickly(lambda connection: keep_entry(connection, entry))

    @asynccontextmanager
    async def alone(self, key: CacheKey) -> AsyncIterator[None]:
        """Wait until nobody else computes this result; of each process one waits for the others'."""
        async with self._here.held(key.digest), self._everywhere.held(key.digest):
            yield

    def count(self, served: CacheHit | NewEntry) -> None:
        """Count a request; it is noted within a second."""
        self._tally.count(served)

    async def stats(self, days: int) -> CacheStats:
        """Figures of the last days."""
        await self.note()
        return await self._pool.transact(lambda connection: read_stats(connection, days))

    async def recent(self, limit: int, tenant: str = "") -> list[CachedTask]:
        """A tenant's entries, the newest first."""
        await self.note()
        return await self._pool.run(lambda connection: recent_entries(connection, limit, tenant))

    async def totals(self) -> CacheTotals:
        """Figures of all time."""
        await self.note()
        return await self._pool.transact(read_totals)

    async def cleanup(self, alive: Callable[[], None] = still) -> int:
        """Remove what is too old or too much, portion by portion; how many results."""
        removed = 0
        while some := await self._pool.transact(lambda connection: remove_some(connection, self._max_bytes)):
            removed += some
            alive()
        while await self._pool.transact(forget_some):
            alive()
        return removed

    async def note(self) -> None:
        """Note what was counted."""
        counted = self._tally.take()
        if not counted.traffic:
            return
        try:
            with _away():
                await self._pool.transact(lambda connection: note(connection, counted))
        except (Problem, asyncio.CancelledError):
            self._tally.put_back(counted)
            raise

    async def note_forever(self) -> None:
        """Note what was counted until cancelled."""
        while True:
            await anyio.sleep(_NOTE_S)
            with suppress(Problem):  # it is counted still
                await self.note()

    async def _quickly(self, work: Work[T]) -> T:
        with _away():
            return await self._quick.run(work)


@contextmanager
def _away() -> Iterator[None]:
    """What PostgreSQL refuses, such as tables that somebody moved or withheld, as Problem `store_unavailable`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise Problem("store_unavailable", f"PostgreSQL refused: {error}", retry_after=2) from error


@asynccontextmanager
async def open_cache(settings: Settings, database: Database, pool: Pool) -> AsyncIterator[Cache]:
    """The cache for as long as the context lasts; one that keeps nothing with CACHE_ENABLED=false."""
    if not settings.cache_enabled:
        yield NullCache()
        return
    lasting, names = database.lasting, database.names
    locks = SessionLocks(lasting, names) if lasting else RowLocks(names, pool)
    cache = PostgresCache(settings, pool, locks)
    noting = asyncio.create_task(cache.note_forever())
    try:
        yield cache
    finally:
        noting.cancel()
        await asyncio.wait([noting])
        with suppress(Problem):
            await cache.note()
        await locks.close()
