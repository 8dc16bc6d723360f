"""The transaction that keeps new jobs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from uuid import UUID

import asyncpg

from gateway.jobs.job import Job, NewJob, SubmittedJob
from gateway.jobs.store import WORK
from gateway.postgres.connection import Connection
from gateway.postgres.job_endings import Endings
from gateway.postgres.leases import spend
from gateway.postgres.pool import notify
from gateway.postgres.rows import SHOWN, callbacks_text, clean, job_of, outcome_columns
from gateway.postgres.user_turns import lock_users, settle_turns

_ADD = """
INSERT INTO maskwright.jobs (
    id, pipeline, user_id, request_id, fingerprint, parameters, image_kind, image_location, gender, priority, source,
    trace_id, callbacks, state, error_code, error_detail, result, artifacts, timings_ms, tenant, batch_id,
    parameters_stored, held, finished_at
)
SELECT id, pipeline, user_id, request_id, fingerprint, parameters::json, image_kind, image_location, gender, priority,
    source, trace_id, callbacks::json, state, error_code, error_detail, result::json, artifacts::json,
    timings_ms::json, tenant, batch_id, parameters_stored, state = 'queued' AND user_id <> '',
    CASE WHEN state = 'queued' THEN NULL ELSE now() END
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::text[], $19::text[], $20::text[], $21::uuid[], $22::boolean[]
) WITH ORDINALITY AS new(
    id, pipeline, user_id, request_id, fingerprint, parameters, image_kind, image_location, gender, priority, source,
    trace_id, callbacks, state, error_code, error_detail, result, artifacts, timings_ms, tenant, batch_id,
    parameters_stored, place
)
ORDER BY place
ON CONFLICT DO NOTHING
RETURNING id
"""
# By its id alone where the same message comes again after its job was deleted, or KAFKA_TENANT changed.
_KEPT = f"""
SELECT kept.*
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new(id, tenant, user_id, request_id)
CROSS JOIN LATERAL (
    SELECT {SHOWN} FROM maskwright.jobs
    WHERE jobs.request_id = new.request_id AND jobs.user_id = new.user_id AND jobs.tenant = new.tenant
        AND jobs.deleted_at IS NULL
    UNION ALL
    SELECT {SHOWN} FROM maskwright.jobs
    WHERE jobs.id = new.id AND (jobs.deleted_at IS NOT NULL OR jobs.tenant <> new.tenant)
) AS kept
"""  # noqa: S608 of constants

_NOT_HERE = "null"
"""A worker of a version that knows no stored parameters fails on this value; then another worker tries."""
_Identity = tuple[str, str, str]
_Kept = Mapping[UUID | _Identity, Job]
"""Jobs that the store has, by their ids; and by tenant, user and request id where they are not being deleted."""


async def keep_jobs(
    connection: Connection, endings: Endings, jobs: Sequence[NewJob], added: set[UUID]
) -> list[SubmittedJob]:
    """Keep all or nothing, and end those that come with an outcome; what became of each job.

    `added` are the jobs that earlier tries added, whether they were committed or not; this try adds its own. Raises
    SerializationError if it must be repeated; LockLostError.
    """
    users = {job.owner for job in jobs}
    await lock_users(connection, users)
    columns = (list(column) for column in zip(*map(_values, jobs), strict=True))
    new = {row["id"] for row in await connection.fetch(_ADD, *columns)}
    kept = await _kept(connection, jobs)
    for job in jobs:
        if job.outcome and job.id in new:
            await spend(connection, job, job.lock)
            await endings.owe(connection, kept[job.id], job.outcome)
    if new:
        await settle_turns(connection, users, endings.user_concurrency)
        await notify(connection, [WORK])
    added |= new
    return list(_submissions(jobs, kept, added))


async def _kept(connection: Connection, jobs: Sequence[NewJob]) -> _Kept:
    identities = [(job.id, *_identity(job)) for job in jobs]
    kept: dict[UUID | _Identity, Job] = {}
    for row in await connection.fetch(_KEPT, *map(list, zip(*identities, strict=True))):
        job = job_of(row)
        kept[job.id] = job
        if row["deleted_at"] is None:
            kept[_identity(job.request)] = job
    return kept


def _same(job: NewJob, kept: _Kept) -> Job:
    """The job that is kept for a new one. Raises SerializationError where it was deleted this moment."""
    same = kept.get(_identity(job)) or kept.get(job.id)
    if same is None:
        raise asyncpg.SerializationError(f"job {job.request_id!r} was deleted while it came again")
    return same


def _identity(job: NewJob) -> _Identity:
    return job.tenant, job.user_id, job.request_id


def _submissions(jobs: Sequence[NewJob], kept: _Kept, added: Collection[UUID]) -> Iterator[SubmittedJob]:
    """A job that was added is `created` once, and `known` where the same message stands twice among these."""
    untold = set(added)
    for job in jobs:
        same = _same(job, kept)
        if same.request.fingerprint != job.fingerprint:
            yield SubmittedJob(same, "conflict")
        else:
            yield SubmittedJob(same, "created" if same.id == job.id and job.id in untold else "known")
        untold.discard(job.id)


def _values(job: NewJob) -> tuple[object, ...]:
    """What _ADD takes of each job, column by column."""
    return (
        job.id,
        job.pipeline,
        job.user_id,
        job.request_id,
        job.fingerprint,
        job.parameters or _NOT_HERE,
        job.image.kind,
        clean(job.image.location),
        job.gender if job.gender is None else clean(job.gender),
        job.priority,
        clean(job.source),
        job.trace_id,
        callbacks_text(job.callbacks),
        job.outcome.state if job.outcome else "queued",
        *(outcome_columns(job.outcome) if job.outcome else (None,) * 5),
        job.tenant,
        job.batch_id,
        job.parameters_stored,
    )
