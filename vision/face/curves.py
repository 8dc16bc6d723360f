"""Outlines of masks, and smooth closed curves through them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.affine import transform_points
from vision.arrays import Affine, Float64, Mask

TRACE_TOLERANCE = 0.3
"""Pixels by which simplifying may move an outline. This is less than √2/4, the least distance of an exact outline from
a pixel's centre, so that no pixel changes sides."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A closed ring N×2 of continuous coordinates. Its first point is not repeated. A hole lies inside another ring."""

    points: Float64
    hole: bool = False

    def moved(self, affine: Affine) -> "Outline":
        """The ring in another frame."""
        return Outline(transform_points(self.points, affine), self.hole)


def trace(mask: Mask, min_area: float) -> list[Outline]:
    """Outline every 8-connected region, and every hole, of at least `min_area` pixels. `mask` is 0 outside.

    The outlines run half-way between the centres of pixels inside and outside (marching squares). Filled by the
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
            ring = cv2.approxPolyDP(contour, 2 * TRACE_TOLERANCE, closed=True).reshape(-1, 2)
            outlines.append(Outline(ring / 2 + (x, y), parent >= 0))
    return outlines


def _doubled(mask: Mask) -> NDArray[np.uint8]:
    """Of all pixel centres, edge middles and corners, set those where a bilinear mask would be at least one half."""
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


CORNER = math.cos(math.radians(40))
"""Sharper turns than 40° stay corners."""
SAMPLES = 8
"""Points per stretch of a flattened curve."""

_SHORTER = (("-0.0 ", "0.0 "), (".0 ", " "), (" 0.", " ."), ("-0.", "-."), (" -", "-"))
"""Ways to write numbers, each between spaces, and shorter ones with the same meaning in path data."""


def controls(points: Float64) -> tuple[Float64, Float64]:
    """Give the cubic Bézier control points N×2 after and before each point of a closed ring.

    Tangents lean towards the nearer neighbour, as on the circle through the three points. Control points lie a third of
    the way to that neighbour, so that uneven spacing causes neither loops nor bulges.
    """
    after = np.roll(points, -1, axis=0) - points
    length = np.maximum(np.hypot(*after.T), 1e-9)[:, np.newaxis]
    before, length_before = np.roll(after, 1, axis=0), np.roll(length, 1, axis=0)
    leaving, arriving = after / length, before / length_before
    tangent = leaving * length_before + arriving * length
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, np.newaxis]
    corner = (leaving * arriving).sum(axis=1, keepdims=True) < CORNER
    reach = np.minimum(length, length_before) / 3
    out, back = np.where(corner, leaving, tangent) * reach, np.where(corner, arriving, tangent) * reach
    return points + out, points - back


def flatten(points: Float64) -> Float64:
    """Sample the smooth curve through a closed ring at SAMPLES points per stretch."""
    out, back = controls(points)
    ahead, back_ahead = np.roll(points, -1, axis=0), np.roll(back, -1, axis=0)
    share = (np.arange(SAMPLES) / SAMPLES)[np.newaxis, :, np.newaxis]
    start, first, second, end = (array[:, np.newaxis] for array in (points, out, back_ahead, ahead))
    rest = 1 - share
    curve = rest**3 * start + 3 * rest**2 * share * first + 3 * rest * share**2 * second + share**3 * end
    flat: Float64 = curve.reshape(-1, 2)
    return flat


def path_data(outlines: Iterable[Outline]) -> str:
    """Write rings as SVG path data: one smooth closed subpath each, relative coordinates to a tenth of a pixel."""
    return "".join(_subpath(outline.points) for outline in outlines)


def _subpath(points: Float64) -> str:
    points, out, back = (np.rint(10 * array) / 10 for array in (points, *controls(points)))
    ahead, back_ahead = np.roll(points, -1, axis=0), np.roll(back, -1, axis=0)
    steps = np.stack((out - points, back_ahead - points, ahead - points), axis=1)
    return f"M{_numbers(points[0])}c{_numbers(steps.ravel())}z"


def _numbers(values: Float64) -> str:
    """Write numbers to a tenth, without needless zeros. A space separates them only where no minus sign does."""
    text = "".join([f" {value:.1f}" for value in values.tolist()]) + " "
    for needless, kept in _SHORTER:
        text = text.replace(needless, kept)
    return text.strip()


SIGMA = 2.0
"""Width of the Gaussian along the outline, in pixels."""
SHIFT, SHIFT_SHARE = 0.6, 0.015
"""Limit to which smoothing may move a point: in pixels, and as a share of the outline's width (area over length)."""
TOLERANCE, TOLERANCE_SHARE = 0.4, 0.02
"""Limit to which leaving out points may move the curve, in the same units."""
THIN = 1.0
"""Narrower outlines are not changed: a tenth of a pixel is much for a sliver."""


def knots(outline: Outline) -> Outline:
    """Choose points N×2 of an outline through which a smooth curve is drawn."""
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
    """Blur a closed ring without moving any point by more than `shift`, so that corners stay in place."""
    reach = round(3 * SIGMA)
    wrapped = np.pad(points, ((reach, reach), (0, 0)), mode="wrap")
    kernel = cv2.getGaussianKernel(2 * reach + 1, SIGMA).ravel()
    move = np.column_stack([np.convolve(axis, kernel, mode="valid") for axis in wrapped.T]) - points
    length = np.maximum(np.hypot(*move.T), 1e-9)
    moved: Float64 = points + move * np.minimum(1.0, shift / length)[:, np.newaxis]
    return moved
