"""Jobs as the blur pipeline shows them; times are Unix time in seconds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from uuid import UUID

from gateway.jobs.job import Job, JobState, Outcome, StoredArtifact
from gateway.jobs.objects import BLURRED, ORIGINAL, file_name, image_of
from gateway.jobs.outbox_messages import Link
from gateway.results import Failure
from gateway.routes.batches import Arrival, Batch

Status = Literal["submitted", "processing", "completed", "failed"]

STATUS: Mapping[JobState, Status] = MappingProxyType(
    {"queued": "submitted", "running": "processing", "completed": "completed", "failed": "failed"}
)


@dataclass(frozen=True)
class Places:
    """Where objects are: in a bucket of S3, or, without one, where `link` says."""

    bucket: str | None
    link: Link

    def path(self, job: Job, artifact: StoredArtifact) -> str:
        """`s3://bucket/key`; the link where there is no S3."""
        return f"s3://{self.bucket}/{artifact.key}" if self.bucket else self.link(job.id, artifact)


def upload_view(job: Job, size: int) -> dict[str, object]:
    """The answer to an upload of so many bytes."""
    return {
        "job_id": str(job.id),
        "filename": file_name(job.request),
        "file_size": size,
        "status": "submitted",
        "message": "Image submitted for processing",
    }


def submitted_batch_view(batch: Batch) -> dict[str, object]:
    """The answer to a batch: what became of each file so far."""
    results = [_arrived_view(job, arrival) for job, arrival in zip(batch.jobs, batch.arrivals, strict=True)]
    failed = sum(arrival.failure is not None for arrival in batch.arrivals)
    submitted = len(results) - failed
    return {
        "batch_id": str(batch.batch_id),
        "status": "submitted" if submitted else "failed",
        "total": len(results),
        "submitted": submitted,
        "failed": failed,
        "message": f"{submitted} of {len(results)} images submitted for processing",
        "results": results,
    }


def status_view(job: Job, places: Places) -> dict[str, object]:
    """The answer to the question for a status; `results` and `error` are null where there are none."""
    outcome = job.outcome
    return {
        "job_id": str(job.id),
        "filename": file_name(job.request),
        "status": STATUS[job.state],
        "updated_at": _updated_at(job),
        "results": None if outcome is None or outcome.failure else _results(job, outcome, places),
        "error": _error(outcome.failure if outcome else None),
    }


def batch_view(batch_id: UUID, jobs: Sequence[Job], places: Places) -> dict[str, object]:
    """How far a batch is; `jobs` in the order of the files."""
    counts = Counter(STATUS[job.state] for job in jobs)
    ended = counts["completed"] + counts["failed"]
    return {
        "batch_id": str(batch_id),
        "status": "completed" if ended == len(jobs) else "processing",
        "progress": 100 * ended // len(jobs),
        "total": len(jobs),
        **{status: counts[status] for status in STATUS.values()},
        "updated_at": max(map(_updated_at, jobs)),
        "results": [status_view(job, places) for job in jobs],
    }


def _arrived_view(job: Job, arrival: Arrival) -> dict[str, object]:
    if arrival.failure is None:
        return {**upload_view(job, arrival.size), "error": None}
    refused = {"status": "failed", "message": "Image not accepted", "error": _error(arrival.failure)}
    return {**upload_view(job, arrival.size), **refused}


def _results(job: Job, outcome: Outcome, places: Places) -> dict[str, object]:
    original, blurred = (image_of(outcome.artifacts, stem) for stem in (ORIGINAL, BLURRED))
    return {
        "original_image_path": places.path(job, original) if original else None,
        "processed_image_path": places.path(job, blurred) if blurred else None,
        "processed_image_url": places.link(job.id, blurred) if blurred else None,
        "processing_time": round(outcome.processing_ms / 1000, 3),
        "blur_metadata": outcome.result["blur"],
        "detection_metadata": {"detections": outcome.result["detections"]},
    }


def _updated_at(job: Job) -> int:
    return int((job.finished_at or job.started_at or job.created_at).timestamp())


def _error(failure: Failure | None) -> dict[str, str] | None:
    return {"code": failure.code, "detail": failure.detail} if failure else None
