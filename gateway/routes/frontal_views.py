"""Jobs as the facial contour services show them."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, TypedDict

from gateway.jobs.job import Job, JobState
from gateway.jobs.outbox_messages import timestamp
from gateway.results import Failure

Status = Literal["pending", "processing", "completed", "failed"]
Ring = Sequence[Sequence[float]]

STATUS: Mapping[JobState, Status] = MappingProxyType(
    {"queued": "pending", "running": "processing", "completed": "completed", "failed": "failed"}
)
_PROGRESS: Mapping[JobState, int] = MappingProxyType({"queued": 0, "running": 50, "completed": 100, "failed": 100})
_MESSAGES: Mapping[JobState, str] = MappingProxyType(
    {
        "queued": "Task submitted; ask for its status.",
        "running": "Task submitted; ask for its status.",
        "completed": "Result found in the cache.",
        "failed": "Failure found in the cache.",
    }
)


class Contours(TypedDict):
    """What `contours.json` holds, as far as it is shown here."""

    regions: list[dict[str, object]]
    mask_contours: dict[str, list[Ring]]
    transform: list[list[float]]
    crop: dict[str, int]


@dataclass(frozen=True)
class Drawing:
    """A face's SVG and its contours."""

    svg: bytes
    contours: Contours


def submission_view(job: Job, wait_s: float) -> dict[str, object]:
    """The answer to a submission, with the members of both services; `wait_s` until the job is likely to end."""
    ends_at = job.finished_at or job.created_at + timedelta(seconds=wait_s)
    return {
        **_identity(job),
        "message": _MESSAGES[job.state],
        "submitted_at": timestamp(job.created_at),
        "estimated_completion_time": timestamp(ends_at),
    }


def status_view(job: Job, drawing: Drawing | None) -> dict[str, object]:
    """The answer to the question for a status; what is not there yet is null."""
    outcome = job.outcome
    return {
        **_identity(job),
        **_drawn(drawing),
        "progress": _PROGRESS[job.state],
        "error": _error(outcome.failure if outcome else None),
        "submitted_at": timestamp(job.created_at),
        "completed_at": timestamp(job.finished_at) if job.finished_at else None,
        "processing_time_ms": outcome.processing_ms if outcome else None,
        "cached": outcome.cached if outcome else False,
    }


def mask_contours(contours: Mapping[str, Sequence[Ring]]) -> dict[str, Ring | Sequence[Ring]]:
    """By region number, the one ring of a region that has one, and else the list of its rings."""
    return {number: rings[0] if len(rings) == 1 else rings for number, rings in contours.items()}


def _identity(job: Job) -> dict[str, object]:
    return {"id": str(job.id), "task_id": str(job.id), "status": STATUS[job.state]}


def _drawn(drawing: Drawing | None) -> dict[str, object]:
    if drawing is None:
        return dict.fromkeys(("svg", "mask_contours", "regions", "transform", "crop"))
    contours = drawing.contours
    return {
        "svg": base64.b64encode(drawing.svg).decode("ascii"),
        "mask_contours": mask_contours(contours["mask_contours"]),
        "regions": contours["regions"],
        "transform": contours["transform"],
        "crop": contours["crop"],
    }


def _error(failure: Failure | None) -> str | None:
    return f"{failure.code}: {failure.detail}" if failure else None
