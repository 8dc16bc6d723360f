"""Landmarks drawn to the peak of their heatmaps."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float32, Float64

Cells: TypeAlias = NDArray[np.int64]

KERNEL = 7
MIN_CONFIDENCE = 0.5
"""Options of mediapipe's RefineLandmarksFromHeatmapCalculator in the pose graph."""


def refine(points: Float64, heatmap: Float32) -> Float64:
    """Move points N×2 (fractions of the input) to the confidence-weighted mean of the cells about them.

    `heatmap` is H×W×N logits. A point outside it, or whose best cell is below MIN_CONFIDENCE, stays.
    """
    height, width, count = heatmap.shape
    size = np.array([width, height])
    cells = np.trunc(points * size).astype(np.int64)
    inside = ((cells >= 0) & (cells < size)).all(axis=1)
    offsets = np.arange(KERNEL) - KERNEL // 2
    columns, rows = cells[:, :1] + offsets, cells[:, 1:] + offsets
    confidence = _windows(heatmap, rows, columns, np.arange(count))
    total = confidence.sum(axis=(1, 2))
    moved = inside & (confidence.max(axis=(1, 2)) >= MIN_CONFIDENCE)
    mean = (
        np.stack((np.einsum("nrc,nc->n", confidence, columns), np.einsum("nrc,nr->n", confidence, rows)), axis=1)
        / np.maximum(total, 1e-12)[:, None]
    )
    return np.where(moved[:, None], mean / size, points)


def _windows(heatmap: Float32, rows: Cells, columns: Cells, channels: Cells) -> Float64:
    """Confidences N×KERNEL×KERNEL about each point, 0 beyond the heatmap."""
    height, width, _ = heatmap.shape
    valid = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    logits = heatmap[
        np.clip(rows, 0, height - 1)[:, :, None],
        np.clip(columns, 0, width - 1)[:, None, :],
        channels[:, None, None],
    ].astype(np.float64)
    return np.where(valid, 1 / (1 + np.exp(-np.clip(logits, -30, 30))), 0.0)
