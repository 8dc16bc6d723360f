"""Parameters of the `privacy_blur` pipeline."""

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from gateway.pipelines.detect import THRESHOLDS_TEXT, Classes, Thresholds
from gateway.pipelines.lists import MAX_ITEMS, not_empty, split_list, without_repeats

Extra = Literal["blur", "detections"]
Metadata = Literal["exif", "icc", "none"]

_Pixels = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_BOX_SIDES = 4


def split_boxes(value: object) -> object:
    """Boxes `x1,y1,x2,y2` between semicolons, or the text of a JSON array, as lists. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from error
    return [box.split(",") for box in value.split(";") if box.strip()]


def ordered_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The box. Raises ValueError where it is empty: its corners may have been given the other way round."""
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        raise ValueError("a box is x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    return box


def without_none(kinds: tuple[Metadata, ...]) -> tuple[Metadata, ...]:
    """The kinds that are kept: an empty list is no way to say so, because it counts as not given."""
    return tuple(kind for kind in kinds if kind != "none")


_Box = Annotated[tuple[_Pixels, _Pixels, _Pixels, _Pixels], AfterValidator(ordered_box)]
_BOX_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": _BOX_SIDES, "maxItems": _BOX_SIDES}


class PrivacyBlurParameters(BaseModel):
    """What a request for a blurred copy may say; every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hide: Annotated[Classes, AfterValidator(not_empty)] = Field(
        ("faces", "plates"),
        description="What to hide: faces, plates, persons, vehicles or any class that a detector knows, as a list or "
        "comma-separated text.",
    )
    style: Literal["gaussian", "pixelate", "solid"] = Field("gaussian", description="What is painted over them.")
    strength: float = Field(
        1.0, ge=0.5, le=4, description="Scales blur and cells; at 1 nothing of a face can be had back."
    )
    shape: Literal["ellipse", "box"] | None = Field(None, description="Faces: ellipse, all else: box, without.")
    grow: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="Share of the box added on each side; by class without: faces 0.2072, plates 0.1, else 0.05."
    )
    feather: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Width of the soft rim about the region, as a share of its longer side; 0.05 without."
    )
    color: Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")] | None = Field(
        None, description="#RRGGBB of the solid style; black without."
    )
    keep: Annotated[
        tuple[_Box, ...],
        Field(max_length=MAX_ITEMS),
        BeforeValidator(split_boxes),
        WithJsonSchema({"anyOf": [{"type": "array", "items": _BOX_SCHEMA}, {"type": "string"}]}),
    ] = Field(
        (),
        description="Boxes that stay untouched, in pixels of the photo as displayed: [[x1, y1, x2, y2], …] or "
        "`x1,y1,x2,y2;…`.",
    )
    thresholds: Thresholds = Field({}, description=THRESHOLDS_TEXT)
    format: Literal["jpeg", "png", "webp"] | None = Field(
        None, description="Format of the blurred copy; without, that of the photo, and PNG of a BMP."
    )
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="Quality of a JPEG or WebP; without, that of the JPEG it is made from, or 90."
    )
    metadata: Annotated[
        tuple[Metadata, ...], BeforeValidator(split_list), AfterValidator(without_repeats), AfterValidator(without_none)
    ] = Field(
        ("icc",),
        description="What the copy keeps of the photo's metadata: exif (how and when it was taken), icc (the colour "
        "profile), or none. Places and thumbnails never.",
    )
    include: Annotated[tuple[Extra, ...], BeforeValidator(split_list), AfterValidator(without_repeats)] = Field(
        (), description="Artifacts beside the copy: a list, or comma-separated text."
    )
