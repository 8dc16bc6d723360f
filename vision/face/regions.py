"""Regions of a face: from its landmarks, from the caller's own rings, or from a label map."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Affine, Float64, LabelMap
from vision.face.curves import Outline, flatten, knots, trace
from vision.face.label_map import labels_in
from vision.face.options import FaceError
from vision.face.segmentation import BACKGROUND, Rings, scheme_of
from vision.face.topology import DEFAULT_REGIONS, FOREHEAD, REGION_NUMBERS, Topology

RAYS = 65
NEAREST, FARTHEST, STEPS = 0.3, 2.4, 600
"""Range in which a ray looks for the hairline, in distances from its origin to the landmarks' arc."""
RUN = 7
"""Each ray takes the median of so many rays, so that a strand of hair leaves no notch."""


def forehead(points: Float64, topology: Topology) -> Float64:
    """Ring the forehead N×2 between the brows and the arc of landmarks, raised towards the hairline."""
    return np.vstack((_raised(points, topology), points[list(topology.brows)]))


def forehead_to_hairline(
    points: Float64, topology: Topology, label_map: LabelMap, below_hair: Collection[int]
) -> Float64:
    """Ring the forehead N×2 between the brows and the end of the below-hair labels above them.

    Rays run from the middle of the brows through the raised arc. A ray that starts outside these labels, or finds no
    end of them, keeps the arc. `label_map` is levelled as the points are.
    """
    brows = points[list(topology.brows)]
    origin, arc = brows.mean(axis=0), _resampled(_raised(points, topology))
    shares = np.linspace(NEAREST, FARTHEST, STEPS)
    places = origin + shares[:, np.newaxis, np.newaxis] * (arc - origin)
    end = np.argmin(_sample(label_map, places, below_hair), axis=0)
    reach = _median(np.where(end > 0, shares[end], 1.0))
    return np.vstack((origin + reach[:, np.newaxis] * (arc - origin), brows))


def _raised(points: Float64, topology: Topology) -> Float64:
    """Lift the arc: its middle by the topology's rise, its ends not at all."""
    arc = points[list(topology.arc)]
    height = points[topology.chin, 1] - arc[:, 1].min()
    half = max(float(np.ptp(arc[:, 0])) / 2, 1e-6)
    across = (arc[:, 0] - (arc[:, 0].min() + half)) / half
    arc[:, 1] -= topology.rise * height * (1 - across**2)
    return arc


def _resampled(arc: Float64) -> Float64:
    """Spread RAYS points evenly along the arc."""
    length = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(arc, axis=0).T))))
    places = np.linspace(0.0, length[-1], RAYS)
    return np.column_stack([np.interp(places, length, axis) for axis in arc.T])


def _sample(label_map: LabelMap, places: Float64, labels: Collection[int]) -> NDArray[np.bool_]:
    """Tell which places …×2 lie on pixels of the labels. Beyond the map is background."""
    table = np.zeros(256, dtype=np.bool_)
    table[list(labels)] = True
    height, width = label_map.shape
    x, y = np.floor(np.clip(places, -1.0, (width, height))).astype(np.int64).transpose(2, 0, 1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    found = label_map[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(table[np.where(inside, found, BACKGROUND)])


def _median(reach: Float64) -> Float64:
    padded = np.pad(reach, RUN // 2, mode="edge")
    median: Float64 = np.median(np.lib.stride_tricks.sliding_window_view(padded, RUN), axis=1)
    return median


MIN_SHARE = 1e-3
"""Least area of a label's piece, or of a hole in it, as a share of the label's area."""
MAX_POINTS, MAX_RINGS = 100_000, 1000
"""Limit for all outlines and corners of a label map, twenty times those of a fine one. Limits the time that a hostile
map costs."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One region: its contours, and the knots of the smooth closed curves drawn for them."""

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
    """Make regions of REGION_NUMBERS by name, or the default ones without names. Everything is levelled.

    The forehead reaches the hairline if a label map shows it. Raises FaceError (region_unknown).
    """
    chosen = _chosen(REGION_NUMBERS, names or DEFAULT_REGIONS)
    return [_smooth(number, name, _ring(points, topology, name, label_map)) for name, number in chosen.items()]


def ring_regions(landmarks: Float64, rings: Rings, names: Sequence[str]) -> list[Region]:
    """Make the named regions of the caller's rings, or all without names. They are numbered from 1 in order.

    Raises FaceError (regions_invalid, region_unknown).
    """
    highest, count = max(max(ring) for ring in rings.values()), len(landmarks)
    if highest >= count:
        raise FaceError("regions_invalid", f"a region has index {highest}; {count} landmarks end at {count - 1}")
    chosen = _chosen({name: number for number, name in enumerate(rings, start=1)}, names or tuple(rings))
    return [_smooth(number, name, landmarks[list(rings[name])]) for name, number in chosen.items()]


def label_regions(label_map: LabelMap) -> list[Region]:
    """Make a region of every label of a levelled map, numbered as the labels are.

    Raises FaceError: label_map_empty if there is none, label_map_corrupt above MAX_POINTS or MAX_RINGS.
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
