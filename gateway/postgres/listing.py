"""Reading jobs."""

from collections.abc import Sequence
from typing import cast, get_args
from uuid import UUID

from gateway.jobs.job import Job, JobState
from gateway.jobs.store import JobFilter
from gateway.postgres.connection import Connection
from gateway.postgres.rows import SHOWN, job_of, listed

_GET = f"SELECT {listed(SHOWN)} FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NULL"  # noqa: S608 of constants
_DELETING = f"SELECT {listed(SHOWN)} FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NOT NULL"  # noqa: S608 the same
_PARAMETERS = """
SELECT CASE WHEN parameters_stored THEN '' ELSE parameters::text END AS parameters
FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NULL
"""
_MOST_FOUND = 8192
"""Bytes as PostgreSQL keeps them of what a model found, beyond which a list is without it: 200 of them make a page."""
_SHORT = (
    listed([name for name in SHOWN if name != "result"])
    + f", CASE WHEN pg_column_size(jobs.result) <= {_MOST_FOUND} THEN jobs.result END AS result"
)
# Spelled as in the indexes of lists.
_SHOWN = "CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END"
_STATES: tuple[JobState, ...] = get_args(JobState)
_CONDITIONS = {
    "tenant": "tenant = ${}",
    "user_id": "user_id = ${}",
    "request_id": "request_id = ${}",
    "pipeline": "pipeline = ${}",
    "batch_id": "batch_id = ${}",
    "before": "sequence < ${}",
}
# The newest of each state come from an index, in their order; the list is the newest of those.
_FIND = f"""
SELECT {_SHORT} FROM (
    SELECT newest.id, newest.sequence FROM unnest($2::text[]) AS shown(state)
    CROSS JOIN LATERAL (
        SELECT id, sequence FROM maskwright.jobs WHERE {{}} AND {_SHOWN} = shown.state ORDER BY sequence DESC LIMIT $1
    ) AS newest
    ORDER BY newest.sequence DESC LIMIT $1
) AS found JOIN maskwright.jobs ON jobs.id = found.id
ORDER BY found.sequence DESC
"""  # noqa: S608 of fixed parts
_FIND_FEW = f"""
SELECT {listed(SHOWN)} FROM maskwright.jobs WHERE {{}} AND {_SHOWN} = ANY($2) ORDER BY sequence DESC LIMIT $1
"""  # noqa: S608 of fixed parts
_FEW = frozenset({"request_id", "batch_id"})
"""Of what has one of these there are few."""


async def get_job(connection: Connection, job_id: UUID) -> Job | None:
    """One job that is not hidden."""
    row = await connection.fetchrow(_GET, job_id)
    return job_of(row) if row else None


async def get_parameters(connection: Connection, job_id: UUID) -> str | None:
    """The parameters of a job that is not hidden; empty where they are an object."""
    row = await connection.fetchrow(_PARAMETERS, job_id)
    return cast("str", row["parameters"]) if row else None


async def deleting_job(connection: Connection, job_id: UUID) -> Job | None:
    """One job that is hidden."""
    row = await connection.fetchrow(_DELETING, job_id)
    return job_of(row) if row else None


async def find_jobs(connection: Connection, jobs: JobFilter) -> list[Job]:
    """Jobs, the newest first; hidden ones where they are wanted too."""
    query, values = list_query(jobs)
    return [job_of(row) for row in await connection.fetch(query, *values)]


def list_query(jobs: JobFilter) -> tuple[str, Sequence[object]]:
    """The statement that finds jobs, and its values."""
    given = {name: value for name in _CONDITIONS if (value := getattr(jobs, name)) is not None}
    conditions = [_CONDITIONS[name].format(place) for place, name in enumerate(given, 3)]
    states = [jobs.state] if jobs.state else [state for state in _STATES if jobs.deleting or state != "deleting"]
    if "deleting" not in states:
        conditions.append("deleted_at IS NULL")
    query = (_FIND if _FEW.isdisjoint(given) else _FIND_FEW).format(" AND ".join(conditions))
    return query, (jobs.limit, states, *given.values())
