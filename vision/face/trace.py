"""Outlines of masks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.affine import transform_points
from vision.arrays import Affine, Float64, Mask

TOLERANCE = 0.3
"""Pixels by which simplifying may move an outline: less than √2/4, the least distance of an exact one from a pixel's
centre, so that no pixel changes sides."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A closed ring N×2 of continuous coordinates, its first point not repeated; a hole lies inside another ring."""

    points: Float64
    hole: bool = False

    def moved(self, affine: Affine) -> "Outline":
        """The ring in another frame."""
        return Outline(transform_points(self.points, affine), self.hole)


def trace(mask: Mask, min_area: float) -> list[Outline]:
    """Outline every 8-connected region, and every hole, of at least `min_area` pixels; `mask` is 0 outside.

    The outlines run half-way between the centres of pixels inside and outside (marching squares): filled by the
    even-odd rule they hold exactly the centres of the mask's pixels.
    """
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return []
    doubled = _doubled(mask[y : y + height, x : x + width])
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlines = []
    for contour, (*_, parent) in zip(contours, hierarchy[0].tolist(), strict=True):
        if cv2.contourArea(contour) >= 4 * min_area:
            ring = cv2.approxPolyDP(contour, 2 * TOLERANCE, closed=True).reshape(-1, 2)
            outlines.append(Outline(ring / 2 + (x, y), parent >= 0))
    return outlines


def _doubled(mask: Mask) -> NDArray[np.uint8]:
    """Set, of all pixel centres, edge middles and corners, those where a bilinear mask would be at least a half."""
    height, width = mask.shape
    padded = np.zeros((height + 2, width + 2), dtype=np.uint8)
    padded[1:-1, 1:-1] = mask != 0
    vertical = padded[:-1] + padded[1:]
    doubled = np.empty((2 * height + 1, 2 * width + 1), dtype=np.uint8)
    doubled[1::2, 1::2] = padded[1:-1, 1:-1]
    doubled[::2, 1::2] = vertical[:, 1:-1] > 0
    doubled[1::2, ::2] = padded[1:-1, :-1] | padded[1:-1, 1:]
    doubled[::2, ::2] = vertical[:, :-1] + vertical[:, 1:] > 1
    return doubled
