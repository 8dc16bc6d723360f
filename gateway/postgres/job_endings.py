"""The end of a job, one transaction with all that its outcome brings about; and the removal of jobs that ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from typing_extensions import override

from gateway.cache.cache import NewEntry
from gateway.jobs.job import Job, Lease, Outcome
from gateway.jobs.outbox import MessageMaker
from gateway.jobs.store import CANCELLED, FIRST_PAUSE_S, LONGEST_PAUSE_S, REMOVAL_S, WORK, JobStore
from gateway.pipelines.parameters import canonical_gender
from gateway.postgres.connection import Connection
from gateway.postgres.leases import spend
from gateway.postgres.outbox import add_deliveries, add_job
from gateway.postgres.pool import Pool, notify
from gateway.postgres.results import keep_entry
from gateway.postgres.rows import SHOWN, WORKED_ON, clean, get_job, job_of, outcome_columns
from gateway.postgres.user_turns import lock_users, settle_turns
from gateway.settings.settings import MASK_TYPES

# The token stays, so that the lease that ended the job is known if it asks again; without a lease it is NULL.
_END = f"""
UPDATE maskwright.jobs SET
    state = $3, error_code = $4, error_detail = $5, result = $6, artifacts = $7, timings_ms = $8,
    finished_at = clock_timestamp(), lease_token = $2, lease_until = NULL, held = false,
    writes_until = CASE WHEN attempts > 1 OR (attempts = 1 AND $9) THEN now() + $10 * interval '1 second' END,
    removal_at = CASE WHEN $3 = 'failed' AND (attempts > 1 OR (attempts = 1 AND $9))
        THEN now() + $10 * interval '1 second' END
WHERE id = $1 AND finished_at IS NULL AND ($2::uuid IS NULL OR (lease_token = $2 AND state = 'running'))
RETURNING {WORKED_ON}
"""  # noqa: S608 of constants
_ENDED_BY = "SELECT FROM maskwright.jobs WHERE id = $1 AND lease_token = $2 AND finished_at IS NOT NULL"
_OWNER = "SELECT owner FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NULL"
# A message that comes again must find its job, so the row of a job from Kafka stays for a while.
_HIDE = f"""
UPDATE maskwright.jobs SET
    deleted_at = now(), removal_at = now() + $2 * interval '1 second', removal_attempts = 0, removal_error = NULL,
    writes_until = CASE WHEN source LIKE 'kafka:%' THEN greatest(writes_until, created_at + $3 * interval '1 second')
        ELSE writes_until END
