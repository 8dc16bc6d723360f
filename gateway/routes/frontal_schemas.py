"""What the facial services' addresses answer: schemas of the API's description."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway.routes.frontal_views import Status
from gateway.routes.job_schemas import Count, Id, Timestamp
from gateway.routes.schemas import PhotoSize, RegionFound

Point = tuple[float, float]
Percent = Annotated[float, Field(ge=0, le=100)]


class FrontalSubmission(BaseModel):
    """The job waits, or its result was in the cache."""

    id: Id
    task_id: Id = Field(description="The same as id.")
    status: Status
    message: str
    submitted_at: Timestamp
    estimated_completion_time: Timestamp


class ColoredRegion(RegionFound):
    """A region and its colour."""

    color: str = Field(pattern="^#[0-9A-Fa-f]{6}$")


class FrontalStatus(BaseModel):
    """What became of a submission; what is not there yet is null."""

    id: Id
    task_id: Id = Field(description="The same as id.")
    status: Status
    svg: str | None = Field(json_schema_extra={"contentEncoding": "base64"})
    mask_contours: dict[str, list[Point] | list[list[Point]]] | None = Field(
        description="By region number, a ring of points; a list of rings where a region has several, or holes."
    )
    regions: list[ColoredRegion] | None
    transform: tuple[tuple[float, float, float], tuple[float, float, float]] | None = Field(
        description="2×3, from the photo to the levelled crop."
    )
    crop: PhotoSize | None = Field(description="Size of the levelled crop.")
    progress: int = Field(ge=0, le=100, description="0 pending, 50 processing, 100 ended.")
    error: str | None = Field(description="Code and detail of a failure.")
    submitted_at: Timestamp
    completed_at: Timestamp | None
    processing_time_ms: float | None = Field(ge=0, description="Without the wait in the queue.")
    cached: bool = Field(description="Whether the result was there before.")


class CacheFigures(BaseModel):
    """What the cache did in a period, and what it holds."""

    period_days: int
    total_requests: Count = Field(description="Requests that were looked up.")
    cache_hits: Count
    cache_hit_ratio: Percent = Field(description="Hits among the requests, in percent.")
    successful_tasks: Count = Field(description="Requests that were computed, with success.")
    failed_tasks: Count = Field(description="Requests that were computed in vain, by the caller's mistake.")
    avg_processing_time_ms: float = Field(ge=0, description="What one computation took.")
    total_cached_entries: Count
    cached_bytes: Count
    cache_efficiency: Percent = Field(description="Computing time saved, in percent of what it would have been.")


class CacheEntry(BaseModel):
    """One entry."""

    task_id: str = Field(description="Of the job or request that was computed.")
    pipeline: str
    status: Literal["SUCCESS", "FAILURE"]
    submitted_at: Timestamp
    processing_time_ms: float = Field(ge=0)
    regions_detected: int | None = Field(description="Only of face_contours.")
    cache_hits: Count
    error_type: str | None


class CacheCleanup(BaseModel):
    """What was removed."""

    deleted_entries: Count
    message: str
    timestamp: Timestamp
