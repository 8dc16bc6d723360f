"""Taking jobs, keeping them, and putting them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from gateway.jobs.job import Failure, Lease
from gateway.jobs.signals import WORK
from gateway.postgres.connection import Connection, Row
from gateway.postgres.notifications import notify
from gateway.postgres.rows import WORKED_ON, clean, lease_of, listed
from gateway.postgres.turns import lock_users, settle_turns

_CLAIM = f"""
WITH fresh AS (
    SELECT id, priority, sequence, attempts FROM maskwright.jobs
    WHERE state = 'queued' AND NOT held AND run_at <= now()
    ORDER BY priority DESC, sequence LIMIT $2 FOR UPDATE SKIP LOCKED
), lapsed AS (
    SELECT id, priority, sequence, attempts FROM maskwright.jobs
    WHERE state = 'running' AND lease_until <= now()
    ORDER BY priority DESC, sequence LIMIT $2 FOR UPDATE SKIP LOCKED
), chosen AS (
    SELECT id, attempts >= $4 AS exhausted FROM (TABLE fresh UNION ALL TABLE lapsed) AS due
    ORDER BY priority DESC, sequence LIMIT $2
), claimed AS (
    UPDATE maskwright.jobs SET
        state = 'running', attempts = least(jobs.attempts + 1, $4), started_at = now(), worker = $1,
        lease_token = gen_random_uuid(), lease_until = now() + $3 * interval '1 second'
    FROM chosen WHERE jobs.id = chosen.id
    RETURNING {listed(WORKED_ON)}, chosen.exhausted
)
SELECT claimed.*, pg_notify('maskwright', id::text) FROM claimed ORDER BY priority DESC, sequence
"""  # noqa: S608 of constants
_RENEW = """
WITH alive AS (
    INSERT INTO maskwright.workers (worker, capacity, seen_at) VALUES ($1, $2, now())
    ON CONFLICT (worker) DO UPDATE SET capacity = excluded.capacity, seen_at = excluded.seen_at
    WHERE workers.capacity <> excluded.capacity OR workers.seen_at < excluded.seen_at - interval '1 second'
), gone AS (
    DELETE FROM maskwright.workers WHERE seen_at < now() - interval '1 day' AND worker <> $1
)
UPDATE maskwright.jobs SET lease_until = now() + $4 * interval '1 second'
WHERE lease_token = ANY($3::uuid[]) AND state = 'running'
RETURNING lease_token
"""
_PUT_BACK = """
UPDATE maskwright.jobs SET
    state = 'queued', run_at = now() + $3 * interval '1 second', attempts = attempts - $4, lease_until = NULL,
    last_code = coalesce($5, last_code), last_detail = coalesce($6, last_detail)
WHERE id = $1 AND lease_token = $2 AND state = 'running'
RETURNING id
"""
_PUT_BACK_BY = "SELECT FROM maskwright.jobs WHERE id = $1 AND lease_token = $2 AND state = 'queued'"


@dataclass(frozen=True)
class Claim:
    """What a claim took; `exhausted` leases are of jobs that were begun too often, and are to be ended."""

    leases: list[Lease]
    exhausted: list[Lease]


async def claim(connection: Connection, worker: str, limit: int, lease_s: float, max_attempts: int) -> Claim:
    """Take due jobs."""
    rows = await connection.fetch(_CLAIM, worker, limit, lease_s, max_attempts)
    return Claim(
        [lease_of(row) for row in rows if not row["exhausted"]],
        [lease_of(row) for row in rows if row["exhausted"]],
    )


async def renew(
    connection: Connection, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float
) -> frozenset[UUID]:
    """Extend leases and note that a worker lives; the tokens that hold."""
    rows = await connection.fetch(_RENEW, worker, capacity, tokens, lease_s)
    return frozenset(cast("UUID", row["lease_token"]) for row in rows)


@dataclass(frozen=True)
class PutBack:
    """How a job goes back to the queue: due after a delay, the attempt counted or not, with a failure or without."""

    delay_s: float
    uncounted: int
    failure: Failure | None

    async def __call__(self, connection: Connection, lease: Lease, user_concurrency: int) -> bool:
        """Put a job back; False where the lease is over. True again for the lease that put it back."""
        users = [lease.job.request.owner]
        await lock_users(connection, users)
        if await self._write(connection, lease) is None:
            return await connection.fetchrow(_PUT_BACK_BY, lease.job.id, lease.token) is not None
        await settle_turns(connection, users, user_concurrency)
        await notify(connection, [lease.job.id, WORK])
        return True

    async def _write(self, connection: Connection, lease: Lease) -> Row | None:
        code, detail = (self.failure.code, clean(self.failure.detail)) if self.failure else (None, None)
        values = (lease.job.id, lease.token, self.delay_s, self.uncounted, code, detail)
        return await connection.fetchrow(_PUT_BACK, *values)
