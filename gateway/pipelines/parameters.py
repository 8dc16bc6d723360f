"""What requests to the pipelines may say: their parameters, as pydantic models."""

import base64
import json
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast, Field, WithJsonSchema

from gateway.pipelines.validation import MAX_TEXT_BYTES, Bounds, Parameters, UniqueList
from gateway.settings.settings import MASK_TYPES, MaskType
from gateway.untrusted_text import MAX_ITEMS, not_empty, parsed_json, read_base64, split_pairs

_GENDERS = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F"}


def canonical_gender(value: str) -> str:
    """M or F where it means one of them, else the text itself. Raises ValueError for control characters."""
    text = value.strip()
    if not text.isprintable():
        raise ValueError("control characters are not accepted")
    return _GENDERS.get(text.upper(), text)


class BodyMasksParameters(Parameters):
    """What a request for body masks may say; every field is optional."""

    mask_types: Annotated[UniqueList[MaskType], AfterValidator(not_empty)] = Field(
        MASK_TYPES, description="Masks to make: a list, or comma-separated text."
    )
    gender: Annotated[str, Field(max_length=32), AfterValidator(canonical_gender)] = Field(
        "other", description="M/MALE or F/FEMALE in any case; anything else takes the female radii."
    )
    style: Literal["garment", "labels"] = Field(
        "garment", description="garment: the full rules with pose; labels: plain unions of labels."
    )
    frame: Literal["source", "canvas"] = Field(
        "source", description="source: masks of the photo's size; canvas: the 768×1024 window of `crop`."
    )
    crop: Literal["person", "centre"] = Field(
        "person",
        description="What the masks are made on: a 3:4 window about the person, or the largest about the photo's "
        "middle, as the service before did.",
    )
    person: Literal["largest", "all", "single"] = Field(
        "largest", description="Whose masks: the largest person's, everyone's, or the only person's."
    )
    include: UniqueList[Literal["label_map", "keypoints", "overlay"]] = Field(
        (), description="Artifacts beside the masks: a list, or comma-separated text."
    )


MAX_LANDMARK_CHARACTERS = 1_000_000
"""As `vision.face.landmarks` accepts."""

_MAX_POINTS = 50_000
"""Values: 16 faces of 478 points have 40,000 with their coordinates."""
MAX_MAP_CHARACTERS = 4 * (MAX_TEXT_BYTES + 2) // 3
"""Of a PNG in base64 that came as a file."""

_POINT = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x", "y"]}
_INDICES = {"type": "array", "items": {"type": "integer", "minimum": 0}}