WHERE id = $1 AND deleted_at IS NULL
RETURNING {SHOWN}
"""  # noqa: S608 of constants
_DROP_DEAD_LETTERS = "DELETE FROM maskwright.poison WHERE job_id = $1"
_MASKS = [f"{mask_type}_mask.png" for mask_type in MASK_TYPES]

# The masks are in the order of MASK_TYPES.
_KEEP_MASKS = """
INSERT INTO public.user_mask_outputs AS kept (
    user_id, gender, request_id, upper_body_mask, upper_body_tshirts_mask, upper_body_coat_mask, lower_body_mask,
    ethnic_combined_mask, baggy_lower_mask, dress_mask, updated_at
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now()
WHERE NOT EXISTS (
    SELECT FROM maskwright.jobs
    WHERE user_id = $1 AND tenant = $13 AND sequence > $11
        AND pipeline = 'body_masks' AND state = 'completed' AND deleted_at IS NULL
        AND EXISTS (SELECT FROM json_array_elements(artifacts) AS made WHERE made ->> 'name' = ANY($12::text[]))
)
ON CONFLICT (user_id) DO UPDATE SET
    gender = excluded.gender,
    request_id = excluded.request_id,
    upper_body_mask = excluded.upper_body_mask,
    upper_body_tshirts_mask = excluded.upper_body_tshirts_mask,
    upper_body_coat_mask = excluded.upper_body_coat_mask,
    lower_body_mask = excluded.lower_body_mask,
    ethnic_combined_mask = excluded.ethnic_combined_mask,
    baggy_lower_mask = excluded.baggy_lower_mask,
    dress_mask = excluded.dress_mask,
    updated_at = excluded.updated_at
"""


@dataclass(frozen=True)
class Endings:
    """Ends jobs, with what their outcomes owe to others, and lets the user's next have their turn.

    `masks_tenant` is whose the table `user_mask_outputs` is. `late_writes_s` seconds after a job's end no worker writes
    its artifacts any more.
    """

    messages_of: MessageMaker
    user_concurrency: int
    masks_tenant: str
    late_writes_s: float

    async def finish(self, connection: Connection, lease: Lease, outcome: Outcome, entry: NewEntry | None) -> bool:
        """End a job by its lease; False where the lease is over. True again for the lease that ended it.

        Raises LockLostError, which must undo the transaction.
        """
        await lock_users(connection, [lease.job.request.owner])
        if await self._end(connection, lease.job.id, lease.token, outcome):
            await spend(connection, lease.job.request, lease.lock)
            if entry:
                await keep_entry(connection, entry)
            return True
        return await connection.fetchrow(_ENDED_BY, lease.job.id, lease.token) is not None

    async def cancel(self, connection: Connection, job_id: UUID) -> Job | None:
        """End an unfinished job; the job as it is then, None where there is none."""
        row = await connection.fetchrow(_OWNER, job_id)
        if row is None:
            return None
        await lock_users(connection, [row["owner"]])
        if job := await self._end(connection, job_id, None, CANCELLED):
            return job
        return await get_job(connection, job_id)

    async def delete(self, connection: Connection, job_id: UUID) -> Job | None:
        """Cancel and hide a job; None where there is none."""
        if await self.cancel(connection, job_id) is None:
            return None
        await connection.execute(_DROP_DEAD_LETTERS, job_id)
        row = await connection.fetchrow(_HIDE, job_id, REMOVAL_S, self.late_writes_s)
        return job_of(row) if row else None

    async def owe(self, connection: Connection, job: Job, outcome: Outcome) -> None:
        """Add what an ended job's outcome brings with it: deliveries, a dead letter, the user's masks."""
        await add_deliveries(connection, job.id, self.messages_of(job, outcome))
        await add_job(connection, job, outcome)
        if job.request.tenant == self.masks_tenant:
            await _keep_masks(connection, job, outcome)

    async def _end(self, connection: Connection, job_id: UUID, token: UUID | None, outcome: Outcome) -> Job | None:
        columns = (*outcome_columns(outcome), outcome.leaves_objects, self.late_writes_s)
        row = await connection.fetchrow(_END, job_id, token, outcome.state, *columns)
        if row is None:
            return None
        job = job_of(row)
        await self.owe(connection, job, outcome)
        await settle_turns(connection, [job.request.owner], self.user_concurrency)
        await notify(connection, [job.id, WORK])
        return job


async def _keep_masks(connection: Connection, job: Job, outcome: Outcome) -> None:
    """Write the row of a completed job's user, who is locked, where no later job did; masks not made are NULL.

    The masks of everyone in a photo are not the user's: they have other names, and leave the row as it is.
    """
    request = job.request
    if request.pipeline != "body_masks" or not request.user_id or outcome.failure:
        return
    made = {artifact.name for artifact in outcome.artifacts}
    if made.isdisjoint(_MASKS):
        return
    gender = canonical_gender(request.gender) if request.gender else None
    masks = [name if name in made else None for name in _MASKS]
    whose = (request.user_id, gender, request.request_id)
    await connection.execute(_KEEP_MASKS, *whose, *masks, job.sequence, _MASKS, request.tenant)


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
# In one statement: between two, a replay could let a job run again.
_OVER = """
SELECT id, finished_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM maskwright.poison WHERE poison.job_id = jobs.id AND closed_at IS NULL
) AS over
FROM maskwright.jobs WHERE id = ANY($1::uuid[])
"""
# Pending deliveries stay, and are sent.
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
