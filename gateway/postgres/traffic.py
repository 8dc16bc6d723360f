"""The cache's figures: counted in each process, noted in the database now and then."""

from typing import TypedDict, cast

from gateway.cache.cache import CacheStats, CacheTotals, Counted, Traffic
from gateway.postgres.connection import Connection, Row

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
_ALL_DAYS = 1_000_000


class _StatsRow(TypedDict):
    requests: int
    hits: int
    successes: int
    failures: int
    spent_ms: float
    saved_ms: float


class _SizeRow(TypedDict):
    entries: int
    bytes: int


async def note(connection: Connection, counted: Counted) -> None:
    """Add what was counted to the tables; within a transaction."""
    if counted.traffic:
        rows = [(pipeline, *vars(traffic).values()) for pipeline, traffic in counted.traffic.items()]
        await connection.execute(_COUNT, *(list(column) for column in zip(*rows, strict=True)))
    if counted.hits:
        digests = [digest.hex() for digest in counted.hits]
        await connection.execute(_HIT, digests, list(counted.hits.values()))


async def read_stats(connection: Connection, days: int) -> CacheStats:
    """Figures of the last days, today among them."""
    traffic, size = await _traffic(connection, days), await _size(connection)
    return CacheStats(days=days, **vars(traffic), **size)


async def read_totals(connection: Connection) -> CacheTotals:
    """Figures of all time."""
    traffic, size = await _traffic(connection, _ALL_DAYS), await _size(connection)
    return CacheTotals(traffic.requests, traffic.hits, **size)


async def _traffic(connection: Connection, days: int) -> Traffic:
    return Traffic(**cast("_StatsRow", await _only_row(connection, _STATS, days)))


async def _size(connection: Connection) -> _SizeRow:
    return cast("_SizeRow", await _only_row(connection, _SIZE))


async def _only_row(connection: Connection, query: str, *values: object) -> Row:
    row = await connection.fetchrow(query, *values)
    if row is None:
        raise LookupError("an aggregate without GROUP BY gives one row")
    return row
