"""The outbox in PostgreSQL; and dead letters, the jobs and messages that were given up, in the table `poison`."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from uuid import UUID

from typing_extensions import override

from gateway.jobs.job import CallbackKind, Job, Outcome, Waiting, dead_letter_origin
from gateway.jobs.outbox import MOST_DUE, Delivery, Lane, Outbox, OutboxMessage
from gateway.jobs.store import OUTBOX, WORK, BadMessage, DeadLetter, DeadLetters
from gateway.pipelines.outputs import Failure
from gateway.postgres.connection import Connection, Row, change
from gateway.postgres.pool import Pool, notify
from gateway.postgres.rows import clean, waiting_of
from gateway.postgres.user_turns import lock_users, settle_turns
from gateway.settings import Settings

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
# Nobody can ask for a delivery without a job to be sent again, so it is removed.
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
_ADD = """
INSERT INTO maskwright.deliveries (job_id, kind, destination, key, headers, body, receiver, tenant)
SELECT $1, kind, destination, key, headers::json, body, receiver, tenant
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[])
    WITH ORDINALITY AS new(kind, destination, key, headers, body, receiver, tenant, place)
ORDER BY place
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


_OF_DELIVERY = ("id", "job_id", "state", "attempts", "created_at", "run_at", "ended_at", "last_error")


class PostgresOutbox(Outbox):
    """Deliveries in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @override
    async def lanes(self, kind: CallbackKind, after: Lane | None, limit: int) -> Mapping[Lane, int]:
        place = (after.receiver, after.tenant) if after else ("", "")
        rows = await self._pool.fetch(_LANES, kind, *place, limit, MOST_DUE)
        return {Lane(kind, row["receiver"], row["tenant"]): row["count"] for row in rows}

    @override
    async def take(self, shares: Mapping[Lane, int], lease_s: float) -> list[Delivery]:
        lanes = [[lane[part] for lane in shares] for part in range(len(Lane._fields))]
        rows = await self._pool.fetch(_TAKE, lease_s, *lanes, list(shares.values()))
        return sorted(map(_delivery_of, rows), key=lambda delivery: delivery.id)

    @override
    async def renew(self, taken: Collection[Delivery], lease_s: float) -> frozenset[int]:
        attempts = {one.id: one.attempts for one in taken}
        rows = await self._pool.fetch(_RENEW, list(attempts), list(attempts.values()), lease_s)
        return frozenset(row["id"] for row in rows)

    @override
    async def delivered(self, ids: Sequence[int]) -> None:
        async def note(connection: Connection) -> None:
            await connection.execute(_FORGET, ids)
            await connection.execute(_DELIVERED, ids)

        await self._pool.transact(note)

    @override
    async def postpone(self, delivery: Delivery, reason: str, delay_s: float) -> bool:
        return await self._pool.change(_POSTPONE, delivery.id, delivery.attempts, clean(reason), delay_s) > 0

    @override
    async def give_up(self, delivery: Delivery, reason: str) -> bool:
        return await self._pool.fetchrow(_GIVE_UP, delivery.id, delivery.attempts, clean(reason)) is not None

    @override
    async def of_job(self, job_id: UUID) -> list[Delivery]:
        return [_delivery_of(row) for row in await self._pool.fetch(_OF_JOB, job_id)]

    @override
    async def standing(self) -> Mapping[CallbackKind, Waiting]:
        return {row["kind"]: waiting_of(row) for row in await self._pool.fetch(_STANDING)}

    @override
    async def resend(self, job_id: UUID) -> int:
        async def resend(connection: Connection) -> int:
            count = await change(connection, _RESEND, job_id)
            if count:
                await notify(connection, [OUTBOX])
            return count

        return await self._pool.transact(resend)


async def add_deliveries(connection: Connection, job_id: UUID | None, messages: Sequence[OutboxMessage]) -> None:
    """Add messages in their order, within the caller's transaction; those without a job go once they are sent."""
    if not messages:
        return
    await connection.execute(
        _ADD,
        job_id,
        [message.kind for message in messages],
        [clean(message.destination) for message in messages],
        [clean(message.key) for message in messages],
        [json.dumps(dict(message.headers)) for message in messages],
        [message.body for message in messages],
        [clean(message.lane.receiver) for message in messages],
        [message.tenant for message in messages],
    )
    await notify(connection, [OUTBOX])


def _delivery_of(row: Row) -> Delivery:
    message = {name: row[name] for name in ("kind", "destination", "key", "body", "tenant", "receiver")}
    delivery = {name: row[name] for name in _OF_DELIVERY}
    return Delivery(content=OutboxMessage(**message, headers=json.loads(row["headers"])), **delivery)


