"""Jobs as rows of their table, and how they are found there."""

import json
from collections.abc import Mapping, Sequence
from typing import get_args
from uuid import UUID

from gateway.jobs.job import (
    FINISHED,
    Callback,
    ImageReference,
    Job,
    JobFilter,
    JobState,
    Lease,
    NewJob,
    Outcome,
    StoredArtifact,
    Waiting,
)
from gateway.pipelines.outputs import Failure
from gateway.postgres.connection import Connection, Row

_OF_REQUEST = (
    *("id", "pipeline", "tenant", "batch_id", "user_id", "request_id", "fingerprint", "parameters_stored", "gender"),
    *("priority", "source", "trace_id"),
)
_OF_JOB = ("sequence", "attempts", "created_at", "run_at", "started_at", "finished_at")
"""Columns that are members of NewJob and of Job, under the same names."""
_COLUMNS = (
    *(*_OF_REQUEST, *_OF_JOB, "image_kind", "image_location", "callbacks", "state", "deleted_at", "removal_error"),
    *("lease_token", "last_code", "last_detail", "error_code", "error_detail", "artifacts", "timings_ms"),
)
_MOST_FOUND = 8192
"""Bytes as PostgreSQL keeps them of what a model found, beyond which a list is without it: 200 of them make a page."""
_ALWAYS = ", ".join(f"jobs.{name}" for name in _COLUMNS)
_SHORT = (
    f"{_ALWAYS}, CASE WHEN pg_column_size(jobs.result) <= {_MOST_FOUND} THEN jobs.result END AS result, "
    "'' AS parameters"
)
SHOWN = f"{_ALWAYS}, jobs.result, '' AS parameters"
"""The columns of a job that is shown: without its parameters, which earlier versions stored here at any size."""
WORKED_ON = f"{_ALWAYS}, jobs.result, jobs.parameters"

_GET = f"SELECT {SHOWN} FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NULL"  # noqa: S608 of constants
# Spelled as in the indexes of lists.
_SHOWN_STATE = "CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END"
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
        SELECT id, sequence FROM maskwright.jobs WHERE {{}} AND {_SHOWN_STATE} = shown.state
        ORDER BY sequence DESC LIMIT $1
    ) AS newest
    ORDER BY newest.sequence DESC LIMIT $1
) AS found JOIN maskwright.jobs ON jobs.id = found.id
ORDER BY found.sequence DESC
"""  # noqa: S608 of fixed parts
_FIND_FEW = f"""
SELECT {SHOWN} FROM maskwright.jobs WHERE {{}} AND {_SHOWN_STATE} = ANY($2) ORDER BY sequence DESC LIMIT $1
"""  # noqa: S608 of fixed parts
_FEW = frozenset({"request_id", "batch_id"})
"""There are few jobs with one of these."""


async def get_job(connection: Connection, job_id: UUID) -> Job | None:
    """One job that is not being deleted."""
    row = await connection.fetchrow(_GET, job_id)
    return job_of(row) if row else None


def list_query(jobs: JobFilter) -> tuple[str, Sequence[object]]:
    """The statement that finds jobs, and its values."""
    given = {name: value for name in _CONDITIONS if (value := getattr(jobs, name)) is not None}
    conditions = [_CONDITIONS[name].format(place) for place, name in enumerate(given, 3)]
    states = [jobs.state] if jobs.state else [state for state in _STATES if jobs.deleting or state != "deleting"]
    if "deleting" not in states:
        conditions.append("deleted_at IS NULL")
    query = (_FIND if _FEW.isdisjoint(given) else _FIND_FEW).format(" AND ".join(conditions))
    return query, (jobs.limit, states, *given.values())


def job_of(row: Row) -> Job:
    """A job, of a row of `jobs`."""
    deleted = row["deleted_at"] is not None
    return Job(
        **{name: row[name] for name in _OF_JOB},
        request=_request(row),
        state="deleting" if deleted else row["state"],
        outcome=_outcome(row) if row["state"] in FINISHED else None,
        last_failure=_unremoved(row) if deleted else _failure(row["last_code"], row["last_detail"]),
    )


def lease_of(row: Row) -> Lease:
    """The lease of a running job, of a row of `jobs`."""
    return Lease(job_of(row), row["lease_token"])


def waiting_of(row: Row) -> Waiting:
    """Of a row with `count` and `oldest_s`, which is not below 0, whatever the clock did."""
    return Waiting(row["count"], max(0.0, row["oldest_s"]))


def callbacks_text(callbacks: Sequence[Callback]) -> str:
    """The column `callbacks`."""
    return json.dumps([[callback.kind, callback.destination] for callback in callbacks])


def outcome_columns(outcome: Outcome) -> tuple[str | None, ...]:
    """The columns `error_code`, `error_detail`, `result`, `artifacts` and `timings_ms`."""
    failure = outcome.failure
    return (
        failure.code if failure else None,
        clean(failure.detail) if failure else None,
        json.dumps(dict(outcome.result)),
        json.dumps([vars(artifact) for artifact in outcome.artifacts]),
        json.dumps(dict(outcome.timings_ms)),
    )


def clean(text: str) -> str:
    """Text as a column can hold it: without NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def json_object(text: str | None) -> Mapping[str, object]:
    """The object of a JSON column; an empty one for NULL."""
    value: Mapping[str, object] = json.loads(text or "{}")
    return value


def _request(row: Row) -> NewJob:
    return NewJob(
        **{name: row[name] for name in _OF_REQUEST},
        parameters="" if row["parameters_stored"] else row["parameters"],
        image=ImageReference(row["image_kind"], row["image_location"]),
        callbacks=tuple(Callback(kind, destination) for kind, destination in json.loads(row["callbacks"])),
    )


def _outcome(row: Row) -> Outcome:
    return Outcome(
        result=json_object(row["result"]),
        artifacts=tuple(StoredArtifact(**artifact) for artifact in json.loads(row["artifacts"] or "[]")),
        failure=_failure(row["error_code"], row["error_detail"]),
        timings_ms=json.loads(row["timings_ms"] or "{}"),
    )


def _failure(code: str | None, detail: str | None) -> Failure | None:
    return None if code is None else Failure(code, detail or "")


def _unremoved(row: Row) -> Failure | None:
    """Why the objects of a job that is being deleted could not be removed, as a failure."""
    return Failure("storage_unavailable", row["removal_error"]) if row["removal_error"] else None
