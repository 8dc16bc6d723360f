"""Traced outlines freed from their pixels' steps."""

import cv2
import numpy as np

from vision.arrays import Float64
from vision.face.trace import Outline

SIGMA = 2.0
"""Of the Gaussian along the outline, in pixels."""
SHIFT, SHIFT_SHARE = 0.6, 0.015
"""Pixels by which smoothing may move a point, and the same as a share of the outline's width (area over length)."""
TOLERANCE, TOLERANCE_SHARE = 0.4, 0.02
"""Pixels by which leaving out points may move the curve, likewise."""
THIN = 1.0
"""Outlines of less width stay as they are: of a sliver, a tenth of a pixel is much."""


def knots(outline: Outline) -> Outline:
    """Choose the points N×2 through which a smooth curve is to be drawn of an outline."""
    ring = outline.points.astype(np.float32)
    width = cv2.contourArea(ring) / cv2.arcLength(ring, closed=True)
    if width < THIN:
        return outline
    smooth = _smoothed(_walked(outline.points), min(SHIFT, SHIFT_SHARE * width)).astype(np.float32)
    chosen = cv2.approxPolyDP(smooth, min(TOLERANCE, TOLERANCE_SHARE * width), closed=True)
    return Outline(chosen.reshape(-1, 2).astype(np.float64), outline.hole)


def _walked(points: Float64) -> Float64:
    """Spread points evenly along a closed ring, about a pixel apart."""
    closed = np.vstack((points, points[:1]))
    length = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))))
    places = np.linspace(0.0, length[-1], max(8, round(length[-1])), endpoint=False)
    return np.column_stack([np.interp(places, length, axis) for axis in closed.T])


def _smoothed(points: Float64, shift: float) -> Float64:
    """Blur a closed ring, moving no point by more than `shift`: corners stay where they are."""
    reach = round(3 * SIGMA)
    wrapped = np.pad(points, ((reach, reach), (0, 0)), mode="wrap")
    kernel = cv2.getGaussianKernel(2 * reach + 1, SIGMA).ravel()
    move = np.column_stack([np.convolve(axis, kernel, mode="valid") for axis in wrapped.T]) - points
    length = np.maximum(np.hypot(*move.T), 1e-9)
    moved: Float64 = points + move * np.minimum(1.0, shift / length)[:, np.newaxis]
    return moved
