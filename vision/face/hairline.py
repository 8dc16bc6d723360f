"""The forehead's upper edge, in a levelled crop."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float64, LabelMap
from vision.face.label_scheme import BACKGROUND
from vision.face.topology import Topology

RAYS = 65
NEAREST, FARTHEST, STEPS = 0.3, 2.4, 600
"""Where a ray looks for the hairline, in distances from its origin to the landmarks' arc."""
RUN = 7
"""Rays whose median a ray takes, so that a strand of hair leaves no notch."""


def forehead(points: Float64, topology: Topology) -> Float64:
    """Ring the forehead N×2 between the brows and the arc of landmarks, raised towards the hairline."""
    return np.vstack((_raised(points, topology), points[list(topology.brows)]))


def forehead_to_hairline(
    points: Float64, topology: Topology, label_map: LabelMap, below_hair: Collection[int]
) -> Float64:
    """Ring the forehead N×2 between the brows and where the labels below the hair end above them.

    Rays run from the middle of the brows through the raised arc; one that starts off these labels, or finds no end of
    them, keeps the arc. `label_map` is levelled as the points are.
    """
    brows = points[list(topology.brows)]
    origin, arc = brows.mean(axis=0), _resampled(_raised(points, topology))
    shares = np.linspace(NEAREST, FARTHEST, STEPS)
    places = origin + shares[:, np.newaxis, np.newaxis] * (arc - origin)
    end = np.argmin(_sample(label_map, places, below_hair), axis=0)
    reach = _median(np.where(end > 0, shares[end], 1.0))
    return np.vstack((origin + reach[:, np.newaxis] * (arc - origin), brows))


def _raised(points: Float64, topology: Topology) -> Float64:
    """Lift the arc's middle by the topology's rise, its ends not at all."""
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
    """Tell where places …×2 lie on pixels of the labels; beyond the map is background."""
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
