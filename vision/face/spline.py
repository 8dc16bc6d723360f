"""Smooth closed curves through rings of points."""

import math
from collections.abc import Iterable

import numpy as np

from vision.arrays import Float64
from vision.face.trace import Outline

CORNER = math.cos(math.radians(40))
"""Sharper turns than 40° stay corners."""
SAMPLES = 8
"""Points a stretch of curve is flattened to."""

_SHORTER = (("-0.0 ", "0.0 "), (".0 ", " "), (" 0.", " ."), ("-0.", "-."), (" -", "-"))
"""Ways to write numbers, each between spaces, and shorter ones that mean the same in path data."""


def controls(points: Float64) -> tuple[Float64, Float64]:
    """Give the cubic Bézier control points N×2 after and before each point of a closed ring.

    Tangents lean towards the nearer neighbour, as on the circle through the three points; control points lie a third
    of the way to that neighbour, so that uneven spacing makes neither loops nor bulges.
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
    """Sample the smooth curve through a closed ring, SAMPLES points a stretch."""
    out, back = controls(points)
    ahead, back_ahead = np.roll(points, -1, axis=0), np.roll(back, -1, axis=0)
    share = (np.arange(SAMPLES) / SAMPLES)[np.newaxis, :, np.newaxis]
    start, first, second, end = (array[:, np.newaxis] for array in (points, out, back_ahead, ahead))
    rest = 1 - share
    curve = rest**3 * start + 3 * rest**2 * share * first + 3 * rest * share**2 * second + share**3 * end
    flat: Float64 = curve.reshape(-1, 2)
    return flat


def path_data(outlines: Iterable[Outline]) -> str:
    """Write rings as SVG path data: a smooth closed subpath each, relative coordinates to a tenth of a pixel."""
    return "".join(_subpath(outline.points) for outline in outlines)


def _subpath(points: Float64) -> str:
    points, out, back = (np.rint(10 * array) / 10 for array in (points, *controls(points)))
    ahead, back_ahead = np.roll(points, -1, axis=0), np.roll(back, -1, axis=0)
    steps = np.stack((out - points, back_ahead - points, ahead - points), axis=1)
    return f"M{_numbers(points[0])}c{_numbers(steps.ravel())}z"


def _numbers(values: Float64) -> str:
    """Write numbers to a tenth, without needless zeros, and with a space only where no minus sign parts them."""
    text = "".join([f" {value:.1f}" for value in values.tolist()]) + " "
    for needless, kept in _SHORTER:
        text = text.replace(needless, kept)
    return text.strip()