_ADD_MESSAGE = """
INSERT INTO maskwright.poison (origin, key, value, value_sha256, code, detail, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING RETURNING id
"""
_ADD_JOB = """
INSERT INTO maskwright.poison (job_id, origin, code, detail, attempts) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""
_ENTRIES = """
SELECT id, job_id, origin, code, detail, attempts, coalesce(octet_length(value), 0) AS size, created_at
FROM maskwright.poison WHERE closed_at IS NULL AND id < coalesce($2, 9223372036854775807) ORDER BY id DESC LIMIT $1
"""
_OPEN_COUNT = """
SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_s
FROM maskwright.poison WHERE closed_at IS NULL
"""
_OPEN = """
SELECT poison.job_id, poison.key, poison.value, poison.attempts, jobs.owner
FROM maskwright.poison LEFT JOIN maskwright.jobs ON jobs.id = poison.job_id
WHERE poison.id = $1 AND closed_at IS NULL
"""
_OPEN_OF = """
SELECT id FROM maskwright.poison WHERE job_id = $1 AND closed_at IS NULL
    AND NOT EXISTS (SELECT FROM maskwright.poison WHERE job_id = $1 AND replayed_by = $2)
"""
_CLOSE = """
UPDATE maskwright.poison SET closed_at = now(), value = NULL, replayed_by = $2 WHERE id = $1 AND closed_at IS NULL
RETURNING id
"""
_REQUEUE = """
UPDATE maskwright.jobs SET
    state = 'queued', held = user_id <> '', attempts = 0, run_at = now(), started_at = NULL, finished_at = NULL,
    worker = NULL, lease_token = NULL, last_code = NULL, last_detail = NULL, error_code = NULL, error_detail = NULL,
    result = NULL, artifacts = NULL, timings_ms = NULL, writes_until = NULL, removal_at = NULL
WHERE id = $1 AND state = 'failed' AND deleted_at IS NULL
"""
_PRUNE = """
DELETE FROM maskwright.poison WHERE id IN (
    SELECT id FROM maskwright.poison WHERE closed_at < now() - $1 * interval '1 day' ORDER BY closed_at LIMIT $2
)
"""
_PRUNED = 1000


class PostgresDeadLetters(DeadLetters):
    """Open entries in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._user_concurrency = settings.user_concurrency
        self._topic = settings.kafka_topic_input

    @override
    async def entries(self, limit: int, before: int | None = None) -> list[DeadLetter]:
        return [_dead_letter_of(row) for row in await self._pool.fetch(_ENTRIES, limit, before)]

    @override
    async def standing(self) -> Waiting:
        (row,) = await self._pool.fetch(_OPEN_COUNT)
        return waiting_of(row)

    @override
    async def replay(self, entry_id: int) -> bool:
        return await self._pool.transact(partial(self._replay, entry_id, None))

    @override
    async def replay_job(self, job_id: UUID, by: UUID) -> bool:
        row = await self._pool.fetchrow(_OPEN_OF, job_id, by)
        return row is not None and await self._pool.transact(partial(self._replay, row["id"], by))

    @override
    async def drop(self, entry_id: int) -> bool:
        return await self._pool.fetchrow(_CLOSE, entry_id, None) is not None

    @override
    async def prune(self, days: int) -> int:
        return await self._pool.change(_PRUNE, days, _PRUNED)

    async def _replay(self, entry_id: int, by: UUID | None, connection: Connection) -> bool:
        entry = await connection.fetchrow(_OPEN, entry_id)
        if entry is None:
            return False
        users = [entry["owner"]] if entry["job_id"] else []
        await lock_users(connection, users)
        if await connection.fetchrow(_CLOSE, entry_id, by) is None:
            return False
        if entry["job_id"]:
            await self._requeue(connection, entry["job_id"], users)
        else:
            await add_deliveries(connection, None, [self._message(entry)])
        return True

    async def _requeue(self, connection: Connection, job_id: UUID, users: list[str]) -> None:
        """Queue a job anew; the deliveries of its former outcome stay."""
        await connection.execute(_REQUEUE, job_id)
        await settle_turns(connection, users, self._user_concurrency)
        await notify(connection, [job_id, WORK])

    def _message(self, entry: Row) -> OutboxMessage:
        key = (entry["key"] or b"").decode(errors="replace")
        return OutboxMessage("message", self._topic, key, entry["value"], {"attempts": str(entry["attempts"])})


async def add_message(connection: Connection, message: BadMessage) -> None:
    """Keep a message and tell of it, unless it came before; within the transaction that gives it up."""
    failure, digest = message.failure, hashlib.sha256(message.value).digest()
    values = (message.origin, message.key, message.value, digest, failure.code, clean(failure.detail), message.attempts)
    if await connection.fetchrow(_ADD_MESSAGE, *values):
        await add_deliveries(connection, None, [message.outbox_message])


async def add_job(connection: Connection, job: Job, outcome: Outcome) -> None:
    """Keep a job that came as a message and was worked on in vain, not by its sender's mistake."""
    failure = outcome.failure
    origin = dead_letter_origin(job, failure)
    if failure and origin:
        await connection.execute(_ADD_JOB, job.id, origin, failure.code, clean(failure.detail), job.attempts)


def _dead_letter_of(row: Row) -> DeadLetter:
    members = {**row}
    return DeadLetter(failure=Failure(members.pop("code"), members.pop("detail")), **members)
