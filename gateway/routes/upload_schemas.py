"""What the blur pipeline's addresses answer: schemas of the API's description."""

from typing import Annotated

from pydantic import BaseModel, Field

from gateway.routes.job_schemas import Count, Id, JobError
from gateway.routes.schemas import BlurDone, ObjectFound
from gateway.routes.upload_views import Status

UnixTime = Annotated[int, Field(ge=0, description="Unix time in seconds.")]


class UploadAnswer(BaseModel):
    """The photo waits."""

    job_id: Id
    filename: str
    file_size: Count = Field(description="In bytes.")
    status: Status
    message: str


class BatchedUpload(UploadAnswer):
    """One file of a batch; it waits, or it failed."""

    error: JobError | None = Field(description="Why it was not accepted.")


class BatchAnswer(BaseModel):
    """What became of each file so far."""

    batch_id: Id
    status: Status = Field(description="failed where no file was accepted.")
    total: Count
    submitted: Count
    failed: Count
    message: str
    results: list[BatchedUpload] = Field(description="In the order of the files.")


class DetectionMetadata(BaseModel):
    """What was found in the photo."""

    detections: list[ObjectFound]


class UploadResults(BaseModel):
    """What was made of a photo."""

    original_image_path: str | None = Field(description="s3://bucket/key; without an object store, a link.")
    processed_image_path: str | None = Field(description="The same, of the blurred copy.")
    processed_image_url: str | None = Field(description="Reads the copy; in S3 without credentials.")
    processing_time: float = Field(ge=0, description="In seconds, without the wait in the queue.")
    blur_metadata: BlurDone
    detection_metadata: DetectionMetadata


class UploadStatus(BaseModel):
    """What became of a photo."""

    job_id: Id
    filename: str
    status: Status
    updated_at: UnixTime
    results: UploadResults | None = Field(description="Only of completed jobs.")
    error: JobError | None = Field(description="Only of failed jobs.")


class BatchStatus(BaseModel):
    """How far a batch is."""

    batch_id: Id
    status: Status = Field(description="processing or completed: every job ended, well or not.")
    progress: int = Field(ge=0, le=100, description="How many jobs ended, in percent.")
    total: Count
    submitted: Count = Field(description="Those that wait.")
    processing: Count
    completed: Count
    failed: Count
    updated_at: UnixTime
    results: list[UploadStatus] = Field(description="In the order of the files.")
