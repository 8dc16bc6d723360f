"""Parameters of the `detect` pipeline."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.text import MAX_ITEMS, split_list, split_pairs, without_repeats

REFUSALS = ("class_unknown",)
"""Codes of problems that only pipelines with detectors have."""

ClassName = Annotated[str, Field(min_length=1, max_length=64)]
"""A class that some detector knows, such as `face`, or a group of them; the detectors refuse what none knows."""

Classes = Annotated[tuple[ClassName, ...], BeforeValidator(split_list), AfterValidator(without_repeats)]

Thresholds = Annotated[
    dict[ClassName, Annotated[float, Field(ge=0, le=1)]], Field(max_length=MAX_ITEMS), BeforeValidator(split_pairs)
]

THRESHOLDS_TEXT = (
    "Least score by class or group: an object, or `face=0.3,vehicles=0.5`; 0.2 for faces, 0.1 for plates, else 0.3."
)

SmallestFace = Annotated[float, Field(ge=8, le=10_000)]
SmallestObject = Annotated[float, Field(ge=8, le=10_000)]
Rotations = Literal["auto", "none", "all"]

SMALLEST_FACE_TEXT = (
    "Width in pixels of the photo from which on every face is looked for that the model finds in the photo at its own "
    "size; smaller ones take longer in large photos."
)
SMALLEST_OBJECT_TEXT = "The same for plates and all other objects: their longer side."
ROTATIONS_TEXT = (
    "Directions to look in: auto: upright, and turned by 90, 180 and 270 degrees where no sure face is upright; "
    "none: upright alone; all: all four."
)


class DetectParameters(BaseModel):
    """What a request for objects may say; every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: Classes = Field(
        (),
        description="What to look for: faces, plates, persons, vehicles or any class that a detector knows, as a list "
        "or comma-separated text; everything without.",
    )
    thresholds: Thresholds = Field({}, description=THRESHOLDS_TEXT)
    smallest_face: SmallestFace = Field(20, description=SMALLEST_FACE_TEXT)
    smallest_object: SmallestObject = Field(64, description=SMALLEST_OBJECT_TEXT)
    rotations: Rotations = Field("auto", description=ROTATIONS_TEXT)
