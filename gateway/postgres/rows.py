"""What the tables' rows hold, and the values they stand for."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict, cast, get_args
from uuid import UUID

from gateway.jobs.dead_letters import DeadLetter
from gateway.jobs.job import (
    FINISHED,
    Callback,
    CallbackKind,
    ImageKind,
    ImageReference,
    Job,
    JobState,
    Lease,
    NewJob,
    Outcome,
    StoredArtifact,
    Waiting,
)
from gateway.jobs.outbox import Delivery, DeliveryState, OutboxMessage
from gateway.jobs.store import JobFilter
from gateway.postgres.connection import Connection, Row
from gateway.results import Failure

SHOWN = (
    *("id", "sequence", "pipeline", "tenant", "batch_id", "user_id", "request_id", "fingerprint", "parameters_stored"),
    *("image_kind", "image_location", "gender", "priority", "source", "trace_id", "callbacks", "state", "attempts"),
    *("created_at", "run_at", "started_at", "finished_at", "deleted_at", "removal_error", "lease_token", "last_code"),
    *("last_detail", "error_code", "error_detail", "result", "artifacts", "timings_ms"),
)
"""The columns of a job that is not worked on: all but its parameters, which were of any size once."""
WORKED_ON = (*SHOWN, "parameters")


def listed(names: Sequence[str], table: str = "jobs") -> str:
    """A list of columns for a statement."""
    return ", ".join(f"{table}.{name}" for name in names)


class _JobRow(TypedDict):
    id: UUID
    sequence: int
    pipeline: str
    tenant: str
    batch_id: UUID | None
    user_id: str
    request_id: str
    fingerprint: bytes
    parameters: NotRequired[str]
    parameters_stored: bool
    image_kind: ImageKind
    image_location: str
    gender: str | None
    priority: int
    source: str
    trace_id: str
    callbacks: str
    state: JobState
    attempts: int
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deleted_at: datetime | None
    removal_error: str | None
    lease_token: UUID
    last_code: str | None
    last_detail: str | None
    error_code: str | None
    error_detail: str | None
    result: str | None
    artifacts: str | None
    timings_ms: str | None


class _DeliveryRow(TypedDict):
    id: int
    job_id: UUID | None
    kind: CallbackKind
    destination: str
    key: str
    headers: str
    body: bytes
    state: DeliveryState
    attempts: int
    created_at: datetime
    run_at: datetime
    ended_at: datetime | None
    last_error: str | None
    tenant: str
    receiver: str


class _PoisonRow(TypedDict):
    id: int
    job_id: UUID | None
    origin: str
    code: str
    detail: str
    attempts: int
    size: int
    created_at: datetime


def job_of(row: Row) -> Job:
    """A job, of a row of `jobs`."""
    columns = cast("_JobRow", row)
    deleted = columns["deleted_at"] is not None
    return Job(
        request=_request(columns),
        sequence=columns["sequence"],
        state="deleting" if deleted else columns["state"],
        attempts=columns["attempts"],
        created_at=columns["created_at"],
        run_at=columns["run_at"],
        started_at=columns["started_at"],
        finished_at=columns["finished_at"],
        outcome=_outcome(columns) if columns["state"] in FINISHED else None,
        last_failure=_unremoved(columns) if deleted else _failure(columns["last_code"], columns["last_detail"]),
    )


def lease_of(row: Row) -> Lease:
    """The lease of a running job, of a row of `jobs`."""
    return Lease(job_of(row), cast("_JobRow", row)["lease_token"])


def delivery_of(row: Row) -> Delivery:
    """A delivery, of a row of `deliveries`."""
    columns = cast("_DeliveryRow", row)
    return Delivery(
        id=columns["id"],
        job_id=columns["job_id"],
        content=_content(columns),
        state=columns["state"],
        attempts=columns["attempts"],
        created_at=columns["created_at"],
        run_at=columns["run_at"],
        ended_at=columns["ended_at"],
        last_error=columns["last_error"],
    )


def poison_of(row: Row) -> DeadLetter:
    """An entry, of a row of `poison` with its `size`."""
    columns = cast("_PoisonRow", row)
    return DeadLetter(
        id=columns["id"],
        job_id=columns["job_id"],
        origin=columns["origin"],
        failure=Failure(columns["code"], columns["detail"]),
        attempts=columns["attempts"],
        size=columns["size"],
        created_at=columns["created_at"],
    )


def waiting_of(row: Row) -> Waiting:
    """Of a row with `count` and `oldest_s`, which is not below 0, whatever the clock did."""
    return Waiting(cast("int", row["count"]), max(0.0, cast("float", row["oldest_s"])))


def callbacks_text(callbacks: Sequence[Callback]) -> str:
    """The column `callbacks`."""
    return json.dumps([[callback.kind, callback.destination] for callback in callbacks])


def artifacts_text(artifacts: Sequence[StoredArtifact]) -> str:
    """The column `artifacts`."""
    return json.dumps([vars(artifact) for artifact in artifacts])


def outcome_columns(outcome: Outcome) -> tuple[str | None, ...]:
    """The columns `error_code`, `error_detail`, `result`, `artifacts` and `timings_ms`."""
    failure = outcome.failure
    return (
        failure.code if failure else None,
        clean(failure.detail) if failure else None,
        json.dumps(dict(outcome.result)),
        artifacts_text(outcome.artifacts),
        json.dumps(dict(outcome.timings_ms)),
    )


def clean(text: str) -> str:
    """Text as a column can hold it: without NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _request(columns: _JobRow) -> NewJob:
    return NewJob(
        id=columns["id"],
        pipeline=columns["pipeline"],
        user_id=columns["user_id"],
        request_id=columns["request_id"],
        fingerprint=columns["fingerprint"],
        parameters="" if columns["parameters_stored"] else columns.get("parameters", ""),
        parameters_stored=columns["parameters_stored"],
        image=ImageReference(columns["image_kind"], columns["image_location"]),
        source=columns["source"],
        trace_id=columns["trace_id"],
        gender=columns["gender"],
        priority=columns["priority"],
        callbacks=tuple(Callback(kind, destination) for kind, destination in json.loads(columns["callbacks"])),
        tenant=columns["tenant"],
        batch_id=columns["batch_id"],
    )


def _outcome(columns: _JobRow) -> Outcome:
    return Outcome(
        result=_object(columns["result"]),
        artifacts=tuple(StoredArtifact(**artifact) for artifact in json.loads(columns["artifacts"] or "[]")),
        failure=_failure(columns["error_code"], columns["error_detail"]),
        timings_ms=cast("Mapping[str, float]", _object(columns["timings_ms"])),
    )


def _content(columns: _DeliveryRow) -> OutboxMessage:
    headers = cast("Mapping[str, str]", _object(columns["headers"]))
    named = (columns["kind"], columns["destination"], columns["key"], columns["body"])
    return OutboxMessage(*named, headers, columns["tenant"], columns["receiver"])


def _failure(code: str | None, detail: str | None) -> Failure | None:
    return None if code is None else Failure(code, detail or "")


def _unremoved(columns: _JobRow) -> Failure | None:
    reason = columns["removal_error"]
    return Failure("storage_unavailable", reason) if reason else None


def _object(text: str | None) -> Mapping[str, object]:
    return cast("Mapping[str, object]", json.loads(text or "{}"))


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
