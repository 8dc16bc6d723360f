"""Dead letters in PostgreSQL, in the table `poison`."""

import hashlib
from functools import partial
from uuid import UUID

from typing_extensions import override

from gateway.jobs.job import Job, Outcome, Waiting, dead_letter_origin
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import WORK, BadMessage, DeadLetter, DeadLetters
from gateway.pipelines.outputs import Failure
from gateway.postgres.connection import Connection, Row
from gateway.postgres.outbox import add_deliveries
from gateway.postgres.pool import Pool, notify
from gateway.postgres.rows import clean, waiting_of
from gateway.postgres.turns import lock_users, settle_turns
from gateway.settings import Settings

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
_STANDING = """
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
        (row,) = await self._pool.fetch(_STANDING)
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
