"""What runs and jobs are answered with: pydantic models, whose fields have the examples of the API's description.

`gateway.http.answers` and `gateway.jobs.outbox_messages` write these answers themselves: a run's may be
large, and a job's is also sent as a message.
"""

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema
from starlette.responses import Response

from gateway.errors import PROBLEMS
from gateway.jobs.job import CallbackKind, JobState
from gateway.jobs.outbox import DeliveryState
from gateway.results import Failure, media_type

EXAMPLE_ID = "6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11"
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=[EXAMPLE_ID])]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2025-11-26T12:00:00.000000Z"])]
Code = Annotated[str, Field(json_schema_extra={"enum": list(PROBLEMS)}, examples=["invalid_json"])]
Count = Annotated[int, Field(ge=0)]
Pixels = Annotated[int, Field(ge=1)]
Score = Annotated[float, Field(ge=0, le=1)]
Keypoint = tuple[float, float, Score]
Box = tuple[float, float, float, float]
Transform = tuple[tuple[float, float, float], tuple[float, float, float]]


class Answer(BaseModel):
    """An object of an answer.

    It is made with `model_construct`: limits describe what we answer, and do not keep us from answering.
    """

    def response(self, status: int = 200) -> Response:
        """The answer that consists of it."""
        return Response(self.model_dump_json(warnings=False), status, media_type="application/json")

    @classmethod
    def example(cls, **others: object) -> dict[str, object]:
        """What the description shows: the examples of the fields that are always there, and `others`."""
        return {
            name: others[name] if name in others else _example(field)
            for name, field in cls.model_fields.items()
            if name in others or field.is_required()
        }


def _example(field: FieldInfo) -> object:
    """The field's own, or that of the model which it holds; null where there is neither."""
    if field.examples:
        return field.examples[0]
    kinds = get_args(field.annotation) if get_origin(field.annotation) is list else [field.annotation]
    shown = [kind.example() for kind in kinds if isinstance(kind, type) and issubclass(kind, Answer)]
    return shown if get_origin(field.annotation) is list else next(iter(shown), None)


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


class PhotoSize(Answer):
    """The photo's size in pixels, as displayed."""

    width: Pixels = Field(examples=[600])
    height: Pixels = Field(examples=[800])


_KEYPOINTS = [
    *([300.4, 121.7, 0.99], [302.2, 198.0, 0.99], [245.1, 203.6, 0.99], [221.9, 310.2, 0.98], [214.8, 402.5, 0.97]),
    *([359.3, 202.4, 0.99], [381.0, 309.9, 0.98], [390.6, 405.1, 0.96], [264.7, 411.3, 0.99], [259.2, 573.0, 0.97]),
    *([252.5, 721.8, 0.93], [339.9, 412.0, 0.99], [345.4, 574.6, 0.97], [0.0, 0.0, 0.0], [288.6, 108.1, 0.99]),
    *([313.9, 108.9, 0.99], [270.3, 118.4, 0.98], [331.7, 119.6, 0.98]),
]


class PersonFound(Answer):
    """A person that masks were made of; coordinates are pixels of the photo as displayed."""

    index: int = Field(
        ge=0, description="Place in this list, and in the artifacts' names with person=all.", examples=[0]
    )
    box: Box = Field(description="x1, y1, x2, y2.", examples=[[205.5, 48.25, 398.0, 790.75]])
    score: Score = Field(examples=[0.98])
    keypoints: list[Keypoint] = Field(
        min_length=18,
        max_length=18,
        description="COCO-18, each x, y, score; score 0: not found.",
        examples=[_KEYPOINTS],
    )


class RegionFound(Answer):
    """A region that contours were made of."""

    number: int = Field(ge=1, examples=[1])
    name: str = Field(examples=["forehead"])


_TRANSFORM = [[0.92403864, 0.38229552, -337.6761751], [-0.38229552, 0.92403864, 213.4265214]]


class FaceFound(Answer):
    """A face that contours were made of; coordinates are pixels of the photo as displayed."""

    index: int = Field(ge=0, description="Place in this list, and in the artifacts' names with face=all.", examples=[0])
    box: Box = Field(description="x1, y1, x2, y2 of the landmarks.", examples=[[265.79, 312.7, 830.48, 907.85]])
    score: Score | None = Field(description="Null where the landmarks were given.", examples=[0.97])
    landmarks: int = Field(description="How many there are.", examples=[468])
    rotation: float = Field(
        description="Degrees by which the photo is turned clockwise to make the eyes level.", examples=[-22.476]
    )
    transform: Transform = Field(description="2×3, from the photo to the levelled crop.", examples=[_TRANSFORM])
    crop: PhotoSize = Field(description="Size of the levelled crop.", examples=[{"width": 786, "height": 969}])
    regions: list[RegionFound] = Field(examples=[[{"number": 1, "name": "forehead"}, {"number": 2, "name": "nose"}]])


