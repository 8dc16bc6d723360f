"""Regions of interest in the context that goes from step to step."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TypedDict, cast

from steps.tensors import JsonObject
from vision.roi import Roi


class _Region(TypedDict):
    center: tuple[float, float]
    side: float
    rotation: float


def regions_context(regions: Sequence[Roi]) -> JsonObject:
    """The context of a step that cut these regions out."""
    return {"regions": [asdict(region) for region in regions]}


def regions_of(context: JsonObject) -> list[Roi]:
    """The regions that `regions_context` wrote."""
    return [_roi(region) for region in cast("list[_Region]", context["regions"])]


def _roi(region: _Region) -> Roi:
    x, y = region["center"]
    return Roi((x, y), region["side"], region["rotation"])
