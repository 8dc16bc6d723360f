"""The outbox in PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import cast, get_args
from uuid import UUID

from gateway.jobs.deliveries import Delivery
from gateway.jobs.job import CallbackKind, Waiting
from gateway.jobs.signals import OUTBOX
from gateway.postgres.connection import Connection, affected
from gateway.postgres.notifications import notify
from gateway.postgres.pool import Pool
from gateway.postgres.rows import clean, delivery_of, waiting_of

_KINDS: tuple[CallbackKind, ...] = get_args(CallbackKind)

_TAKE = """
WITH due AS (
    SELECT delivery.id
    FROM unnest($3::text[]) AS kinds(kind)
    CROSS JOIN LATERAL (
        SELECT id, run_at FROM maskwright.deliveries
        WHERE deliveries.kind = kinds.kind AND state = 'pending' AND run_at <= now()
        ORDER BY run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS delivery
    ORDER BY run_at, id LIMIT $1
)
UPDATE maskwright.deliveries SET attempts = attempts + 1, run_at = now() + $2 * interval '1 second'
FROM due WHERE deliveries.id = due.id
RETURNING deliveries.*
"""
_RENEW = """
UPDATE maskwright.deliveries SET run_at = now() + $2 * interval '1 second'
WHERE id = ANY($1::bigint[]) AND state = 'pending'
"""
_FORGET = "DELETE FROM maskwright.deliveries WHERE id = ANY($1::bigint[]) AND job_id IS NULL"
_DELIVERED = """
UPDATE maskwright.deliveries SET state = 'delivered', ended_at = now(), body = ''
WHERE id = ANY($1::bigint[]) AND state <> 'delivered'
"""
_POSTPONE = """
UPDATE maskwright.deliveries SET last_error = $2, run_at = now() + $3 * interval '1 second'
WHERE id = $1 AND state = 'pending'
"""
# Those of no job can be asked for by nobody.
_GIVE_UP = """
WITH forgotten AS (
    DELETE FROM maskwright.deliveries WHERE id = $1 AND state = 'pending' AND job_id IS NULL
)
UPDATE maskwright.deliveries SET state = 'failed', ended_at = now(), last_error = $2
WHERE id = $1 AND state = 'pending' AND job_id IS NOT NULL
"""
_OF_JOB = """
SELECT id, job_id, kind, destination, key, headers, ''::bytea AS body, state, attempts, created_at, run_at, ended_at,
    last_error
FROM maskwright.deliveries WHERE job_id = $1 ORDER BY id
"""
_STANDING = """
SELECT kind, count(*) AS count, extract(epoch FROM now() - min(created_at))::float8 AS oldest_s
FROM maskwright.deliveries WHERE state = 'pending' GROUP BY kind
"""
_RESEND = """
UPDATE maskwright.deliveries SET state = 'pending', ended_at = NULL, attempts = 0, run_at = now()
WHERE job_id = $1 AND state = 'failed'
"""


class PostgresOutbox:
    """Deliveries in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, limit: int, lease_s: float, kinds: Collection[CallbackKind] | None = None) -> list[Delivery]:
        """Due deliveries, of these kinds or any, the oldest first, kept from others for `lease_s` seconds."""
        wanted = _KINDS if kinds is None else list(kinds)
        rows = await self._pool.run(lambda connection: connection.fetch(_TAKE, limit, lease_s, wanted))
        return sorted(map(delivery_of, rows), key=lambda delivery: delivery.id)

    async def renew(self, ids: Sequence[int], lease_s: float) -> None:
        """Keep deliveries that are still under way from others for longer."""
        await self._pool.run(lambda connection: connection.execute(_RENEW, ids, lease_s))

    async def delivered(self, ids: Sequence[int]) -> None:
        """Note deliveries that were made."""

        async def note(connection: Connection) -> None:
            await connection.execute(_FORGET, ids)
            await connection.execute(_DELIVERED, ids)

        await self._pool.transact(note)

    async def postpone(self, delivery_id: int, reason: str, delay_s: float) -> None:
        """Try again later."""
        await self._pool.run(lambda connection: connection.execute(_POSTPONE, delivery_id, clean(reason), delay_s))

    async def give_up(self, delivery_id: int, reason: str) -> None:
        """Never try again, unless it is asked for."""
        await self._pool.run(lambda connection: connection.execute(_GIVE_UP, delivery_id, clean(reason)))

    async def of_job(self, job_id: UUID) -> list[Delivery]:
        """A job's deliveries in order, without their bodies."""
        rows = await self._pool.run(lambda connection: connection.fetch(_OF_JOB, job_id))
        return list(map(delivery_of, rows))

    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        """Deliveries that are not made yet, by kind."""
        rows = await self._pool.run(lambda connection: connection.fetch(_STANDING))
        return {cast("CallbackKind", row["kind"]): waiting_of(row) for row in rows}

    async def resend(self, job_id: UUID) -> int:
        """Make a job's failed deliveries pending again, with attempts from zero; how many there were."""
        return await self._pool.transact(partial(_resend, job_id))


async def _resend(job_id: UUID, connection: Connection) -> int:
    count = affected(await connection.execute(_RESEND, job_id))
    if count:
        await notify(connection, [OUTBOX])
    return count