class ObjectFound(Answer):
    """An object that a detector found; coordinates are pixels of the photo as displayed."""

    index: int = Field(ge=0, description="Place in this list.", examples=[0])
    label: str = Field(description="Its class: face, license_plate, or one of COCO's 80.", examples=["face"])
    score: Score = Field(examples=[0.8712])
    box: Box = Field(description="x1, y1, x2, y2.", examples=[[188.46, 72.91, 262.5, 173.1]])
    model: str = Field(description="The detector that found it.", examples=["centerface"])
    corners: list[tuple[float, float]] | None = Field(
        None, description="Of a plate, where the detector tells them: four x, y, clockwise from its own top left."
    )
    action: Literal["hidden", "kept", "none"] | None = Field(
        None, description="Of privacy_blur. kept: covered by a box of `keep`; none: not of the classes to hide."
    )
    style: str | None = Field(None, description="Of what was hidden.")
    shape: str | None = Field(None, description="Of what was hidden.")
    region: tuple[int, int, int, int] | None = Field(
        None, description="Of what was hidden: x1, y1, x2, y2 of the pixels that changed."
    )


class Looked(Answer):
    """How closely a photo was looked at."""

    smallest_face: float | None = Field(None, description="Pixels of the photo, where faces were looked for.")
    smallest_object: float | None = Field(None, description="Pixels of the photo, where anything else was looked for.")
    rotations: list[int] = Field(
        default=[], description="Directions looked in: degrees the photo was turned clockwise."
    )
    tiles: int = Field(ge=0, description="How often a detector looked at a part or all of the photo.", examples=[1])


class BlurDone(Answer):
    """What was asked for, and how much was hidden."""

    hide: list[str] = Field(examples=[["faces", "plates"]])
    style: Literal["gaussian", "pixelate", "solid"] = Field(examples=["gaussian"])
    strength: float = Field(examples=[1.0])
    hidden: int = Field(ge=0, description="How many objects.", examples=[1])
    kept: int = Field(ge=0, description="How many objects a box of `keep` covers.", examples=[0])
    keep: list[Box] = Field(examples=[[]])
    format: Literal["jpeg", "png", "webp"] = Field(examples=["jpeg"])
    metadata: list[Literal["exif", "icc"]] = Field(
        description="What the copy may keep of the photo's.", examples=[["icc"]]
    )


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


def _file(name: str, size: int, beginning: bytes) -> dict[str, object]:
    """An artifact by its name, the content cut short."""
    content = base64.b64encode(beginning[:15]).decode("ascii")
    return {name: EmbeddedArtifact.example(content_type=media_type(name), bytes=size, base64=content)}


_SQUARE = PhotoSize.example(width=512, height=512)
_HIDDEN = ObjectFound.example(action="hidden", style="gaussian", shape="box", region=[153, 29, 298, 217])
FOUND: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "body_masks": {"photo": PhotoSize.example(), "persons": [PersonFound.example()]},
        "face_contours": {"photo": PhotoSize.example(width=1101, height=1100), "faces": [FaceFound.example()]},
        "privacy_blur": {"photo": _SQUARE, "detections": [_HIDDEN], "blur": BlurDone.example()},
        "detect": {"photo": _SQUARE, "detections": [ObjectFound.example()]},
    }
)
"""Examples of what the pipelines find."""
MADE: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "body_masks": _file("upper_body_mask.png", 4127, tiny_png()),
        "face_contours": _file("contours.svg", 44389, b'<svg xmlns="http://www.w3.org/2000/svg"'),
        "privacy_blur": _file("blurred.jpg", 61442, b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00"),
        "detect": _file("detections.json", 152, b'{"photo":{"width":512}'),
    }
)
"""Examples of what they make."""
QUEUED = JobView.example()
COMPLETED = JobView.example(
    state="completed",
    attempts=1,
    started_at="2025-11-26T12:00:00.012000Z",
    finished_at="2025-11-26T12:00:00.310000Z",
    timings_ms={"queue": 12.0, "fetch": 3.1, "infer": 61.8, "store": 9.4},
    **FOUND["body_masks"],
    artifacts={"upper_body_mask.png": JobArtifact.example()},
    callbacks=[JobCallback.example()],
)
"""Examples of a job."""
