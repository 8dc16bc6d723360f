"""The 3:4 window about a person in which label maps and masks are made."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.affine import invert, scale_and_shift, warp
from vision.arrays import Affine, Box, Size

WORK_SIZE: Size = (384, 512)
OUTPUT_SIZE: Size = (768, 1024)
ASPECT = 3 / 4
MARGIN = 0.06
"""Space on every side of the person, as a share of the person's longer side: dilated masks still fit."""


@dataclass(frozen=True)
class Canvas:
    """A window with its top left corner at (x, y) and `width` wide, in source pixels; it may leave the photo."""

    x: float
    y: float
    width: float

    @cached_property
    def to_work(self) -> Affine:
        """Map source pixels to the 384×512 canvas."""
        return self.to(WORK_SIZE)

    @cached_property
    def to_output(self) -> Affine:
        """Map source pixels to the 768×1024 canvas."""
        return self.to(OUTPUT_SIZE)

    def to(self, size: Size) -> Affine:
        """Map source pixels to the window drawn in `size`, which is 3:4."""
        scale = size[0] / self.width
        return scale_and_shift(scale, -self.x * scale, -self.y * scale)


def canvas_about(box: Box, size: Size) -> Canvas:
    """Frame a person's box, clipped to the photo of `size`, with a margin, in the smallest 3:4 window about it."""
    width, height = size
    x1, x2 = (min(max(x, 0.0), width) for x in box[::2])
    y1, y2 = (min(max(y, 0.0), height) for y in box[1::2])
    margin = 2 * MARGIN * max(x2 - x1, y2 - y1, 1.0)
    window = max(x2 - x1 + margin, (y2 - y1 + margin) * ASPECT)
    return Canvas((x1 + x2 - window) / 2, (y1 + y2 - window / ASPECT) / 2, window)


def to_source(image: NDArray[np.uint8], canvas: Canvas, size: Size) -> NDArray[np.uint8]:
    """Draw a mask or label map of the window into a photo of `size`, nearest pixel, zeros outside the window."""
    height, width = image.shape
    return warp(image, invert(canvas.to((width, height))), size, interpolation=cv2.INTER_NEAREST)


def to_output(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge a 512×384 mask or label map to 1024×768, nearest pixel."""
    return np.asarray(cv2.resize(image, OUTPUT_SIZE, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
