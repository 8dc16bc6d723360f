"""How jobs leave the store."""

from collections.abc import Sequence
from uuid import UUID

from gateway.jobs.job import Job
from gateway.postgres.connection import Connection, affected
from gateway.postgres.rows import job_of

_EXPIRE_BATCH = 5000

_REMOVABLE = """
SELECT * FROM maskwright.jobs WHERE deleted_at <= now() - $1 * interval '1 second' ORDER BY deleted_at LIMIT $2
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
_FORGET_JOBS = "DELETE FROM maskwright.jobs WHERE id = ANY($1::uuid[]) AND deleted_at IS NOT NULL"
_EXPIRE = """
WITH old AS (
    SELECT id FROM maskwright.jobs
    WHERE finished_at <= now() - $1 * interval '1 day' AND deleted_at IS NULL
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
), closed AS (
    DELETE FROM maskwright.poison WHERE job_id IN (SELECT id FROM old)
)
UPDATE maskwright.jobs SET deleted_at = now() FROM old WHERE jobs.id = old.id
"""


async def removable_jobs(connection: Connection, older_than_s: float, limit: int) -> list[Job]:
    """Jobs deleted at least so long ago."""
    return [job_of(row) for row in await connection.fetch(_REMOVABLE, older_than_s, limit)]


async def remove_jobs(connection: Connection, job_ids: Sequence[UUID], masks_tenant: str) -> None:
    """Forget deleted jobs, and a user's row that names their masks."""
    await connection.execute(_FORGET_DELIVERIES, job_ids)
    await connection.execute(_FORGET_MASKS, job_ids, masks_tenant)
    await connection.execute(_FORGET_JOBS, job_ids)


async def expire_jobs(connection: Connection, days: int) -> int:
    """Delete some of the jobs that ended so long ago; how many."""
    return affected(await connection.execute(_EXPIRE, days, _EXPIRE_BATCH))
