"""Parameters of the `detect` pipeline."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.pipelines.lists import MAX_ITEMS, split_list, without_repeats
from gateway.pipelines.pairs import split_pairs

REFUSALS = ("class_unknown",)
"""Codes of problems that only pipelines with detectors have."""

ClassName = Annotated[str, Field(min_length=1, max_length=64)]
"""A class that some detector knows, such as `face`, or a group of them; the detectors refuse what none knows."""

Classes = Annotated[tuple[ClassName, ...], BeforeValidator(split_list), AfterValidator(without_repeats)]

Thresholds = Annotated[
    dict[ClassName, Annotated[float, Field(ge=0, le=1)]], Field(max_length=MAX_ITEMS), BeforeValidator(split_pairs)
]

THRESHOLDS_TEXT = "Least score by class or group: an object, or `face=0.3,vehicles=0.5`; 0.2 for faces, else 0.3."

_FACES = frozenset({"face", "faces"})


class DetectParameters(BaseModel):
    """What a request for objects may say; every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: Classes = Field(
        (),
        description="What to look for: faces, plates, persons, vehicles or any class that a detector knows, as a list "
        "or comma-separated text; everything without.",
    )
    thresholds: Thresholds = Field({}, description=THRESHOLDS_TEXT)


def faces_alone(parameters: Mapping[str, object], name: str) -> bool:
    """Whether the classes in this parameter are faces and nothing else: no other detector then needs to run."""
    asked = parameters.get(name)
    return isinstance(asked, list) and bool(asked) and _FACES.issuperset(asked)
