"""Parameters of the `privacy_blur` pipeline."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast, Field, WithJsonSchema

from gateway.pipelines.detect import (
    Classes,
    ClassName,
    Rotations,
    SmallestFace,
    SmallestObject,
    Thresholds,
)
from gateway.pipelines.fields import Bounds, Parameters, UniqueList
from gateway.text import MAX_ITEMS, not_empty, parsed_json

Name = TypeVar("Name", bound=str)
Extra = Literal["blur", "detections"]
Metadata = Literal["exif", "icc", "none"]

_Pixels = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_BOX_SIDES = 4
MAX_OBJECTS = 1000


def split_boxes(value: object) -> object:
    """Boxes `x1,y1,x2,y2` between semicolons, or the text of a JSON array, as lists. Raises ValueError."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return parsed_json(value)
    return [box.split(",") for box in value.split(";") if box.strip()]


def ordered_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The box. Raises ValueError where it is empty: its corners may have been given the other way round."""
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        raise ValueError("a box is x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    return box


def without_none(names: tuple[Name, ...]) -> tuple[Name, ...]:
    """Nothing, where `none` says so: an empty list is no way to say it, because it counts as not given."""
    return tuple(name for name in names if name != "none")


_Box = Annotated[tuple[_Pixels, _Pixels, _Pixels, _Pixels], AfterValidator(ordered_box)]
_BOX_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": _BOX_SIDES, "maxItems": _BOX_SIDES}
_OBJECT_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "default": "face"}, "box": _BOX_SCHEMA},
    "required": ["box"],
}


class GivenObject(BaseModel):
    """An object that the caller knows of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: ClassName = "face"
    box: Annotated[_Box, WithJsonSchema(_BOX_SCHEMA)]


class PrivacyBlurParameters(Parameters):
    """What a request for a blurred copy may say; every field is optional."""

    hide: Annotated[Classes, AfterValidator(not_empty), AfterValidator(without_none)] = Field(
        ("faces", "plates"),
        description="What to look for and hide: faces, plates, persons, vehicles or any class that a detector knows, "
        "as a list or comma-separated text; none: only `objects`.",
    )
    style: Literal["gaussian", "pixelate", "solid"] = Field("gaussian", description="What is painted over them.")
    strength: float = Field(
        1.0, ge=0.5, le=4, description="Scales blur and cells; at 1 nothing of a face can be had back."
    )
    shape: Literal["ellipse", "box", "quadrilateral"] | None = Field(
        None,
        description="quadrilateral: the four corners where they are known, else the box. Without: plates: "
        "quadrilateral, all else: box.",
    )
    grow: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None,
        description="Share of the box added on each side; by class without, most for faces: hair and ears as well.",
    )
    feather: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Width of the soft rim about the region, as a share of its longer side; by class without."
    )
    color: Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")] | None = Field(
        None, description="#RRGGBB of the solid style; black without."
    )
    keep: Annotated[
        tuple[_Box, ...],
        FailFast(),
        Field(max_length=MAX_ITEMS),
        BeforeValidator(split_boxes),
        WithJsonSchema({"anyOf": [{"type": "array", "items": _BOX_SCHEMA}, {"type": "string"}]}),
    ] = Field(
        (),
        description="Boxes that stay untouched, in pixels of the photo as displayed: [[x1, y1, x2, y2], …] or "
        "`x1,y1,x2,y2;…`.",
    )
    objects: Annotated[
        tuple[GivenObject, ...],
        FailFast(),
        Bounds(characters=256 * MAX_OBJECTS, values=10 * MAX_OBJECTS),
        Field(max_length=MAX_OBJECTS),
        BeforeValidator(parsed_json),
        WithJsonSchema({"anyOf": [{"type": "array", "items": _OBJECT_SCHEMA}, {"type": "string"}]}),
    ] = Field(
        (),
        description='Objects to hide beside what is found, such as those tracked in a video: [{"label": "face", '
        '"box": [x1, y1, x2, y2]}, …], or the text of it.',
    )
    thresholds: Thresholds = Field({})
    smallest_face: SmallestFace = 20
    smallest_object: SmallestObject = 64
    rotations: Rotations = "auto"
    format: Literal["jpeg", "png", "webp"] | None = Field(
        None, description="Format of the blurred copy; without, the photo's own, JPEG of HEIC and AVIF, else PNG."
    )
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Quality of a JPEG or WebP; without, that of the JPEG it is made from, or 90."
    )
    metadata: Annotated[UniqueList[Metadata], AfterValidator(without_none)] = Field(
        ("icc",),
        description="What the copy keeps of the photo's metadata: exif (how and when it was taken), icc (the colour "
        "profile), or none. Places and thumbnails never.",
    )
    include: UniqueList[Extra] = Field((), description="Artifacts beside the copy: a list, or comma-separated text.")
