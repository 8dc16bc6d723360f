"""The cache in PostgreSQL: finds, keeps and removes results, counts hits, and locks results that are computed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TypeVar
from uuid import uuid4

import anyio
import asyncpg
from typing_extensions import override

from gateway.cache.cache import (
    Cache,
    CachedTask,
    CacheHit,
    CacheKey,
    CacheStats,
    NewEntry,
    Similarity,
    Tally,
    still,
)
from gateway.errors import Problem
from gateway.postgres.connection import Connection, Row, change
from gateway.postgres.pool import Pool, Work
from gateway.postgres.results import find_entry, find_similar, keep_entry, recent_entries
from gateway.settings import Settings
from gateway.timing import Backoff

T = TypeVar("T")

METRICS_DAYS = 30

_MOST = 1000
_MOST_BYTES = 64 * 1024 * 1024
"""Of large results, fewer are removed at a time: a table keeps them in pieces of 2 kB."""
_METRICS = 5000

_EXPIRE = """
DELETE FROM public.task_results WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(bytes) OVER (ORDER BY ttl_expires_at, id) - bytes AS bytes_before
        FROM (
            SELECT id, ttl_expires_at, bytes FROM public.task_results
            WHERE pipeline IS NOT NULL AND ttl_expires_at <= now() ORDER BY ttl_expires_at LIMIT $1
        ) AS oldest
    ) AS ranked
    WHERE bytes_before < $2 OR bytes_before IS NULL
)
"""
# Max-min fairness: who keeps less than the share loses nothing. In the order of their sizes, each tenant's share is an
# equal part of what the smaller ones leave. The statement that removes results computes the excess itself, so that two
# processes that clean at the same time choose the same results.
_EVICT = """
WITH sizes AS (
    SELECT tenant, sum(bytes) AS bytes FROM public.task_results WHERE pipeline IS NOT NULL GROUP BY tenant
), parts AS (
    SELECT bytes, ($1 - sum(bytes) OVER smaller + bytes) / count(*) OVER larger AS part FROM sizes
    WINDOW smaller AS (ORDER BY bytes, tenant ROWS UNBOUNDED PRECEDING),
        larger AS (ORDER BY bytes, tenant ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
), share AS (
    SELECT part FROM parts WHERE bytes > part ORDER BY bytes LIMIT 1
)
DELETE FROM public.task_results WHERE id IN (
    SELECT id FROM (
        SELECT oldest.*, sum(bytes) OVER (ORDER BY used_at, id) - bytes AS all_before
        FROM (SELECT tenant, sizes.bytes - part AS excess FROM sizes, share WHERE sizes.bytes > part) AS rich
        CROSS JOIN LATERAL (
            SELECT id, used_at, bytes, sum(bytes) OVER (ORDER BY used_at, id) - bytes AS bytes_before
            FROM (
                SELECT id, used_at, bytes FROM public.task_results
                WHERE pipeline IS NOT NULL AND tenant = rich.tenant ORDER BY used_at, id LIMIT $2
            ) AS own
        ) AS oldest
        WHERE bytes_before < excess ORDER BY used_at, id LIMIT $2
    ) AS ranked
    WHERE all_before < $3
)
"""
# By the rows' places, as the table may be the caller's own and have no key; in a partitioned one a place is one of each
# part, so what is asked of a row is asked twice.
_FORGET = """
DELETE FROM public.processing_metrics
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM public.processing_metrics
    WHERE pipeline IS NOT NULL AND recorded_at < now() - $1 * interval '1 day'
    ORDER BY recorded_at LIMIT $2
)) AND pipeline IS NOT NULL AND recorded_at < now() - $1 * interval '1 day'
"""
# Of holders that died.
_FORGET_LOCKS = """
DELETE FROM maskwright.locks WHERE key IN (
    SELECT key FROM maskwright.locks WHERE until < now() - interval '1 day' LIMIT $1
)
"""
_COUNT = """
INSERT INTO maskwright.cache_traffic AS noted (day, pipeline, requests, hits, successes, failures, spent_ms, saved_ms)
SELECT current_date, pipeline, requests, hits, successes, failures, spent_ms, saved_ms
FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::float8[], $7::float8[]
) AS new(pipeline, requests, hits, successes, failures, spent_ms, saved_ms)
ORDER BY pipeline
ON CONFLICT (day, pipeline) DO UPDATE SET
    requests = noted.requests + excluded.requests,
    hits = noted.hits + excluded.hits,
    successes = noted.successes + excluded.successes,
    failures = noted.failures + excluded.failures,
    spent_ms = noted.spent_ms + excluded.spent_ms,
    saved_ms = noted.saved_ms + excluded.saved_ms
