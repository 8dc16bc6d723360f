"""How full the queue is."""

import time
from typing import cast

from gateway.errors import Problem
from gateway.jobs.job import Waiting
from gateway.jobs.store import RECENT_S, QueueCounts, Recent, Standing, TenantCounts
from gateway.postgres.connection import Connection
from gateway.postgres.pool import Pool
from gateway.postgres.rows import waiting_of

_LIVE_LEASES = 3
"""A worker lives that gave a sign within so many times LEASE_S."""

_UNFINISHED = """
SELECT
    (SELECT count(*) FROM maskwright.jobs WHERE state IN ('queued', 'running')) AS unfinished,
    (SELECT count(*) FROM maskwright.jobs WHERE state = 'running') AS running,
    (
        SELECT coalesce(sum(capacity), 0) FROM maskwright.workers WHERE seen_at > now() - $1 * interval '1 second'
    ) AS workers
"""
# From one tenant to the next by the index. A held job waits for one of its user's that is not, or runs: of its tenant.
_OF_TENANT = """
WITH RECURSIVE waiting AS (
    (
        SELECT tenant COLLATE "C" AS tenant FROM maskwright.jobs WHERE state = 'queued' AND NOT held
        ORDER BY tenant COLLATE "C" LIMIT 1
    )
    UNION ALL
    SELECT following.tenant FROM waiting CROSS JOIN LATERAL (
        SELECT tenant COLLATE "C" AS tenant FROM maskwright.jobs
        WHERE state = 'queued' AND NOT held AND tenant COLLATE "C" > waiting.tenant
        ORDER BY tenant COLLATE "C" LIMIT 1
    ) AS following
)
SELECT
    (
        SELECT count(*) FROM maskwright.jobs
        WHERE tenant = $1 AND (CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END) = 'queued'
    ) AS queued,
    (
        SELECT count(*) FROM (
            SELECT $1::text COLLATE "C" UNION SELECT tenant FROM waiting
            UNION SELECT tenant COLLATE "C" FROM maskwright.jobs WHERE state = 'running'
        ) AS tenants
    ) AS tenants
"""
# A replayed job waits since its replay.
_STANDING = """
SELECT state, count(*) AS count, coalesce(extract(epoch FROM now() - min(since)), 0)::float8 AS oldest_s
FROM (
    SELECT state,
        CASE WHEN state = 'running' THEN started_at WHEN started_at IS NULL THEN run_at ELSE created_at END AS since
    FROM maskwright.jobs WHERE state IN ('queued', 'running')
    UNION ALL
    SELECT 'deleting', deleted_at FROM maskwright.jobs WHERE deleted_at IS NOT NULL
    UNION ALL
    SELECT 'failing', now() FROM maskwright.jobs
    WHERE (deleted_at IS NOT NULL OR removal_at IS NOT NULL) AND removal_attempts > 0
) AS jobs
GROUP BY state
"""
_FINISHED = "SELECT count(*) AS finished FROM maskwright.jobs WHERE finished_at IS NOT NULL AND deleted_at IS NULL"
_RECENT = """
SELECT
    count(*) FILTER (WHERE state = 'completed') AS completed,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    avg(extract(epoch FROM finished_at - created_at)) FILTER (WHERE state = 'completed')::float8 AS latency_s
FROM maskwright.jobs WHERE finished_at > now() - $1 * interval '1 second' AND deleted_at IS NULL
"""

_FINISHED_LIFE_S = 1.0
_FINISHED_SHARE = 20
"""Finished jobs may be millions: they are counted at most once a second, and for at most a twentieth of the time."""


class Counts:
    """Counts jobs; of the finished ones the number may be a little old."""

    def __init__(self, pool: Pool, lease_s: float) -> None:
        self._pool = pool
        self._live_s = _LIVE_LEASES * lease_s
        self._finished = 0
        self._counted_until = 0.0

    async def read(self) -> QueueCounts:
        """The counts. Raises Problem `store_unavailable`."""
        return await self._pool.run(self._read)

    async def _read(self, connection: Connection) -> QueueCounts:
        row = await connection.fetchrow(_UNFINISHED, self._live_s)
        if row is None:
            raise LookupError("a SELECT without FROM gives one row")
        unfinished, running, workers = (cast("int", row[name]) for name in ("unfinished", "running", "workers"))
        return QueueCounts(unfinished - running, running, workers)

    async def of_tenant(self, tenant: str) -> TenantCounts:
        """The counts of one tenant. Raises Problem `store_unavailable`."""
        row = await self._pool.run(lambda connection: connection.fetchrow(_OF_TENANT, tenant))
        return TenantCounts(cast("int", row["queued"]), cast("int", row["tenants"])) if row else TenantCounts(0, 1)

    async def standing(self) -> Standing:
        """What is not over. Raises Problem `store_unavailable`."""
        rows = await self._pool.run(lambda connection: connection.fetch(_STANDING))
        found = {str(row["state"]): waiting_of(row) for row in rows}
        failing = found.pop("failing", Waiting())
        return Standing(**found, failing=failing.count)

    async def finished(self) -> int:
        """The jobs that ended, as counted last where counting takes too long. Raises Problem `store_unavailable`."""
        began = time.monotonic()
        if began < self._counted_until:
            return self._finished
        try:
            self._finished = await self._pool.run(_read_finished)
        except Problem:
            if not self._finished:
                raise
        finally:
            took = time.monotonic() - began
            self._counted_until = began + max(_FINISHED_LIFE_S, _FINISHED_SHARE * took)
        return self._finished

    async def recent(self) -> Recent:
        """The jobs that ended lately. Raises Problem `store_unavailable`."""
        return await self._pool.run(_read_recent)


async def _read_recent(connection: Connection) -> Recent:
    row = await connection.fetchrow(_RECENT, RECENT_S)
    if row is None:
        raise LookupError("an aggregate gives one row")
    return Recent(cast("int", row["completed"]), cast("int", row["failed"]), cast("float | None", row["latency_s"]))


async def _read_finished(connection: Connection) -> int:
    row = await connection.fetchrow(_FINISHED)
    return cast("int", row["finished"]) if row else 0