def json_text(value: object) -> object:
    """An array or object as JSON text; anything else as it is. Raises ValueError where it is nested too deeply."""
    if not isinstance(value, list | tuple | dict):
        return value
    try:
        return json.dumps(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def encodable(value: str) -> str:
    """The text. Raises ValueError for lone surrogates: the model takes UTF-8."""
    value.encode()
    return value


def segmentation_text(value: str) -> str:
    """An object without byte order mark; a PNG in plain base64, whichever way that was written. Raises ValueError."""
    value = value.removeprefix("\ufeff")
    if value.lstrip().startswith("{"):
        return value
    try:
        return base64.b64encode(read_base64(value)).decode()
    except ValueError as error:
        said = f"neither an object {{region name: [landmark indices]}} nor base64 of a PNG: {error}"
        raise ValueError(said) from error


class FaceContoursParameters(Parameters):
    """What a request for face contours may say; every field is optional."""

    landmarks: Annotated[
        str,
        Bounds(MAX_LANDMARK_CHARACTERS, _MAX_POINTS),
        BeforeValidator(json_text),
        AfterValidator(encodable),
        Field(max_length=MAX_LANDMARK_CHARACTERS),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _POINT}, {"type": "object"}]}),
    ] = Field(
        "",
        description="478, 468 or 68 points of each face in pixels of the photo: [{x, y}, …], {landmarks, dimensions} "
        "or lines `x,y`, as a file or here. Without them faces are looked for.",
    )
    segmentation_map: Annotated[
        str,
        Bounds(MAX_MAP_CHARACTERS, _MAX_POINTS),
        BeforeValidator(json_text),
        AfterValidator(encodable),
        AfterValidator(segmentation_text),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "contentEncoding": "base64"},
                    {"type": "object", "additionalProperties": _INDICES},
                ]
            }
        ),
    ] = Field(
        "",
        description="What the regions are: a PNG of labels that covers the photo, as a file or in base64; or "
        "{region name: [landmark indices]}. Default regions of the landmarks otherwise.",
    )
    face: Literal["largest", "all", "single"] = Field(
        "largest", description="Whose contours: the largest face's, every face's, or the only face's."
    )
    regions: UniqueList[Annotated[str, Field(max_length=64)]] = Field(
        (), description="Names of regions: a list, or comma-separated text; the default ones otherwise."
    )
    frame: Literal["crop", "source"] = Field(
        "crop", description="Where contours and SVG lie: the levelled crop, or the photo."
    )
    show_labels: bool = Field(default=False, description="Write each region's number and name into the SVG.")
    show_landmarks: bool = Field(default=False, description="Draw the landmarks into the SVG.")
    region_opacity: float = Field(0.65, ge=0, le=1, description="Opacity of the regions.")
    stroke_width: float = Field(0.0, ge=0, le=100, description="Width of the regions' outlines in pixels; 0: none.")
    colors: Annotated[
        dict[str, Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]],
        Field(max_length=MAX_ITEMS),
        BeforeValidator(split_pairs),
    ] = Field({}, description="#RRGGBB by region name: an object, or `nose=#D4A574,mouth=#B695C0`.")
    embed_image: bool = Field(default=False, description="Put the photo into the largest face's SVG.")
    include: UniqueList[Literal["landmarks"]] = Field(
        (), description="Artifacts beside the contours: a list, or comma-separated text."
    )


ClassName = Annotated[str, Field(min_length=1, max_length=64)]
"""A class that some detector knows, such as `face`, or a group of them; the detectors refuse what none knows."""

Classes = UniqueList[ClassName]

Thresholds = Annotated[
    dict[ClassName, Annotated[float, Field(ge=0, le=1)]],
    Field(
        max_length=MAX_ITEMS,
        description="Least score by class or group: an object, or `face=0.3,vehicles=0.5`; 0.2 for faces, 0.1 for "
        "plates, else 0.3.",
    ),
    BeforeValidator(split_pairs),
]
SmallestFace = Annotated[
    float,
    Field(
        ge=8,
        le=10_000,
        description="Width in pixels of the photo from which on every face is looked for that the model finds in the "
        "photo at its own size; smaller ones take longer in large photos.",
    ),
]
SmallestObject = Annotated[
    float, Field(ge=8, le=10_000, description="The same for plates and all other objects: their longer side.")
]
Rotations = Annotated[
    Literal["auto", "none", "all"],
    Field(
        description="Directions to look in: auto: upright, and turned by 90, 180 and 270 degrees where no sure face is "
        "upright; none: upright alone; all: all four."
    ),
]


class DetectParameters(Parameters):
    """What a request for objects may say; every field is optional."""

    classes: Classes = Field(
        (),
        description="What to look for: faces, plates, persons, vehicles or any class that a detector knows, as a list "
        "or comma-separated text; everything without.",
    )
    thresholds: Thresholds = Field({})
    smallest_face: SmallestFace = 20
    smallest_object: SmallestObject = 64
    rotations: Rotations = "auto"


Name = TypeVar("Name", bound=str)

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
    metadata: Annotated[UniqueList[Literal["exif", "icc", "none"]], AfterValidator(without_none)] = Field(
        ("icc",),
        description="What the copy keeps of the photo's metadata: exif (how and when it was taken), icc (the colour "
        "profile), or none. Places and thumbnails never.",
    )
    include: UniqueList[Literal["blur", "detections"]] = Field(
        (), description="Artifacts beside the copy: a list, or comma-separated text."
    )
