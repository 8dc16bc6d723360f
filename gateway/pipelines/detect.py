"""Parameters of the `detect` pipeline."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.pipelines.fields import Parameters, UniqueList
from gateway.text import MAX_ITEMS, split_pairs

REFUSALS = ("class_unknown",)
"""Codes of problems that only pipelines with detectors have."""

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
