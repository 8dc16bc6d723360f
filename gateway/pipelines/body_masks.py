"""Parameters of the `body_masks` pipeline."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.pipelines.fields import Parameters, UniqueList
from gateway.settings.settings import MASK_TYPES, MaskType
from gateway.text import not_empty

Extra = Literal["label_map", "keypoints", "overlay"]
REFUSALS = ("no_person", "several_persons")
"""Codes of problems that only this pipeline has."""

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
        "source", description="source: masks of the photo's size; canvas: 768×1024 about the person."
    )
    person: Literal["largest", "all", "single"] = Field(
        "largest", description="Whose masks: the largest person's, everyone's, or the only person's."
    )
    include: UniqueList[Extra] = Field((), description="Artifacts beside the masks: a list, or comma-separated text.")
