"""The facial contour services: `/api/v1/frontal/crop`, and `/api/v1/cache` about every pipeline's results."""

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypedDict

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import override

from gateway.access.callers import caller_of
from gateway.cache.cache import CachedTask
from gateway.errors import Problem
from gateway.http.jobs import job_not_found, job_of, room_for
from gateway.http.middleware import services_of
from gateway.http.new_jobs import read_wanted, submit_job
from gateway.http.openapi import (
    JOB_ERRORS,
    LIST_ERRORS,
    STORE_ERRORS,
    SUBMISSION_ERRORS,
    Address,
    Addresses,
    Query,
    Responses,
    answers,
    fields_of,
    in_path,
    in_query,
    job_bodies,
    parameters_schema,
    query_parameters,
)
from gateway.intake.requests import FRONTAL_PIPELINE, FrontalFields, JobRequest, frontal_request
from gateway.intake.submissions import JSON, query_fields, read_submission
from gateway.jobs.job import Job, JobState, StoredArtifact
from gateway.jobs.objects import Bucket, ObjectMissingError
from gateway.jobs.view import Id, Timestamp
from gateway.pipelines.outputs import Answer, Count, Described, PhotoSize, RegionFound, Transform
from gateway.pipelines.registry import Pipeline
from gateway.pipelines.validation import known, validated
from gateway.timing import timestamp

Status = Literal["pending", "processing", "completed", "failed"]
Point = tuple[float, float]
Ring = Sequence[Sequence[float]]
Percent = Annotated[float, Field(ge=0, le=100)]

STATUS: Mapping[JobState, Status] = MappingProxyType(
    {"queued": "pending", "running": "processing", "completed": "completed", "failed": "failed"}
)
_PROGRESS: Mapping[JobState, int] = MappingProxyType({"queued": 0, "running": 50, "completed": 100, "failed": 100})
_SUBMITTED = "Task submitted; ask for its status."
_MESSAGES: Mapping[JobState, str] = MappingProxyType(
    {
        "queued": _SUBMITTED,
        "running": _SUBMITTED,
        "completed": "Result found in the cache.",
        "failed": "Failure found in the cache.",
    }
)
_SVG, _CONTOURS = "contours.svg", "contours.json"


class Task(Answer):
    """A job as these services name it."""

    id: Id
    task_id: Id = Field(description="The same as id.")
    status: Status = Field(examples=["completed"])


class FrontalSubmission(Task):
    """The job waits, or its result was in the cache."""

    message: str = Field(examples=[_SUBMITTED])
    submitted_at: Timestamp
    estimated_completion_time: Timestamp = Field(examples=["2025-11-26T12:00:00.200000Z"])


class ColoredRegion(RegionFound):
    """A region and its colour."""

    color: str = Field(pattern="^#[0-9A-Fa-f]{6}$", examples=["#B695C0"])


class FrontalStatus(Task):
    """What became of a submission; what is not there yet is null."""

    svg: str | None = Field(json_schema_extra={"contentEncoding": "base64"}, examples=["PHN2ZyB4bWxucz0iaHR0cDov"])
    mask_contours: Annotated[object, Described(dict[str, list[Point] | list[list[Point]]] | None)] = Field(
        description="By region number, a ring of points; a list of rings where a region has several, or holes.",
        examples=[{"1": [[118.2, 211.0], [402.7, 198.4], [260.1, 120.9]]}],
    )
    regions: list[ColoredRegion] | None = Field(examples=[[ColoredRegion.example()]])
    transform: Annotated[object, Described(Transform | None)] = Field(
        description="2×3, from the photo to the levelled crop.",
        examples=[[[0.92403864, 0.38229552, -337.6761751], [-0.38229552, 0.92403864, 213.4265214]]],
    )
    crop: PhotoSize | None = Field(description="Size of the levelled crop.", examples=[{"width": 786, "height": 969}])
    progress: int = Field(ge=0, le=100, description="0 pending, 50 processing, 100 ended.", examples=[100])
    error: str | None = Field(description="Code and detail of a failure.")
    submitted_at: Timestamp
    completed_at: Timestamp | None = Field(examples=["2025-11-26T12:00:00.310000Z"])
    processing_time_ms: float | None = Field(ge=0, description="Without the wait in the queue.", examples=[97.4])
    cached: bool = Field(description="Whether the result was there before.", examples=[False])


class _Region(TypedDict):
    number: int
    name: str
    color: str


class _Size(TypedDict):
    width: int
    height: int