"""
# Rows are locked in one order, so that two processes that note the same hits do not wait for each other.
_HIT = """
UPDATE public.task_results SET cache_hits = cache_hits + new.hits,
    used_at = CASE WHEN used_at > now() - interval '1 minute' THEN used_at ELSE now() END
FROM (
    SELECT task_results.id, counted.hits
    FROM unnest($1::text[], $2::bigint[]) AS counted(input_hash, hits)
    JOIN public.task_results ON task_results.input_hash = counted.input_hash AND task_results.pipeline IS NOT NULL
    ORDER BY task_results.id FOR UPDATE OF task_results
) AS new
WHERE task_results.id = new.id
"""
_STATS = """
SELECT coalesce(sum(requests), 0)::bigint AS requests, coalesce(sum(hits), 0)::bigint AS hits,
    coalesce(sum(successes), 0)::bigint AS successes, coalesce(sum(failures), 0)::bigint AS failures,
    coalesce(sum(spent_ms), 0) AS spent_ms, coalesce(sum(saved_ms), 0) AS saved_ms
FROM maskwright.cache_traffic WHERE day > current_date - $1::integer
"""
_SIZE = """
SELECT count(*) AS entries, coalesce(sum(bytes), 0)::bigint AS bytes
FROM public.task_results WHERE pipeline IS NOT NULL AND ttl_expires_at > now()
"""
_NOTE_S = 1.0
"""How often hits are noted: a hit is quick because it does not write to the disk itself."""
_LOCK = """
INSERT INTO maskwright.locks AS held (key, holder, until) VALUES ($1, $2, now() + $3 * interval '1 second')
ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE held.until < now() OR held.holder = excluded.holder
RETURNING key
"""
_UNLOCK = "DELETE FROM maskwright.locks WHERE key = $1 AND holder = $2 RETURNING key"
_BACKOFF = Backoff(0.02, 0.25, factor=1.5)
_LOCKED_S = 10.0
"""After so long whoever has a lock is taken for a process that hangs."""
_AWAY_S = 5.0
"""How long the database is not asked again after it did not answer; meanwhile work goes on without locks."""


class ResultLocks:
    """The locks of one process on the results that it computes, as rows; those of a process that died last 10 s."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool.impatient()
        self._away_until = float("-inf")
        self._freeing: dict[bytes, asyncio.Task[bool]] = {}

    @asynccontextmanager
    async def held(self, digest: bytes) -> AsyncIterator[None]:
        """Hold a lock that no other process has.

        Go on without it if the database does not answer, or the process that has the lock does not free it in time.
        Others cannot tell us when they free it, so we ask again and again, with growing pauses.
        """
        key, holder = int.from_bytes(digest[-8:], "big", signed=True), uuid4()
        if freeing := self._freeing.get(digest):
            await asyncio.wait([freeing])  # to ask before that would be in vain, and cost a pause
        try:
            with anyio.move_on_after(_LOCKED_S):
                for pause_s in _BACKOFF.pauses():
                    if await self._ask(_LOCK, key, holder, _LOCKED_S):
                        break
                    await anyio.sleep(pause_s)
            yield
        finally:
            task = asyncio.create_task(self._ask(_UNLOCK, key, holder))  # nobody's answer waits for this
            self._freeing[digest] = task
            task.add_done_callback(lambda _: self._freeing.pop(digest, None))

    async def close(self) -> None:
        """Wait until all are free."""
        await asyncio.gather(*self._freeing.values())

    async def _ask(self, query: str, *values: object) -> bool:
        """Whether the statement returned a row, or the database does not answer."""
        if time.monotonic() < self._away_until:
            return True
        try:
            return await self._pool.fetchrow(query, *values) is not None
        except Problem:
            self._away_until = time.monotonic() + _AWAY_S
            return True


