"""The parameters of the `detect` pipeline, as the gateway has checked them."""

from dataclasses import dataclass, field
from typing import cast

from steps.detect_find import Thresholds
from steps.tensors import JsonObject


@dataclass(frozen=True)
class DetectParameters:
    """What one request asks for; `classes` are labels and groups, and none of them stands for all."""

    classes: tuple[str, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)

    @classmethod
    def from_json(cls, value: JsonObject) -> "DetectParameters":
        """Read the pipeline's JSON; unknown keys are left alone."""
        classes = cast("list[str]", value.get("classes", []))
        return cls(tuple(classes), Thresholds.from_json(cast("JsonObject", value.get("thresholds", {}))))
