"""A job as it is shown: its fields, what they mean, and the JSON object, in answers as in webhooks."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from pydantic import Field

from gateway.errors import PROBLEMS
from gateway.jobs.job import CallbackKind, Job, JobState, Outcome, StoredArtifact
from gateway.jobs.outbox import Delivery, DeliveryState
from gateway.pipelines.outputs import (
    Answer,
    BlurDone,
    Count,
    FaceFound,
    Failure,
    Looked,
    MadeBy,
    ObjectFound,
    PersonFound,
    PhotoSize,
)
from gateway.timing import timestamp

EXAMPLE_ID = "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11"
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=[EXAMPLE_ID])]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2025-11-26T12:00:00.000000Z"])]
Code = Annotated[str, Field(json_schema_extra={"enum": list(PROBLEMS)}, examples=["invalid_json"])]


class JobError(Answer):
    """Why a job failed, or had to be tried again."""

    code: Code = Field(description="Stable: the codes of the problem details.")
    detail: str = Field(description="For people.", examples=["Expecting ',' delimiter: line 1 column 18 (char 17)"])


def error_of(failure: Failure) -> JobError:
    """A failure, as it is told."""
    return JobError.model_construct(code=failure.code, detail=failure.detail)


class JobArtifact(Answer):
    """A file that the job made."""

    url: str = Field(
        json_schema_extra={"format": "uri"},
        description="Reads the file without credentials.",
        examples=["http://127.0.0.1:9000/masks/123/req-123-001/upper_body_mask.png"],
    )
    content_type: str = Field(examples=["image/png"])
    bytes: Count = Field(description="The file's size.", examples=[4127])


class JobCallback(Answer):
    """One message that the outcome owes to somebody, and what became of it."""

    id: int = Field(examples=[17])
    kind: CallbackKind = Field(examples=["webhook"])
    destination: str = Field(description="A topic or a URL.", examples=["https://example.com/masks"])
    state: DeliveryState = Field(examples=["delivered"])
    attempts: Count = Field(examples=[1])
    last_error: str | None
    ended_at: Timestamp | None = Field(examples=["2025-11-26T12:00:00.640000Z"])


class JobSummary(Answer):
    """A job as lists have it."""

    id: Id
    pipeline: str = Field(examples=["body_masks"])
    state: JobState = Field(examples=["queued"])
    user_id: str = Field(description="Empty where the request named none.", examples=["123"])
    request_id: str = Field(examples=["req-123-001"])
    source: str = Field(
        description="http, frontal, process:{provider}, upload:{file name} or kafka:{topic}/{partition}/{offset}.",
        examples=["http"],
    )
    trace_id: str = Field(
        pattern="^[0-9a-f]{32}$",
        description="That of the request's header traceparent.",
        examples=["4bf92f3577b34da6a3ce929d0e0e4736"],
    )
    priority: int = Field(examples=[0])
    attempts: Count = Field(description="How often it was begun.", examples=[0])
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage.", examples=[{}])
    error: JobError | None = Field(description="Why it failed.")
    last_error: JobError | None = Field(description="Why its latest attempt has to be repeated.")
    photo: PhotoSize | None = Field(None, description="Only of completed jobs.")
    made_by: MadeBy | None = Field(None, description="What made the result. Only of completed jobs.")
    persons: list[PersonFound] = Field(default=[], description="Only of completed jobs of body_masks.")
    faces: list[FaceFound] = Field(default=[], description="Only of completed jobs of face_contours.")
    looked: Looked | None = Field(None, description="Only of completed jobs of privacy_blur and detect.")
    detections: list[ObjectFound] = Field(default=[], description="Only of completed jobs of privacy_blur and detect.")
    blur: BlurDone | None = Field(None, description="Only of completed jobs of privacy_blur.")
    cached: bool = Field(default=False, description="Whether it was answered with the result of an earlier request.")
    artifacts: dict[str, JobArtifact] = Field(description="By name, such as upper_body_mask.png.", examples=[{}])


class JobView(JobSummary):
    """A job."""

    callbacks: list[JobCallback] = Field(description="Only of finished jobs.", examples=[[]])


QUEUED = JobView.example()
COMPLETED = JobView.example(
    state="completed",
    attempts=1,
    started_at="2025-11-26T12:00:00.012000Z",
    finished_at="2025-11-26T12:00:00.310000Z",
    timings_ms={"queue": 12.0, "fetch": 3.1, "infer": 61.8, "store": 9.4},
    photo=PhotoSize.example(),
    persons=[PersonFound.example()],
    artifacts={"upper_body_mask.png": JobArtifact.example()},
    callbacks=[JobCallback.example()],
)
"""Examples of a job."""

Link = Callable[[UUID, StoredArtifact], str]
"""The URL of a job's artifact."""
Links = Callable[[str], Link]
"""The links of an answer, or of a message, by what addresses of the gateway begin with there."""


def by_job(base: str) -> Link:
    """Links through the gateway, which asks who reads."""
    return lambda job_id, artifact: f"{base}/v1/jobs/{job_id}/artifacts/{quote(artifact.name)}"


def by_key(base: str) -> Link:
    """The same, where jobs are in memory."""
    return lambda _, artifact: f"{base}/v1/artifacts/{quote(artifact.key)}"


_UNFINISHED = Outcome()


def job_view(job: Job, deliveries: Sequence[Delivery] = (), *, link: Link) -> dict[str, object]:
    """The public JSON object of a job; times are RFC 3339 in UTC, `link` makes an artifact's URL."""
    outcome = job.outcome or _UNFINISHED
    artifacts = () if job.state == "deleting" else outcome.artifacts
    return {
        **_identity(job),
        **_progress(job),
        "timings_ms": dict(outcome.timings_ms),
        "error": _failure(outcome.failure),
        "last_error": _failure(job.last_failure),
        **_found(outcome),
        "artifacts": {
            artifact.name: {"url": link(job.id, artifact), "content_type": artifact.media_type, "bytes": artifact.size}
            for artifact in artifacts
        },
        "callbacks": [_callback(delivery) for delivery in deliveries],
    }


def _identity(job: Job) -> dict[str, object]:
    request = job.request
    return {
        "id": str(job.id),
        "pipeline": request.pipeline,
        "state": job.state,
        "user_id": request.user_id,
        "request_id": request.request_id,
        "source": request.source,
        "trace_id": request.trace_id,
        "priority": request.priority,
    }


def _progress(job: Job) -> dict[str, object]:
    return {
        "attempts": job.attempts,
        "created_at": timestamp(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
    }


def _found(outcome: Outcome) -> Mapping[str, object]:
    """What the model found, such as photo and persons; its own status is the job's state."""
    return {name: value for name, value in outcome.result.items() if name != "status" and value is not None}


def _failure(failure: Failure | None) -> dict[str, str] | None:
    return {"code": failure.code, "detail": failure.detail} if failure else None


def _callback(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "kind": delivery.content.kind,
        "destination": delivery.content.destination,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "ended_at": _moment(delivery.ended_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return timestamp(moment) if moment else None
