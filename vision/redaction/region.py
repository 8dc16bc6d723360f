"""The area that a redaction hides, in pixels of the photo."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vision.arrays import Box, Corners, Float64, Size
from vision.redaction.styles import Redaction, Shape, Target

LEAST_RIM = 1.0
"""Pixels. An edge this wide looks smooth."""
FARTHEST = 1e6
"""Pixels. Corners farther away cannot belong to anything in a photo."""
LEAST_AREA = 0.1
"""Share of the box that four corners must span to be believed. An askew plate five times as long as high spans 0.28."""


@dataclass(frozen=True, slots=True)
class Region:
    """The area that is completely hidden, and the width of the rim around it.

    `center` and `half` are those of the smallest box around it, `side` is its greatest length. A quadrilateral is the
    part of the box that lies behind all of its `edges`. Each edge is (x, y, distance): the unit vector out of the
    region, and how far along it, from the centre, the edge lies.
    """

    shape: Shape
    center: tuple[float, float]
    half: tuple[float, float]
    side: float
    rim: float
    edges: tuple[tuple[float, float, float], ...] = ()

    @classmethod
    def about(cls, target: Target) -> "Region":
        """The region that hides what a detector found."""
        redaction = target.redaction
        if redaction.shape is Shape.QUADRILATERAL:
            points = _points(target.box, target.corners)
            return cls._upright(Shape.BOX, target.box, redaction) if points is None else cls._behind(points, redaction)
        return cls._upright(redaction.shape, target.box, redaction)

    @classmethod
    def _upright(cls, shape: Shape, box: Box, redaction: Redaction) -> "Region":
        x1, y1, x2, y2 = box
        share = 0.5 + redaction.grow
        a, b = max(x2 - x1, 0.0) * share, max(y2 - y1, 0.0) * share
        least = redaction.narrowest * max(a, b)
        side = 2 * max(a, b)
        return cls(shape, ((x1 + x2) / 2, (y1 + y2) / 2), (max(a, least), max(b, least)), side, _rim(side, redaction))

    @classmethod
    def _behind(cls, points: Float64, redaction: Redaction) -> "Region":
        """The hull of points K×2, grown around their mean. The mean lies inside, so the grown hull covers the hull."""
        middle = points.mean(axis=0)
        grown = middle + (points - middle) * (1 + 2 * redaction.grow)
        least, most = grown.min(axis=0), grown.max(axis=0)
        (x, y), (a, b) = ((least + most) / 2).tolist(), ((most - least) / 2).tolist()
        side = float(np.linalg.norm(grown[:, None] - grown, axis=2).max())
        return cls(Shape.QUADRILATERAL, (x, y), (a, b), side, _rim(side, redaction), _edges(grown - (x, y)))

    def window(self, size: Size) -> "Window":
        """The pixels of a photo of `size` that the region and its rim touch."""
        (x, y), (a, b) = self.center, (half + self.rim for half in self.half)
        return Window.about((x - a, y - b, x + a, y + b), size)


def _rim(side: float, redaction: Redaction) -> float:
    return max(redaction.feather * side, LEAST_RIM)


def _points(box: Box, corners: Corners | None) -> Float64 | None:
    """The points whose hull is to be hidden. None if only the box is known.

    If the corners span no area, or lie at another place than the box, the box's corners are added.
    """
    points = np.array(corners or (), dtype=np.float64).reshape(-1, 2)
    if not len(points) or not (np.abs(points) <= FARTHEST).all():  # they may also be no numbers
        return None
    x1, y1, x2, y2 = box
    x, y = points.mean(axis=0)
    spanned = cv2.contourArea(_hull(points - (x, y)).astype(np.float32))
    if spanned >= LEAST_AREA * (x2 - x1) * (y2 - y1) and x1 <= x <= x2 and y1 <= y <= y2:
        return points
    return np.vstack([points, [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]])


def _hull(points: Float64) -> Float64:
    """Those of points around (0, 0) that are corners of their convex hull, in order. OpenCV rounds to 32 bits.

    OpenCV finds no hull for points that nearly coincide. Then the hull is the first of them.
    """
    places = cv2.convexHull(points.astype(np.float32), returnPoints=False)
    hull: Float64 = points[:1] if places is None else points[places.ravel()]
    return hull


def _edges(points: Float64) -> tuple[tuple[float, float, float], ...]:
    """Edges of the hull of points around (0, 0). A side without length limits nothing."""
    hull = _hull(points)
    along = np.roll(hull, -1, axis=0) - hull
    lengths = np.linalg.norm(along, axis=1)
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1)[lengths > 0] / lengths[lengths > 0, None]
    distances = (normals @ points.T).max(axis=1)
    return tuple((x, y, distance) for (x, y), distance in zip(normals.tolist(), distances.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Window:
    """Whole pixels of a photo. Empty if x2 ≤ x1 or y2 ≤ y1."""

    x1: int
    y1: int
    x2: int
    y2: int

    @classmethod
    def about(cls, box: Box, size: Size) -> "Window":
        """The pixels of a photo of `size` that a box touches."""
        width, height = size
        x1, y1, x2, y2 = box
        return cls(
            math.floor(min(max(x1, 0), width)),
            math.floor(min(max(y1, 0), height)),
            math.ceil(min(max(x2, 0), width)),
            math.ceil(min(max(y2, 0), height)),
        )

    @property
    def empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.x2 <= self.x1 or self.y2 <= self.y1

    @property
    def area(self) -> int:
        """How many pixels lie inside."""
        return max(self.x2 - self.x1, 0) * max(self.y2 - self.y1, 0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y1, self.y2), slice(self.x1, self.x2)