class PostgresCache(Cache):
    """Results in PostgreSQL. Every method that waits raises Problem `store_unavailable`."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._max_bytes = settings.cache_max_bytes
        self._pool = pool
        self._quick = pool.impatient()
        self._locks = ResultLocks(pool)
        self._tally = Tally()

    @override
    async def find(self, key: CacheKey) -> CacheHit | None:
        return await self._quickly(lambda connection: find_entry(connection, key.digest.hex()))

    @override
    async def find_similar(self, similarity: Similarity, bits: int) -> CacheHit | None:
        return await self._quickly(lambda connection: find_similar(connection, similarity, bits))

    @override
    async def keep(self, entry: NewEntry) -> None:
        await self._quickly(lambda connection: keep_entry(connection, entry))

    @override
    def alone(self, key: CacheKey) -> AbstractAsyncContextManager[None]:
        return self._locks.held(key.digest)

    @override
    def count(self, served: CacheHit | NewEntry) -> None:
        """It is noted within a second."""
        self._tally.count(served)

    @override
    async def stats(self, days: int) -> CacheStats:
        await self.note()
        traffic, size = await self._pool.transact(partial(_read_stats, days=days))
        return CacheStats(days=days, **traffic, **size)

    @override
    async def recent(self, limit: int, tenant: str = "") -> list[CachedTask]:
        await self.note()
        return await self._pool.run(lambda connection: recent_entries(connection, limit, tenant))

    @override
    async def cleanup(self, alive: Callable[[], None] = still) -> int:
        """Portion by portion, each of which takes less than a second."""
        removed = 0
        while some := await self._pool.transact(partial(_remove_some, max_bytes=self._max_bytes)):
            removed += some
            alive()
        while await self._pool.transact(_forget_some):
            alive()
        return removed

    async def note(self) -> None:
        """Note what was counted."""
        counted, self._tally = self._tally, Tally()
        if not counted.traffic:
            return
        try:
            with _refusals_as_problems():
                await self._pool.transact(partial(_note, counted=counted))
        except (Problem, asyncio.CancelledError):
            self._tally.merge(counted)
            raise

    async def note_forever(self) -> None:
        """Note what was counted until cancelled."""
        while True:
            await anyio.sleep(_NOTE_S)
            with suppress(Problem):  # it is counted still
                await self.note()

    async def close(self) -> None:
        """Note what was counted, and free all locks."""
        with suppress(Problem):
            await self.note()
        await self._locks.close()

    async def _quickly(self, work: Work[T]) -> T:
        with _refusals_as_problems():
            return await self._quick.run(work)


@contextmanager
def _refusals_as_problems() -> Iterator[None]:
    """What PostgreSQL refuses, such as tables that somebody moved or withheld, as Problem `store_unavailable`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise Problem("store_unavailable", f"PostgreSQL refused: {error}", retry_after=2) from error


async def _note(connection: Connection, counted: Tally) -> None:
    rows = [(pipeline, *vars(traffic).values()) for pipeline, traffic in counted.traffic.items()]
    await connection.execute(_COUNT, *(list(column) for column in zip(*rows, strict=True)))
    if counted.hits:
        digests = [digest.hex() for digest in counted.hits]
        await connection.execute(_HIT, digests, list(counted.hits.values()))


async def _read_stats(connection: Connection, days: int) -> tuple[Row, Row]:
    """The traffic of the last days, today included, and the size."""
    (traffic,), (size,) = await connection.fetch(_STATS, days), await connection.fetch(_SIZE)
    return traffic, size


async def _remove_some(connection: Connection, max_bytes: int) -> int:
    """Remove results that are too old, or else those used least recently of tenants that keep more than their share.

    How many; 0 when there are no more to remove.
    """
    if expired := await change(connection, _EXPIRE, _MOST, _MOST_BYTES):
        return expired
    return await change(connection, _EVICT, max_bytes, _MOST, _MOST_BYTES)


async def _forget_some(connection: Connection) -> int:
    """Remove metrics older than METRICS_DAYS, or else locks that nobody frees any more; how many."""
    metrics = await change(connection, _FORGET, METRICS_DAYS, _METRICS)
    return metrics or await change(connection, _FORGET_LOCKS, _METRICS)


@asynccontextmanager
async def open_cache(settings: Settings, pool: Pool) -> AsyncIterator[Cache]:
    """The cache for as long as the context lasts."""
    cache = PostgresCache(settings, pool)
    noting = asyncio.create_task(cache.note_forever())
    try:
        yield cache
    finally:
        noting.cancel()
        await asyncio.wait([noting])
        await cache.close()
