"""How results leave the cache."""

from gateway.postgres.connection import Connection, affected

BATCH = 1000
METRICS_DAYS = 30

_EXPIRE = """
DELETE FROM public.task_results WHERE id IN (
    SELECT id FROM public.task_results
    WHERE pipeline IS NOT NULL AND ttl_expires_at <= now() ORDER BY ttl_expires_at LIMIT $1
)
"""
# What is too much is reckoned by the statement that removes it: two that clean together choose the same.
_EVICT = """
DELETE FROM public.task_results WHERE id IN (
    SELECT id FROM (
        SELECT id, sum(bytes) OVER (ORDER BY used_at, id) - bytes AS bytes_before
        FROM (
            SELECT id, used_at, bytes FROM public.task_results WHERE pipeline IS NOT NULL ORDER BY used_at, id LIMIT $2
        ) AS oldest
    ) AS ranked
    WHERE bytes_before < (SELECT sum(bytes) FROM public.task_results WHERE pipeline IS NOT NULL) - $1
)
"""
_FORGET = """
DELETE FROM public.processing_metrics WHERE pipeline IS NOT NULL AND recorded_at < now() - $1 * interval '1 day'
"""
# Of holders that died.
_FORGET_LOCKS = "DELETE FROM maskwright.locks WHERE until < now() - interval '1 day'"


async def remove_some(connection: Connection, max_bytes: int) -> int:
    """Remove results that are too old, or else those used least recently that are too much; within a transaction.

    How many: 0 when there are no more, else BATCH at most.
    """
    if expired := affected(await connection.execute(_EXPIRE, BATCH)):
        return expired
    if evicted := affected(await connection.execute(_EVICT, max_bytes, BATCH)):
        return evicted
    await connection.execute(_FORGET, METRICS_DAYS)
    await connection.execute(_FORGET_LOCKS)
    return 0
