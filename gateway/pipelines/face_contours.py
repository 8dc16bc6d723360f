"""Parameters of the `face_contours` pipeline."""

import base64
import json
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.pipelines.fields import MAX_TEXT_BYTES, Bounds, Parameters, UniqueList
from gateway.text import MAX_ITEMS, read_base64, split_pairs

MAX_LANDMARK_CHARACTERS = 1_000_000
"""As `vision.face.landmarks` accepts."""

_MAX_POINTS = 50_000
"""Values: 16 faces of 478 points have 40,000 with their coordinates."""
MAX_MAP_CHARACTERS = 4 * (MAX_TEXT_BYTES + 2) // 3
"""Of a PNG in base64 that came as a file."""

REFUSALS = (
    *("no_face", "several_faces"),
    *("landmarks_unreadable", "landmarks_count", "landmarks_outside", "landmarks_degenerate"),
    *("segmentation_unsupported", "label_map_lossy", "label_map_unreadable", "label_map_corrupt", "label_map_empty"),
    *("regions_invalid", "region_unknown", "options_invalid"),
)
"""Codes of problems that only this pipeline has."""
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