class _ContoursFile(TypedDict):
    """What `contours.json` holds, as far as it is shown here."""

    regions: list[_Region]
    mask_contours: dict[str, list[Ring]]
    transform: list[list[float]]
    crop: _Size


async def submit(request: Request) -> Response:
    """Queue a photo for its facial contours.

    A result that is cached is there at once.

    A body that says nothing of its type is JSON, as it was to the services of before.
    """
    services = services_of(request)

    def wanted(body: bytes, kind: str) -> JobRequest:
        submission = read_submission(body, kind, request.url.query)
        return frontal_request(submission, services.registry, services.settings)

    job = (await submit_job(request, await read_wanted(request, wanted, usual_type=JSON))).job
    wait_s = 0.0 if job.finished else await services.backlog.wait_s()
    return FrontalSubmission.model_construct(
        id=str(job.id),
        task_id=str(job.id),
        status=STATUS[job.state],
        message=_MESSAGES[job.state],
        submitted_at=timestamp(job.created_at),
        estimated_completion_time=timestamp(job.finished_at or job.created_at + timedelta(seconds=wait_s)),
    ).response()


FACIAL_SERVICES = Addresses()
_STATUS_ERRORS = ("artifact_not_found", "storage_unavailable", "queue_full", *JOB_ERRORS)
_TASK_ID = in_path(id="The task's id.")


@FACIAL_SERVICES.serve(
    "GET /api/v1/frontal/crop/status/{id}", answers(FrontalStatus, "The task."), _STATUS_ERRORS, _TASK_ID
)
async def status(request: Request) -> Response:
    """Ask what became of a task.

    What became of a submission, with the contours where it is completed.
    """
    job = await job_of(request)
    if job.request.pipeline != FRONTAL_PIPELINE:
        raise job_not_found(job.id)
    if job.outcome is None or job.outcome.failure:
        return _status(job).response()
    files = {artifact.name: artifact for artifact in job.outcome.artifacts if artifact.name in (_SVG, _CONTOURS)}
    async with room_for(request, 2 * sum(file.size for file in files.values())):  # themselves, and the answer
        svg, contours = await _read(services_of(request).stores.artifacts, files)
        return _status(job, base64.b64encode(svg).decode("ascii"), json.loads(contours)).response()


async def _read(bucket: Bucket, files: Mapping[str, StoredArtifact]) -> tuple[bytes, bytes]:
    """The drawing and its contours. Raises Problem `artifact_not_found`."""
    try:
        svg, contours = await asyncio.gather(bucket.get(files[_SVG].key), bucket.get(files[_CONTOURS].key))
    except ObjectMissingError as error:
        raise Problem("artifact_not_found", "It was removed.") from error
    return svg.data, contours.data


def _status(job: Job, svg: str | None = None, contours: _ContoursFile | None = None) -> FrontalStatus:
    outcome = job.outcome
    failure = outcome.failure if outcome else None
    return FrontalStatus.model_construct(
        id=str(job.id),
        task_id=str(job.id),
        status=STATUS[job.state],
        svg=svg,
        mask_contours=_by_region(contours["mask_contours"]) if contours else None,
        regions=[ColoredRegion.model_construct(**region) for region in contours["regions"]] if contours else None,
        transform=contours["transform"] if contours else None,
        crop=PhotoSize.model_construct(**contours["crop"]) if contours else None,
        progress=_PROGRESS[job.state],
        error=f"{failure.code}: {failure.detail}" if failure else None,
        submitted_at=timestamp(job.created_at),
        completed_at=timestamp(job.finished_at) if job.finished_at else None,
        processing_time_ms=outcome.processing_ms if outcome else None,
        cached=outcome.cached if outcome else False,
    )


def _by_region(contours: Mapping[str, Sequence[Ring]]) -> Mapping[str, Ring | Sequence[Ring]]:
    """Of a region that has one ring, the ring itself."""
    return {number: rings[0] if len(rings) == 1 else rings for number, rings in contours.items()}


class CacheFigures(Answer):
    """What the cache did in a period, and what it holds."""

    period_days: int = Field(examples=[7])
    total_requests: Count = Field(description="Requests that were looked up.", examples=[412])
    cache_hits: Count = Field(examples=[307])
    cache_hit_ratio: Percent = Field(description="Hits among the requests, in percent.", examples=[74.51])
    successful_tasks: Count = Field(description="Requests that were computed, with success.", examples=[101])
    failed_tasks: Count = Field(
        description="Requests that were computed in vain, by the caller's mistake.", examples=[4]
    )
    avg_processing_time_ms: float = Field(ge=0, description="What one computation took.", examples=[92.4])
    total_cached_entries: Count = Field(examples=[96])
    cached_bytes: Count = Field(examples=[8512004])
    cache_efficiency: Percent = Field(
        description="Computing time saved, in percent of what it would have been.", examples=[76.2]
    )


