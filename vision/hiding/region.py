"""Where something is hidden, in pixels of the photo."""

import math
from dataclasses import dataclass

from vision.arrays import Box, Size
from vision.hiding.options import Hiding

LEAST_RIM = 1.0
"""Pixels: an edge this wide looks smooth."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box or the ellipse inscribed in it, by centre and half axes, and the width of the rim about it."""

    center: tuple[float, float]
    half: tuple[float, float]
    rim: float

    @classmethod
    def about(cls, box: Box, hiding: Hiding) -> "Region":
        """The region that hides what a detector found in `box`."""
        x1, y1, x2, y2 = box
        share = 0.5 + hiding.grow
        half = max(x2 - x1, 0.0) * share, max(y2 - y1, 0.0) * share
        rim = max(hiding.feather * 2 * max(half), LEAST_RIM)
        return cls(((x1 + x2) / 2, (y1 + y2) / 2), half, rim)

    @property
    def side(self) -> float:
        """The longer side, without the rim."""
        return 2 * max(self.half)

    def window(self, size: Size) -> "Window":
        """The pixels of a photo of `size` that the region and its rim touch."""
        (x, y), (a, b) = self.center, (half + self.rim for half in self.half)
        return Window.about((x - a, y - b, x + a, y + b), size)


@dataclass(frozen=True, slots=True)
class Window:
    """Whole pixels of a photo; empty where x2 ≤ x1 or y2 ≤ y1."""

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
