"""The outbox in PostgreSQL."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import cast
from uuid import UUID

from gateway.jobs.job import CallbackKind, Waiting
from gateway.jobs.outbox import MOST_DUE, Delivery, Lane, OutboxMessage
from gateway.jobs.store import OUTBOX
from gateway.postgres.connection import Connection, affected
from gateway.postgres.pool import Pool, notify
from gateway.postgres.rows import clean, delivery_of, waiting_of

# From one lane to the next by the index, so that a long queue for one receiver costs no more than a short one.
_LANES = """
WITH RECURSIVE lane AS (
    (
        SELECT receiver, tenant FROM maskwright.deliveries
        WHERE kind = $1 AND state = 'pending' AND (receiver, tenant) > ($2, $3) ORDER BY receiver, tenant LIMIT 1
    )
    UNION ALL
    SELECT following.receiver, following.tenant FROM lane CROSS JOIN LATERAL (
        SELECT receiver, tenant FROM maskwright.deliveries
        WHERE kind = $1 AND state = 'pending' AND (receiver, tenant) > (lane.receiver, lane.tenant)
        ORDER BY receiver, tenant LIMIT 1
    ) AS following
)
SELECT lane.receiver, lane.tenant, due.count FROM (SELECT receiver, tenant FROM lane LIMIT $4) AS lane
CROSS JOIN LATERAL (
    SELECT count(*) AS count FROM (
        SELECT FROM maskwright.deliveries
        WHERE kind = $1 AND state = 'pending' AND run_at <= now()
            AND receiver = lane.receiver AND tenant = lane.tenant LIMIT $5
    ) AS counted
) AS due
"""
_TAKE = """
WITH due AS (
    SELECT delivery.id
    FROM unnest($2::text[], $3::text[], $4::text[], $5::int[]) AS lane(kind, receiver, tenant, share)
    CROSS JOIN LATERAL (
        SELECT id FROM maskwright.deliveries
        WHERE kind = lane.kind AND state = 'pending' AND run_at <= now()
            AND receiver = lane.receiver AND tenant = lane.tenant
        ORDER BY run_at, id LIMIT lane.share FOR UPDATE SKIP LOCKED
    ) AS delivery
)
UPDATE maskwright.deliveries SET attempts = attempts + 1, run_at = now() + $1 * interval '1 second'
FROM due WHERE deliveries.id = due.id
RETURNING deliveries.*
"""
_RENEW = """
UPDATE maskwright.deliveries SET run_at = now() + $3 * interval '1 second'
FROM unnest($1::bigint[], $2::int[]) AS held(id, attempts)
WHERE deliveries.id = held.id AND deliveries.attempts = held.attempts AND state = 'pending'
RETURNING deliveries.id
"""
_FORGET = "DELETE FROM maskwright.deliveries WHERE id = ANY($1::bigint[]) AND job_id IS NULL"
_DELIVERED = """
UPDATE maskwright.deliveries SET state = 'delivered', ended_at = now(), body = ''
WHERE id = ANY($1::bigint[]) AND state <> 'delivered'
"""
_POSTPONE = """
UPDATE maskwright.deliveries SET last_error = $3, run_at = now() + $4 * interval '1 second'
WHERE id = $1 AND attempts = $2 AND state = 'pending'
"""
# Those of no job can be asked for by nobody.
_GIVE_UP = """
WITH forgotten AS (
    DELETE FROM maskwright.deliveries WHERE id = $1 AND attempts = $2 AND state = 'pending' AND job_id IS NULL
    RETURNING id
), failed AS (
    UPDATE maskwright.deliveries SET state = 'failed', ended_at = now(), last_error = $3
    WHERE id = $1 AND attempts = $2 AND state = 'pending' AND job_id IS NOT NULL
    RETURNING id
)
SELECT id FROM forgotten UNION ALL SELECT id FROM failed
"""
_OF_JOB = """
SELECT id, job_id, kind, destination, key, headers, ''::bytea AS body, state, attempts, created_at, run_at, ended_at,
    last_error, tenant, receiver
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

    async def lanes(self, kind: CallbackKind, after: Lane | None, limit: int) -> Mapping[Lane, int]:
        """Lanes with pending deliveries, from the one after `after` on, and how many of each are due."""
        place = (after.receiver, after.tenant) if after else ("", "")
        rows = await self._pool.run(lambda connection: connection.fetch(_LANES, kind, *place, limit, MOST_DUE))
        return {Lane(kind, str(row["receiver"]), str(row["tenant"])): cast("int", row["count"]) for row in rows}

    async def take(self, shares: Mapping[Lane, int], lease_s: float) -> list[Delivery]:
        """Due deliveries, so many of each lane, its oldest first, kept from others for `lease_s` seconds."""
        lanes = [[lane[part] for lane in shares] for part in range(len(Lane._fields))]
        counts = list(shares.values())
        rows = await self._pool.run(lambda connection: connection.fetch(_TAKE, lease_s, *lanes, counts))
        return sorted(map(delivery_of, rows), key=lambda delivery: delivery.id)

    async def renew(self, taken: Collection[Delivery], lease_s: float) -> frozenset[int]:
        """Keep deliveries that are still under way from others for longer; the ids of those that were still so."""
        ids, attempts = [one.id for one in taken], [one.attempts for one in taken]
        rows = await self._pool.run(lambda connection: connection.fetch(_RENEW, ids, attempts, lease_s))
        return frozenset(cast("int", row["id"]) for row in rows)

    async def delivered(self, ids: Sequence[int]) -> None:
        """Note deliveries that were made."""

        async def note(connection: Connection) -> None:
            await connection.execute(_FORGET, ids)
            await connection.execute(_DELIVERED, ids)

        await self._pool.transact(note)

    async def postpone(self, delivery: Delivery, reason: str, delay_s: float) -> bool:
        """Try again later. False where it was taken anew or is gone."""
        attempt = (delivery.id, delivery.attempts, clean(reason))
        return affected(await self._pool.run(lambda connection: connection.execute(_POSTPONE, *attempt, delay_s))) > 0

    async def give_up(self, delivery: Delivery, reason: str) -> bool:
        """Never try again, unless it is asked for. False where it was taken anew or is gone."""
        attempt = (delivery.id, delivery.attempts, clean(reason))
        return await self._pool.run(lambda connection: connection.fetchrow(_GIVE_UP, *attempt)) is not None

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


_OWE = """
INSERT INTO maskwright.deliveries (job_id, kind, destination, key, headers, body, receiver, tenant)
SELECT $1, kind, destination, key, headers::json, body, receiver, tenant
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[])
    WITH ORDINALITY AS new(kind, destination, key, headers, body, receiver, tenant, place)
ORDER BY place
"""


async def add_deliveries(connection: Connection, job_id: UUID | None, deliveries: Sequence[OutboxMessage]) -> None:
    """Owe deliveries, in their order; those of no job are forgotten once they are made."""
    if not deliveries:
        return
    await connection.execute(
        _OWE,
        job_id,
        [delivery.kind for delivery in deliveries],
        [clean(delivery.destination) for delivery in deliveries],
        [clean(delivery.key) for delivery in deliveries],
        [json.dumps(dict(delivery.headers)) for delivery in deliveries],
        [delivery.body for delivery in deliveries],
        [clean(delivery.lane.receiver) for delivery in deliveries],
        [delivery.tenant for delivery in deliveries],
    )
    await notify(connection, [OUTBOX])