class CacheEntry(Answer):
    """One entry."""

    task_id: str = Field(description="Of the job or request that was computed.")
    pipeline: str
    status: Literal["SUCCESS", "FAILURE"]
    submitted_at: Timestamp
    processing_time_ms: float = Field(ge=0)
    regions_detected: int | None = Field(description="Only of face_contours.")
    cache_hits: Count
    error_type: str | None


class CacheCleanup(Answer):
    """What was removed."""

    deleted_entries: Count = Field(examples=[12])
    message: str = Field(examples=["12 entries were removed."])
    timestamp: Timestamp


class _CacheQuery(Query):
    """Other parameters are ignored, as the earlier services did."""

    @override
    @classmethod
    def of(cls, request: Request) -> Self:
        return validated(cls, known(cls, query_fields(request.url.query)))


class CachePeriod(_CacheQuery):
    """How far back to look."""

    days: int = Field(7, ge=1, le=30, description="How far back, today included.")


class CachePage(_CacheQuery):
    """How many entries to list."""

    limit: int = Field(10, ge=1, le=50, description="Entries, the newest first.")


@FACIAL_SERVICES.serve("GET /api/v1/cache/stats", answers(CacheFigures, "Figures."), LIST_ERRORS, in_query(CachePeriod))
async def stats(request: Request) -> Response:
    """See what the cache holds and saves.

    What the cache did lately.
    """
    stats = await services_of(request).stores.cache.stats(CachePeriod.of(request).days)
    return CacheFigures.model_construct(
        period_days=stats.days,
        total_requests=stats.requests,
        cache_hits=stats.hits,
        cache_hit_ratio=round(100 * stats.hit_ratio, 2),
        successful_tasks=stats.successes,
        failed_tasks=stats.failures,
        avg_processing_time_ms=round(stats.average_ms, 1),
        total_cached_entries=stats.entries,
        cached_bytes=stats.bytes,
        cache_efficiency=round(100 * stats.efficiency, 2),
    ).response()


_RECENT: Responses = {200: {"description": "The newest entries.", "model": list[CacheEntry]}}


@FACIAL_SERVICES.serve("GET /api/v1/cache/recent", _RECENT, LIST_ERRORS, in_query(CachePage))
async def recent(request: Request) -> Response:
    """List the newest entries.

    The newest entries of the caller's tenant.
    """
    found = await services_of(request).stores.cache.recent(CachePage.of(request).limit, caller_of(request).tenant)
    return JSONResponse([_entry(task).model_dump(warnings=False) for task in found])


@FACIAL_SERVICES.serve("POST /api/v1/cache/cleanup", answers(CacheCleanup, "How many there were."), STORE_ERRORS)
async def cleanup(request: Request) -> Response:
    """Remove what is too old or too much.

    Remove what is too old or too much now, instead of soon.
    """
    removed = await services_of(request).stores.cache.cleanup()
    return CacheCleanup.model_construct(
        deleted_entries=removed,
        message=f"{removed} entries were removed.",
        timestamp=timestamp(datetime.now(UTC)),
    ).response()


def _entry(task: CachedTask) -> CacheEntry:
    return CacheEntry.model_construct(
        task_id=task.task_id,
        pipeline=task.pipeline,
        status=task.status,
        submitted_at=timestamp(task.submitted_at),
        processing_time_ms=round(task.processing_ms, 1),
        regions_detected=task.regions,
        cache_hits=task.hits,
        error_type=task.error_type,
    )


def submission(registry: Mapping[str, Pipeline]) -> Address:
    """The fields are the pipeline's parameters, and these services' own."""
    own = fields_of(FrontalFields)
    fields = {
        **(parameters_schema(registry[FRONTAL_PIPELINE])["properties"] if FRONTAL_PIPELINE in registry else {}),
        **own,
    }
    waits = "The task waits, or its result was in the cache."
    return Address(
        "POST /api/v1/frontal/crop/submit",
        submit,
        answers(FrontalSubmission, waits, example=FrontalSubmission.example(status="pending")),
        SUBMISSION_ERRORS,
        query_parameters(fields),
        job_bodies(fields, fields),
    )
