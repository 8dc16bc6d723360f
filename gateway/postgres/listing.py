"""Reading jobs."""

from uuid import UUID

from gateway.jobs.job import Job
from gateway.jobs.store import JobFilter
from gateway.postgres.connection import Connection
from gateway.postgres.rows import job_of

_GET = "SELECT * FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NULL"
_DELETING = "SELECT * FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NOT NULL"
_CONDITIONS = {
    "tenant": "tenant = ${}",
    "state": "state = ${}",
    "user_id": "user_id = ${}",
    "request_id": "request_id = ${}",
    "pipeline": "pipeline = ${}",
    "batch_id": "batch_id = ${}",
    "before": "sequence < ${}",
}


async def get_job(connection: Connection, job_id: UUID) -> Job | None:
    """One job that is not hidden."""
    row = await connection.fetchrow(_GET, job_id)
    return job_of(row) if row else None


async def deleting_job(connection: Connection, job_id: UUID) -> Job | None:
    """One job that is hidden."""
    row = await connection.fetchrow(_DELETING, job_id)
    return job_of(row) if row else None


async def find_jobs(connection: Connection, jobs: JobFilter) -> list[Job]:
    """Jobs, the newest first; hidden ones where they are wanted too."""
    wanted = {name: value for name in _CONDITIONS if (value := getattr(jobs, name)) is not None}
    hidden = wanted.get("state") == "deleting"
    if hidden:
        del wanted["state"]
    conditions = [_CONDITIONS[name].format(place) for place, name in enumerate(wanted, 2)]
    if hidden:
        conditions.append("deleted_at IS NOT NULL")
    elif jobs.state or not jobs.deleting:
        conditions.append("deleted_at IS NULL")
    where = " AND ".join(conditions)
    query = f"SELECT * FROM maskwright.jobs WHERE {where} ORDER BY sequence DESC LIMIT $1"  # noqa: S608 of fixed parts
    return [job_of(row) for row in await connection.fetch(query, jobs.limit, *wanted.values())]
