"""What pipelines give: artifacts and a result, or a failure; and the models of what they find.

The fields of these pydantic models have the examples of the API's description.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema
from starlette.responses import Response

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".tiff": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True)
class Artifact:
    """A named file, such as `person_0/dress_mask.png`."""

    name: str
    data: bytes

    @property
    def media_type(self) -> str:
        """Content type by the name's suffix."""
        return media_type(self.name)


@dataclass(frozen=True)
class InferenceResult:
    """The model's result object (status, photo, persons …) and its artifacts."""

    result: Mapping[str, object]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True)
class Failure:
    """Why there is no result: a code of gateway.errors.PROBLEMS, and a sentence."""

    code: str
    detail: str


def media_type(name: str) -> str:
    """Content type of a file name; bytes of unknown kind for an unknown suffix."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


Pixels = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
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


class MadeBy(Answer):
    """What made a result."""

    profile: Literal["lite", "full"] = Field(description="full: the user's own checkpoints.", examples=["lite"])
    model: str = Field(description="The model of the pipeline.", examples=["body_masks_lite"])
    weights: dict[str, str] = Field(
        description="SHA-256 of each network that it runs, by name; empty where Triton does not tell.",
        examples=[{"pose_detection": "1c5fb2…", "pose_landmark_full": "59e42d…"}],
    )


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


_SQUARE = PhotoSize.example(width=512, height=512)
PERSONS_FOUND = {"photo": PhotoSize.example(), "persons": [PersonFound.example()]}
FACES_FOUND = {"photo": PhotoSize.example(width=1101, height=1100), "faces": [FaceFound.example()]}
OBJECTS_FOUND = {"photo": _SQUARE, "detections": [ObjectFound.example()]}
HIDDEN = ObjectFound.example(action="hidden", style="gaussian", shape="box", region=[153, 29, 298, 217])
OBJECTS_HIDDEN = {"photo": _SQUARE, "detections": [HIDDEN], "blur": BlurDone.example()}
"""Examples of results."""
