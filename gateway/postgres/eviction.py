"""How results leave the cache, and figures and locks the tables beside it; portion by portion, none of a second."""

from gateway.postgres.connection import Connection, affected

METRICS_DAYS = 30

_MOST = 1000
_MOST_BYTES = 64 * 1024 * 1024
"""Of large results, fewer at a time: a table keeps them in pieces of 2 kB, each of which is removed."""
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
# A tenant's share is what it may keep so that all that is kept fits, and whoever keeps less than that loses nothing
# (max-min fairness): of tenants in the order of their sizes, what is left by the smaller ones, in equal parts. What is
# too much is reckoned by the statement that removes it: two that clean together choose the same.
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


async def remove_some(connection: Connection, max_bytes: int) -> int:
    """Remove results that are too old, or else what is too much; within a transaction.

    The latter of tenants that keep more than their share, those used least recently. How many; 0 when there are no
    more.
    """
    if expired := affected(await connection.execute(_EXPIRE, _MOST, _MOST_BYTES)):
        return expired
    return affected(await connection.execute(_EVICT, max_bytes, _MOST, _MOST_BYTES))


async def forget_some(connection: Connection) -> int:
    """Remove figures older than METRICS_DAYS, and locks that nobody frees any more; how many."""
    figures = affected(await connection.execute(_FORGET, METRICS_DAYS, _METRICS))
    return figures or affected(await connection.execute(_FORGET_LOCKS, _METRICS))
