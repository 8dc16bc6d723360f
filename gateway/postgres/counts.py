"""How full the queue is."""

import time
from typing import cast

from gateway.jobs.store import QueueCounts
from gateway.postgres.connection import Connection
from gateway.postgres.pool import Pool

_LIVE_LEASES = 3
"""A worker lives that gave a sign within so many times LEASE_S."""

_UNFINISHED = """
SELECT
    (SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')) AS unfinished,
    (SELECT count(*) FROM jobs WHERE state = 'running') AS running,
    (SELECT coalesce(sum(capacity), 0) FROM workers WHERE seen_at > now() - $1 * interval '1 second') AS workers
"""
_FINISHED = "SELECT count(*) AS finished FROM jobs WHERE finished_at IS NOT NULL AND deleted_at IS NULL"

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
        return QueueCounts(unfinished - running, running, await self._read_finished(connection), workers)

    async def _read_finished(self, connection: Connection) -> int:
        began = time.monotonic()
        if began >= self._counted_until:
            row = await connection.fetchrow(_FINISHED)
            self._finished = cast("int", row["finished"]) if row else 0
            took = time.monotonic() - began
            self._counted_until = began + max(_FINISHED_LIFE_S, _FINISHED_SHARE * took)
        return self._finished
