"""How jobs leave the store: the old ones are deleted, and a deleted one is forgotten once its objects are gone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from typing_extensions import override

from gateway.jobs.job import Job
from gateway.jobs.store import FIRST_PAUSE_S, LONGEST_PAUSE_S, JobStore
from gateway.postgres.connection import Connection
from gateway.postgres.pool import Pool
from gateway.postgres.rows import SHOWN, clean, job_of

_EXPIRE_BATCH = 1000

_REMOVABLE = f"""
WITH due AS (
    SELECT id FROM maskwright.jobs
    WHERE (deleted_at IS NOT NULL OR removal_at IS NOT NULL) AND coalesce(removal_at, deleted_at) <= now()
    ORDER BY coalesce(removal_at, deleted_at) LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE maskwright.jobs SET removal_at = now() + $2 * interval '1 second' FROM due WHERE jobs.id = due.id
RETURNING {SHOWN}
"""  # noqa: S608 of constants
_POSTPONE = """
UPDATE maskwright.jobs SET
    removal_attempts = removal_attempts + 1, removal_error = $2,
    removal_at = now() + least($4, $3 * 2.0 ^ least(removal_attempts, 16)) * interval '1 second'
WHERE id = $1 AND (deleted_at IS NOT NULL OR removal_at IS NOT NULL)
"""
_GONE = """
SELECT id FROM maskwright.jobs
WHERE id = ANY($1::uuid[]) AND deleted_at IS NOT NULL
    AND (writes_until IS NULL OR writes_until <= coalesce($2::timestamptz, now()))
FOR UPDATE
"""
_REST = """
UPDATE maskwright.jobs SET
    removal_at = CASE WHEN writes_until > coalesce($2::timestamptz, now()) THEN writes_until END,
    removal_attempts = 0, removal_error = NULL
WHERE id = ANY($1::uuid[])
"""
# In one look: a replay between two would let a job be worked on again.
_OVER = """
SELECT id, finished_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM maskwright.poison WHERE poison.job_id = jobs.id AND closed_at IS NULL
) AS over
FROM maskwright.jobs WHERE id = ANY($1::uuid[])
"""
# What is still owed to others is sent all the same.
_FORGET_DELIVERIES = "DELETE FROM maskwright.deliveries WHERE job_id = ANY($1::uuid[]) AND state <> 'pending'"
_FORGET_MASKS = """
DELETE FROM public.user_mask_outputs AS masks USING maskwright.jobs
WHERE jobs.id = ANY($1::uuid[]) AND jobs.deleted_at IS NOT NULL
    AND masks.user_id = jobs.user_id AND masks.request_id = jobs.request_id AND jobs.tenant = $2
    AND NOT EXISTS (
        SELECT FROM maskwright.jobs AS later
        WHERE later.request_id = jobs.request_id AND later.user_id = jobs.user_id AND later.tenant = jobs.tenant
            AND later.deleted_at IS NULL
    )
"""
_FORGET_RESULTS = """
DELETE FROM public.task_results AS results USING maskwright.jobs
WHERE jobs.id = ANY($1::uuid[]) AND jobs.deleted_at IS NOT NULL
    AND results.task_id::text = jobs.id::text AND results.pipeline IS NOT NULL
"""
_FORGET_JOBS = "DELETE FROM maskwright.jobs WHERE id = ANY($1::uuid[])"
_EXPIRE = """
WITH old AS (
    SELECT id FROM maskwright.jobs
    WHERE finished_at <= now() - $1 * interval '1 day' AND deleted_at IS NULL
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
), closed AS (
    DELETE FROM maskwright.poison WHERE job_id IN (SELECT id FROM old)
)
UPDATE maskwright.jobs SET deleted_at = now(), removal_at = now() FROM old WHERE jobs.id = old.id
"""


class PostgresRemovals(JobStore):
    """The part of the store that janitors use."""

    _pool: Pool
    _masks_tenant: str

    @override
    async def removable(self, limit: int, lease_s: float) -> list[Job]:
        return [job_of(row) for row in await self._pool.fetch(_REMOVABLE, limit, lease_s)]

    @override
    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        return {row["id"]: row["over"] for row in await self._pool.fetch(_OVER, job_ids)}

    @override
    async def remove(self, job_ids: Sequence[UUID], since: datetime | None = None) -> frozenset[UUID]:
        """Forget deleted jobs, their results, and the users' rows that name their masks."""
        return await self._pool.transact(partial(self._remove, job_ids, since))

    @override
    async def postpone_removal(self, job_id: UUID, reason: str) -> None:
        await self._pool.change(_POSTPONE, job_id, clean(reason), FIRST_PAUSE_S, LONGEST_PAUSE_S)

    @override
    async def expire(self, days: int) -> int:
        return await self._pool.change(_EXPIRE, days, _EXPIRE_BATCH)

    async def _remove(self, job_ids: Sequence[UUID], since: datetime | None, connection: Connection) -> frozenset[UUID]:
        gone = [row["id"] for row in await connection.fetch(_GONE, job_ids, since)]
        await connection.execute(_FORGET_RESULTS, job_ids)
        await connection.execute(_FORGET_MASKS, job_ids, self._masks_tenant)
        await connection.execute(_FORGET_DELIVERIES, gone)
        await connection.execute(_FORGET_JOBS, gone)
        await connection.execute(_REST, job_ids, since)
        return frozenset(gone)
