"""`/upload`, `/batch-upload`, `/status`, `/batch` and `/queue-status`, as the blur pipeline has them; in Unix time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.jobs import id_in_path, job_not_found, job_of, link_of
from gateway.http.mask_service import WORKERS
from gateway.http.middleware import services_of
from gateway.http.new_jobs import MAX_FILES, Arrival, Batch, accept_batch, read_wanted, submit_job
from gateway.http.openapi import (
    BINARY,
    BODY_ERRORS,
    FORM_ERRORS,
    JOB_ERRORS,
    JOB_ID,
    STORE_ERRORS,
    Address,
    Addresses,
    answers,
    form,
    in_path,
    parameters_schema,
)
from gateway.intake.bodies import check_length, check_plain, encoding_of
from gateway.intake.requests import FILE, FILES, upload_request
from gateway.intake.submissions import check_form
from gateway.jobs.job import Job, JobFilter, JobState, Outcome, StoredArtifact, file_name, is_upload
from gateway.jobs.objects import BLURRED, ORIGINAL, UPLOAD_PIPELINE, image_of
from gateway.jobs.view import EXAMPLE_ID, Id, JobError, error_of
from gateway.limits.admission import ends_in_s
from gateway.limits.fairness import visit_of
from gateway.pipelines.outputs import HIDDEN, Answer, BlurDone, Count, Described, ObjectFound
from gateway.pipelines.registry import Pipeline

Status = Literal["submitted", "processing", "completed", "failed"]
STATUS: Mapping[JobState, Status] = MappingProxyType(
    {"queued": "submitted", "running": "processing", "completed": "completed", "failed": "failed"}
)
UnixTime = Annotated[int, Field(ge=0, description="Unix time in seconds.", examples=[1_640_995_200])]
BatchId = Annotated[Id, Field(examples=["0b6c6cc1-40f6-4d53-9e5b-7d3f0a1c2e4b"])]
_COPY = f"processed/{EXAMPLE_ID}.jpg"


class UploadAnswer(Answer):
    """The photo waits."""

    job_id: Id
    filename: str = Field(examples=["image.jpg"])
    file_size: Count = Field(description="In bytes.", examples=[1_024_000])
    status: Status = Field(examples=["submitted"])
    message: str = Field(examples=["Image submitted for processing"])


class BatchedUpload(UploadAnswer):
    """One file of a batch; it waits, or it failed."""

    error: JobError | None = Field(description="Why it was not accepted.")


class BatchAnswer(Answer):
    """What became of each file so far."""

    batch_id: BatchId
    status: Status = Field(description="failed where no file was accepted.", examples=["submitted"])
    total: Count = Field(examples=[2])
    submitted: Count = Field(examples=[1])
    failed: Count = Field(examples=[1])
    message: str = Field(examples=["1 of 2 images submitted for processing"])
    results: list[BatchedUpload] = Field(description="In the order of the files.")


class DetectionMetadata(Answer):
    """What was found in the photo."""

    detections: Annotated[object, Described(list[ObjectFound])] = Field(examples=[[HIDDEN]])


class UploadResults(Answer):
    """What was made of a photo."""

    original_image_path: str | None = Field(
        description="s3://bucket/key; without an object store, a link.",
        examples=[f"s3://masks/original/{EXAMPLE_ID}_7b2e20e7f913b879.jpg"],
    )
    processed_image_path: str | None = Field(
        description="The same, of the blurred copy.", examples=[f"s3://masks/{_COPY}"]
    )
    processed_image_url: str | None = Field(
        description="Reads the copy; in S3 without credentials.", examples=[f"http://127.0.0.1:9000/masks/{_COPY}"]
    )
    processing_time: float = Field(ge=0, description="In seconds, without the wait in the queue.", examples=[0.061])
    blur_metadata: Annotated[object, Described(BlurDone)] = Field(examples=[BlurDone.example()])
    detection_metadata: DetectionMetadata


class UploadStatus(Answer):
    """What became of a photo."""

    job_id: Id
    filename: str = Field(examples=["image.jpg"])
    status: Status = Field(examples=["completed"])
    updated_at: UnixTime
    results: UploadResults | None = Field(description="Only of completed jobs.", examples=[UploadResults.example()])
    error: JobError | None = Field(description="Only of failed jobs.")


class BatchStatus(Answer):
    """How far a batch is."""

    batch_id: BatchId
    status: Status = Field(description="processing or completed: every job ended, well or not.", examples=["completed"])
    progress: int = Field(ge=0, le=100, description="How many jobs ended, in percent.", examples=[100])
    total: Count = Field(examples=[1])
    submitted: Count = Field(description="Those that wait.", examples=[0])
    processing: Count = Field(examples=[0])
    completed: Count = Field(examples=[1])
    failed: Count = Field(examples=[0])
    updated_at: UnixTime
    results: list[UploadStatus] = Field(description="In the order of the files.")


class QueueStatus(Answer):
    """How full the queue is."""

    queue_size: Count = Field(description="Jobs that wait.", examples=[3])
    max_queue_size: int = Field(ge=1, description="QUEUE_MAX_SIZE.", examples=[1000])
    processing: Count = Field(description="Jobs that are worked on.", examples=[2])
    workers: Count = Field(description=WORKERS, examples=[8])
    full: bool = Field(description="Whether one more job would be answered 429.", examples=[False])
    estimated_wait_sec: float = Field(ge=0, description="A guess at the time that a new job takes.", examples=[0.6])


UPLOADS = Addresses()


async def upload(request: Request) -> Response:
    """Queue a photo to be blurred."""
    services = services_of(request)
    asked = partial(upload_request, registry=services.registry, settings=services.settings)
    taken = await read_wanted(request, asked, (FILE,))
    job = (await submit_job(request, taken.wanted)).job
    return UploadAnswer.model_construct(
        job_id=str(job.id),
        filename=file_name(job.request),
        file_size=taken.size,
        status="submitted",
        message="Image submitted for processing",
    ).response()


async def batch_upload(request: Request) -> Response:
    """Queue many photos to be blurred.

    What is wrong with one of them is told of that one alone.

    None may be compressed on its way: 32 MB could open to a thousand times as much, which nobody would have sent.
    """
    services = services_of(request)
    check_form(request.headers.get("content-type", ""))
    check_plain(encoding_of(request))
    check_length(request, MAX_FILES * services.settings.max_body_bytes)
    async with visit_of(request).yielding():
        taken = await accept_batch(request, services)
    return _batch_answer(taken).response()


@UPLOADS.serve("GET /status/{id}", answers(UploadStatus, "The photo."), JOB_ERRORS, JOB_ID)
async def status(request: Request) -> Response:
    """Ask what became of a photo."""
    job = await job_of(request)
    if not is_upload(job.request):
        raise job_not_found(job.id)
    return _status(request, job).response()


@UPLOADS.serve("GET /batch/{id}", answers(BatchStatus, "The batch."), JOB_ERRORS, in_path(id="The batch's id."))
async def batch(request: Request) -> Response:
    """Ask how far a batch is.

    How far a batch is, and what became of each file.
    """
    services, batch_id = services_of(request), id_in_path(request, _batch_not_found)
    wanted = JobFilter(limit=MAX_FILES, tenant=caller_of(request).tenant, batch_id=batch_id)
    jobs = await services.stores.jobs.find(wanted)
    if not jobs:
        raise _batch_not_found(batch_id)
    return _batch_status(request, batch_id, jobs[::-1]).response()


@UPLOADS.serve("GET /queue-status", answers(QueueStatus, "The queue."), STORE_ERRORS)
async def queue_status(request: Request) -> Response:
    """See how full the queue is.

    How full the queue is. Raises Problem `store_unavailable`.
    """
    services = services_of(request)
    counts = await services.stores.jobs.counts()
    return QueueStatus.model_construct(
        queue_size=counts.queued,
        max_queue_size=services.settings.queue_max_size,
        processing=counts.running,
        workers=counts.workers,
        full=await services.backlog.room(caller_of(request).tenant) <= 0,
        estimated_wait_sec=round(ends_in_s(counts), 1),
    ).response()


def _batch_not_found(batch_id: UUID | str) -> Problem:
    return Problem("job_not_found", f"No batch {batch_id}; its jobs may have been deleted.")


def _batch_answer(batch: Batch) -> BatchAnswer:
    total = len(batch.arrivals)
    failed = sum(arrival.failure is not None for arrival in batch.arrivals)
    submitted = total - failed
    return BatchAnswer.model_construct(
        batch_id=str(batch.batch_id),
        status="submitted" if submitted else "failed",
        total=total,
        submitted=submitted,
        failed=failed,
        message=f"{submitted} of {total} images submitted for processing",
        results=[_arrived(job, arrival) for job, arrival in zip(batch.jobs, batch.arrivals, strict=True)],
    )


def _arrived(job: Job, arrival: Arrival) -> BatchedUpload:
    return BatchedUpload.model_construct(
        job_id=str(job.id),
        filename=file_name(job.request),
        file_size=arrival.size,
        status="failed" if arrival.failure else "submitted",
        message="Image not accepted" if arrival.failure else "Image submitted for processing",
        error=error_of(arrival.failure) if arrival.failure else None,
    )


def _status(request: Request, job: Job) -> UploadStatus:
    outcome = job.outcome
    return UploadStatus.model_construct(
        job_id=str(job.id),
        filename=file_name(job.request),
        status=STATUS[job.state],
        updated_at=_updated_at(job),
        results=None if outcome is None or outcome.failure else _results(request, job, outcome),
        error=error_of(outcome.failure) if outcome and outcome.failure else None,
    )


def _results(request: Request, job: Job, outcome: Outcome) -> UploadResults:
    original, blurred = (image_of(outcome.artifacts, stem) for stem in (ORIGINAL, BLURRED))
    return UploadResults.model_construct(
        original_image_path=_path(request, job, original) if original else None,
        processed_image_path=_path(request, job, blurred) if blurred else None,
        processed_image_url=link_of(request)(job.id, blurred) if blurred else None,
        processing_time=round(outcome.processing_ms / 1000, 3),
        blur_metadata=outcome.result["blur"],
        detection_metadata=DetectionMetadata.model_construct(detections=outcome.result["detections"]),
    )


def _path(request: Request, job: Job, artifact: StoredArtifact) -> str:
    """Where an object is: in a bucket of S3; without one, its link."""
    services = services_of(request)
    if services.stores.durable:
        return f"s3://{services.settings.minio_bucket}/{artifact.key}"
    return link_of(request)(job.id, artifact)


def _batch_status(request: Request, batch_id: UUID, jobs: Sequence[Job]) -> BatchStatus:
    """`jobs` in the order of the files."""
    counts = Counter(STATUS[job.state] for job in jobs)
    ended = counts["completed"] + counts["failed"]
    return BatchStatus.model_construct(
        batch_id=str(batch_id),
        status="completed" if ended == len(jobs) else "processing",
        progress=100 * ended // len(jobs),
        total=len(jobs),
        submitted=counts["submitted"],
        processing=counts["processing"],
        completed=counts["completed"],
        failed=counts["failed"],
        updated_at=max(map(_updated_at, jobs)),
        results=[_status(request, job) for job in jobs],
    )


def _updated_at(job: Job) -> int:
    return int((job.finished_at or job.started_at or job.created_at).timestamp())


_REFUSED = BatchedUpload.example(
    job_id="de1c824a-e3a2-491e-8f2b-1d53b6c6cc14",
    filename="notes.txt",
    file_size=212,
    status="failed",
    message="Image not accepted",
    error={
        "code": "image_unsupported",
        "detail": "the image is of no known type; JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF and BMP are accepted",
    },
)
_BATCH_ERRORS = (*(code for code in BODY_ERRORS if code != "invalid_encoding"), "storage_unavailable", *STORE_ERRORS)


def submissions(registry: Mapping[str, Pipeline]) -> tuple[Address, ...]:
    """Where photos are sent to; the fields are the pipeline's parameters."""
    fields = parameters_schema(registry[UPLOAD_PIPELINE])["properties"] if UPLOAD_PIPELINE in registry else {}
    photo = {**BINARY, "description": "The photo."}
    photos = {"type": "array", "items": BINARY, "maxItems": MAX_FILES, "description": "The photos."}
    example = BatchAnswer.example(results=[BatchedUpload.example(), _REFUSED])
    taken = answers(BatchAnswer, "What became of each file; those that were accepted wait.", example=example)
    waits = answers(UploadAnswer, "The photo waits.")
    return (
        Address("POST /upload", upload, waits, FORM_ERRORS, body=form({FILE: photo}, fields, [FILE])),
        Address("POST /batch-upload", batch_upload, taken, _BATCH_ERRORS, body=form({FILES: photos}, fields, [FILES])),
    )
