"""Anchors of single-shot detectors."""

from collections.abc import Sequence

import numpy as np

from vision.arrays import Float32


def ssd_anchors(side: int, strides: Sequence[int], per_cell: int = 2) -> Float32:
    """List the anchor centres (x, y) as fractions of a square input of `side` pixels.

    One grid a run of equal strides, row by row, every cell `per_cell` times for each layer of the run: the order
    of mediapipe's SsdAnchorsCalculator with fixed_anchor_size, offset 0.5 and one aspect ratio.
    """
    grids = [
        np.repeat(_centers(-(-side // stride)), per_cell * strides.count(stride), axis=0)
        for stride in dict.fromkeys(strides)
    ]
    return np.concatenate(grids).astype(np.float32)


def _centers(cells: int) -> Float32:
    ticks = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    x, y = np.meshgrid(ticks, ticks)
    centers: Float32 = np.stack((x.ravel(), y.ravel()), axis=1).astype(np.float32)
    return centers
