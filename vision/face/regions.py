"""Regions of a face: from its landmarks, from callers' own rings, or from a label map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Affine, Float64, LabelMap
from vision.face.errors import FaceError
from vision.face.hairline import forehead, forehead_to_hairline
from vision.face.label_map import labels_in
from vision.face.label_scheme import scheme_of
from vision.face.segmentation import Rings
from vision.face.smoothing import knots
from vision.face.spline import flatten
from vision.face.topology import DEFAULT_REGIONS, FOREHEAD, REGION_NUMBERS, Topology
from vision.face.trace import Outline, trace

MIN_SHARE = 1e-3
"""Least area of a label's piece, or of a hole in it, as a share of the label's area."""
MAX_POINTS, MAX_RINGS = 100_000, 1000
"""A label map's outlines and their corners in all, twenty times those of a fine one; bound the time a hostile one
costs."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One region: its contours, and the knots of the smooth closed curves that are drawn of them."""

    number: int
    name: str
    contours: tuple[Outline, ...]
    knots: tuple[Outline, ...]

    def moved(self, affine: Affine) -> "Region":
        """The region in another frame."""
        contours, knots = (tuple(ring.moved(affine) for ring in rings) for rings in (self.contours, self.knots))
        return Region(self.number, self.name, contours, knots)


def landmark_regions(
    points: Float64, topology: Topology, names: Sequence[str], label_map: LabelMap | None
) -> list[Region]:
    """Make regions of REGION_NUMBERS by name, the default ones of no names; everything is levelled.

    The forehead reaches the hairline where a label map shows it. Raises FaceError (region_unknown).
    """
    chosen = _chosen(REGION_NUMBERS, names or DEFAULT_REGIONS)
    return [_smooth(number, name, _ring(points, topology, name, label_map)) for name, number in chosen.items()]


def ring_regions(landmarks: Float64, rings: Rings, names: Sequence[str]) -> list[Region]:
    """Make the named regions of callers' rings, all of no names, numbered from 1 as the rings come.

    Raises FaceError (regions_invalid, region_unknown).
    """
    highest, count = max(max(ring) for ring in rings.values()), len(landmarks)
    if highest >= count:
        raise FaceError("regions_invalid", f"a region has index {highest}; {count} landmarks end at {count - 1}")
    chosen = _chosen({name: number for number, name in enumerate(rings, start=1)}, names or tuple(rings))
    return [_smooth(number, name, landmarks[list(rings[name])]) for name, number in chosen.items()]


def label_regions(label_map: LabelMap) -> list[Region]:
    """Make a region of every label of a levelled map, numbered as the labels are.

    Raises FaceError: label_map_empty where there is none, label_map_corrupt past MAX_POINTS or MAX_RINGS.
    """
    labels = labels_in(label_map)
    scheme = scheme_of(labels)
    traced = {label: outlines for label in labels if (outlines := _traced(label_map == label))}
    if not traced:
        raise FaceError("label_map_empty", "the label map has no region at the face; it must cover the whole photo")
    _check_detail([outline for outlines in traced.values() for outline in outlines])
    return [
        Region(label, scheme.name(label), outlines, tuple(map(knots, outlines))) for label, outlines in traced.items()
    ]


def _check_detail(outlines: Sequence[Outline]) -> None:
    corners = sum(len(outline.points) for outline in outlines)
    if corners > MAX_POINTS or len(outlines) > MAX_RINGS:
        raise FaceError(
            "label_map_corrupt",
            f"the label map has {len(outlines)} outlines with {corners} corners, more than {MAX_RINGS} or "
            f"{MAX_POINTS}: it is no face",
        )


def _chosen(numbers: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    unknown = [name for name in names if name not in numbers]
    if unknown:
        known = ", ".join(numbers)
        raise FaceError("region_unknown", f"there is no region {unknown[0][:60]!r}; there are: {known[:1000]}")
    return {name: numbers[name] for name in names}


def _ring(points: Float64, topology: Topology, name: str, label_map: LabelMap | None) -> Float64:
    if name != FOREHEAD:
        return points[list(topology.rings[name])]
    if label_map is None:
        return forehead(points, topology)
    labels = labels_in(label_map)
    return forehead_to_hairline(points, topology, label_map, scheme_of(labels).below_hair(labels))


def _smooth(number: int, name: str, ring: Float64) -> Region:
    return Region(number, name, (Outline(flatten(ring)),), (Outline(ring),))


def _traced(pixels: NDArray[np.bool_]) -> tuple[Outline, ...]:
    mask = pixels.view(np.uint8)
    return tuple(trace(mask, MIN_SHARE * cv2.countNonZero(mask)))
