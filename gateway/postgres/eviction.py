"""How results leave the cache."""

from gateway.postgres.connection import Connection, affected

BATCH = 1000
METRICS_DAYS = 30

_EXPIRE = """
DELETE FROM task_results WHERE id IN (
    SELECT id FROM task_results WHERE pipeline IS NOT NULL AND ttl_expires_at <= now() ORDER BY ttl_expires_at LIMIT $1
)
"""
_TOO_MUCH = "SELECT coalesce(sum(bytes), 0) > $1 AS is_so FROM task_results WHERE pipeline IS NOT NULL"
# Those that go are beyond a sum over the ones used later: two that clean together choose the same.
_EVICT = """
DELETE FROM task_results WHERE id IN (
    SELECT id FROM (
        SELECT id, used_at, sum(bytes) OVER (ORDER BY used_at DESC, id) AS total
        FROM (
            SELECT id, bytes, coalesce(last_hit_at, completed_at) AS used_at FROM task_results
            WHERE pipeline IS NOT NULL
        ) AS entries
    ) AS ranked
    WHERE total > $1 ORDER BY used_at LIMIT $2
)
"""
_FORGET = """
DELETE FROM processing_metrics WHERE pipeline IS NOT NULL AND recorded_at < now() - $1 * interval '1 day'
"""


async def remove_some(connection: Connection, max_bytes: int) -> int:
    """Remove results that are too old, or else those used least recently that are too much; within a transaction.

    How many: 0 when there are no more, else BATCH at most.
    """
    if expired := affected(await connection.execute(_EXPIRE, BATCH)):
        return expired
    too_much = await connection.fetchrow(_TOO_MUCH, max_bytes)
    if too_much and too_much["is_so"]:
        return affected(await connection.execute(_EVICT, max_bytes, BATCH))
    await connection.execute(_FORGET, METRICS_DAYS)
    return 0
