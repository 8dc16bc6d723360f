"""Polygons filled by the even-odd rule, one pixel centre at a time."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float64, Size

Bits = NDArray[np.bool_]


def fill(rings: Iterable[Float64], size: Size) -> Bits:
    """The pixels of `size` whose centres lie inside an odd number of rings."""
    width, height = size
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    inside = np.zeros((height, width), dtype=np.bool_)
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            for row in np.flatnonzero((rows >= y1) != (rows >= y2)):
                inside[row] ^= columns > x1 + (rows[row] - y1) * (x2 - x1) / (y2 - y1)
    return inside


def iou(first: Bits, second: Bits) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())
