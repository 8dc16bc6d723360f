"""What runs and jobs are answered with: pydantic models, whose fields have the examples of the API's description.

`gateway.http.run` and `gateway.jobs.outbox_messages` write these answers themselves: a run's may be
large, and a job's is also sent as a message.
"""

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from gateway.errors import PROBLEMS
from gateway.jobs.job import CallbackKind, JobState
from gateway.jobs.outbox import DeliveryState
from gateway.pipelines.findings import Answer, BlurDone, FaceFound, Looked, ObjectFound, PersonFound, PhotoSize
from gateway.results import Failure, media_type

EXAMPLE_ID = "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11"
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=[EXAMPLE_ID])]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2025-11-26T12:00:00.000000Z"])]
Code = Annotated[str, Field(json_schema_extra={"enum": list(PROBLEMS)}, examples=["invalid_json"])]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Described:
    """Annotates a value that is answered as it is, unchecked and uncopied, with the type that describes it."""

    kind: object

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Anything; the JSON schema is that of the type."""
        described = handler.generate_schema(self.kind)
        return core_schema.any_schema(metadata={"pydantic_js_annotation_functions": [lambda _, told: told(described)]})


class JobError(Answer):
    """Why a job failed, or had to be tried again."""

    code: Code = Field(description="Stable: the codes of the problem details.")
    detail: str = Field(description="For people.", examples=["Expecting ',' delimiter: line 1 column 18 (char 17)"])


def error_of(failure: Failure) -> JobError:
    """A failure, as it is told."""
    return JobError.model_construct(code=failure.code, detail=failure.detail)


class ArtifactSummary(Answer):
    """A file that was made."""

    content_type: str = Field(examples=["image/png"])
    bytes: int = Field(ge=0, description="The file's size.", examples=[4127])


class EmbeddedArtifact(ArtifactSummary):
    """A file that was made, with its content."""

    base64: str = Field(json_schema_extra={"contentEncoding": "base64"})


class _Run(Answer):
    request_id: str = Field(
        description="That of the header X-Request-Id.", examples=["5f0c1d9be1f94d0f8a4f3f6f5d2b7c11"]
    )
    pipeline: str
    status: Literal["completed"] = Field(examples=["completed"])
    photo: PhotoSize
    persons: list[PersonFound] = Field(default=[], description="Of body_masks.")
    faces: list[FaceFound] = Field(default=[], description="Of face_contours.")
    looked: Looked | None = Field(None, description="Of privacy_blur and detect.")
    detections: list[ObjectFound] = Field(default=[], description="Of privacy_blur and detect.")
    blur: BlurDone | None = Field(None, description="Of privacy_blur.")


class RunSummary(_Run):
    """What a run found and made; the artifacts' contents are the parts that follow."""

    artifacts: dict[str, ArtifactSummary] = Field(description="By name, in the order of the parts.")


class RunAnswer(_Run):
    """What a run found and made."""

    artifacts: dict[str, EmbeddedArtifact] = Field(description="By name, such as upper_body_mask.png.")


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


class JobPage(Answer):
    """Jobs, the newest first."""

    jobs: list[JobSummary]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.", examples=["41"])


class EventTicket(Answer):
    """What lets an EventSource watch one job: `GET /v1/jobs/{id}/events?ticket=…`."""

    ticket: str = Field(examples=["eyJqb2IiOiI2ZjFjMGU0ZSJ9.q1Zq0m3n6Yx8a9JpVd2fWl1sKc4rTt5uBb7eHh0iGg8"])
    expires: Timestamp = Field(
        description="Until then a stream may be opened; one that is open stays.", examples=["2025-11-26T12:01:00Z"]
    )


class Resent(Answer):
    """Callbacks that are sent again."""

    resent: Count = Field(examples=[1])


def tiny_png() -> bytes:
    """The photo of the examples, the smallest that is accepted: a grey PNG of 16×16 pixels, 8-bit RGB."""
    side = 16
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x80" * 3 * side) * side
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_BEGINNINGS: Mapping[str, tuple[int, bytes]] = MappingProxyType(
    {
        "image/png": (4127, tiny_png()),
        "image/svg+xml": (44389, b'<svg xmlns="http://www.w3.org/2000/svg"'),
        "image/jpeg": (61442, b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00"),
        "application/json": (152, b'{"photo":{"width":512}'),
    }
)
"""How files begin, by type, and a size."""


def example_file(name: str) -> dict[str, object]:
    """An artifact by its name, the content cut short."""
    kind = media_type(name)
    size, beginning = _BEGINNINGS.get(kind, (4127, b""))
    content = base64.b64encode(beginning[:15]).decode("ascii")
    return {name: EmbeddedArtifact.example(content_type=kind, bytes=size, base64=content)}


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
