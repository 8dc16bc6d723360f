"""A job as callers see it: in the API's answers, in events and in callbacks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from gateway.jobs.deliveries import Delivery
from gateway.jobs.job import Job, Outcome
from gateway.jobs.links import Link
from gateway.results import Failure

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


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, as in 2025-11-26T12:00:00.123456Z; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


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
