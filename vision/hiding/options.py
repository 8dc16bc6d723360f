"""How something is hidden."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from vision.arrays import Box, Corners

Color: TypeAlias = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""


class Style(StrEnum):
    """What is painted over the region."""

    GAUSSIAN = "gaussian"
    PIXELATE = "pixelate"
    SOLID = "solid"


class Shape(StrEnum):
    """The region's outline: the grown box, the ellipse inscribed in it, or the grown hull of four corners.

    Where a quadrilateral is asked for and no corners are known, it is the box.
    """

    ELLIPSE = "ellipse"
    BOX = "box"
    QUADRILATERAL = "quadrilateral"


@dataclass(frozen=True, slots=True)
class Hiding:
    """Style, shape and measures.

    The region is the box with `grow` of its width and height added on each side, and no narrower than the share
    `narrowest` of its longer side. About it lies a rim, `feather` of its longer side wide, in which the hiding fades;
    inside the region nothing of the photo shines through. `strength` scales what `vision.hiding.styles` says of blur
    and cells; `color` is that of the solid style.
    """

    style: Style = Style.GAUSSIAN
    strength: float = 1.0
    shape: Shape = Shape.BOX
    grow: float = 0.0
    narrowest: float = 0.0
    feather: float = 0.0
    color: Color = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be hidden and how: its box, and its four corners where a detector knows them, in any order."""

    box: Box
    hiding: Hiding
    corners: Corners | None = None
