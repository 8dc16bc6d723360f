"""What the addresses of jobs answer: schemas of the API's description, which no request is checked against."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway.errors import PROBLEMS
from gateway.jobs.job import CallbackKind, JobState
from gateway.jobs.outbox import DeliveryState
from gateway.routes.schemas import ArtifactSummary, BlurDone, FaceFound, ObjectFound, PersonFound, PhotoSize

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Code = Annotated[str, Field(json_schema_extra={"enum": list(PROBLEMS)})]
Count = Annotated[int, Field(ge=0)]


class JobError(BaseModel):
    """Why a job failed, or had to be tried again."""

    code: Code = Field(description="Stable: the codes of the problem details.")
    detail: str = Field(description="For people.")


class JobArtifact(ArtifactSummary):
    """A file that the job made."""

    url: str = Field(json_schema_extra={"format": "uri"}, description="Reads the file without credentials.")


class JobCallback(BaseModel):
    """One message that the outcome owes to somebody, and what became of it."""

    id: int
    kind: CallbackKind
    destination: str = Field(description="A topic or a URL.")
    state: DeliveryState
    attempts: Count
    last_error: str | None
    ended_at: Timestamp | None


class JobSummary(BaseModel):
    """A job as lists have it."""

    id: Id
    pipeline: str
    state: JobState
    user_id: str = Field(description="Empty where the request named none.")
    request_id: str
    source: str = Field(
        description="http, frontal, process:{provider}, upload:{file name} or kafka:{topic}/{partition}/{offset}."
    )
    trace_id: str = Field(pattern="^[0-9a-f]{32}$", description="That of the request's header traceparent.")
    priority: int
    attempts: Count = Field(description="How often it was begun.")
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage.")
    error: JobError | None = Field(description="Why it failed.")
    last_error: JobError | None = Field(description="Why its latest attempt has to be repeated.")
    photo: PhotoSize | None = Field(None, description="Only of completed jobs.")
    persons: list[PersonFound] = Field(default=[], description="Only of completed jobs of body_masks.")
    faces: list[FaceFound] = Field(default=[], description="Only of completed jobs of face_contours.")
    detections: list[ObjectFound] = Field(default=[], description="Only of completed jobs of privacy_blur and detect.")
    blur: BlurDone | None = Field(None, description="Only of completed jobs of privacy_blur.")
    cached: bool = Field(default=False, description="Whether it was answered with the result of an earlier request.")
    artifacts: dict[str, JobArtifact] = Field(description="By name, such as upper_body_mask.png.")


class JobView(JobSummary):
    """A job."""

    callbacks: list[JobCallback] = Field(description="Only of finished jobs.")


class JobPage(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobSummary]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class EventTicket(BaseModel):
    """What lets an EventSource watch one job: `GET /v1/jobs/{id}/events?ticket=…`."""

    ticket: str
    expires: Timestamp = Field(description="Until then a stream may be opened; one that is open stays.")


class Resent(BaseModel):
    """Callbacks that are sent again."""

    resent: Count


class PoisonView(BaseModel):
    """A message or a job that was given up."""

    id: int
    job_id: Id | None = Field(description="Null for a message that no job could be made of.")
    origin: str = Field(description="topic/partition/offset of the message.")
    error: JobError
    attempts: Count
    bytes: Count = Field(description="The message's size.")
    created_at: Timestamp


class PoisonPage(BaseModel):
    """Open entries, the newest first."""

    entries: list[PoisonView]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class ProcessAnswer(BaseModel):
    """The job is queued."""

    status: Literal["accepted"]
    queued: Literal[True]
    job_id: str
    message: Literal["Job added to Qwen mask queue"]


class Stats(BaseModel):
    """The queue of jobs in figures."""

    queue_max: int = Field(ge=1, description="QUEUE_MAX_SIZE.")
    queue_current: Count = Field(description="Jobs that wait.")
    workers: Count = Field(description="Inferences that the live workers can have under way.")
    jobs_processed: Count = Field(description="Jobs that ended and are still kept.")
    uptime_sec: Count
    processing: Count = Field(description="Jobs that are worked on.")
    throughput_per_sec: float = Field(ge=0, description="Jobs, still kept, that ended in the last minute, a second.")
    success_rate: float | None = Field(ge=0, le=1, description="Share of them that completed; null where none ended.")
    avg_latency_sec: float | None = Field(ge=0, description="Of the completed ones, from coming to end.")


class QueueStatus(BaseModel):
    """How full the queue is."""

    queue_size: Count = Field(description="Jobs that wait.")
    max_queue_size: int = Field(ge=1, description="QUEUE_MAX_SIZE.")
    processing: Count = Field(description="Jobs that are worked on.")
    workers: Count = Field(description="Inferences that the live workers can have under way.")
    full: bool = Field(description="Whether one more job would be answered 429.")
    estimated_wait_sec: float = Field(ge=0, description="A guess at the time that a new job takes.")
