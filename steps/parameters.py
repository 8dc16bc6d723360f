"""The parameters of the `body_masks` pipeline, as the gateway has checked them."""

from dataclasses import dataclass
from typing import cast

from steps.tensors import JsonObject
from vision.mask_types import MaskType


@dataclass(frozen=True)
class BodyMaskParameters:
    """What one request asks for; the defaults are those of a request that names nothing."""

    mask_types: tuple[MaskType, ...] = tuple(MaskType)
    gender: str = "F"
    style: str = "garment"
    frame: str = "source"
    person: str = "largest"
    include: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: JsonObject) -> "BodyMaskParameters":
        """Read the pipeline's JSON; unknown keys are left alone. Raises ValueError for an unknown mask type."""
        chosen = {key: value[key] for key in ("gender", "style", "frame", "person") if key in value}
        names = cast("list[str]", value.get("mask_types", [mask_type.value for mask_type in MaskType]))
        include = cast("list[str]", value.get("include", []))
        mask_types = tuple(MaskType(name) for name in names)
        return cls(mask_types=mask_types, include=tuple(include), **cast("dict[str, str]", chosen))
