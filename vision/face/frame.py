"""The levelled crop about a face."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vision.affine import compose, invert, scale_and_shift, warp
from vision.arrays import RGB, Affine, Float64, LabelMap, Size
from vision.photo import Photo

MARGIN = 0.1
"""Space on every side of the face, as a share of its longer side."""
MAX_SIDE = 2048
"""Pixels; a larger face is reduced."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture of `size`; `from_source` maps source pixels to its pixels."""

    from_source: Affine
    size: Size

    @property
    def rotation(self) -> float:
        """Degrees by which the photo is turned clockwise."""
        return math.degrees(math.atan2(self.from_source[1, 0], self.from_source[0, 0]))

    def of_photo(self, photo: Photo) -> RGB:
        """Draw the photo, bilinear; beyond it its edge is repeated."""
        affine = compose(invert(photo.from_source), self.from_source)
        return warp(photo.pixels, affine, self.size, interpolation=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE)

    def of_label_map(self, label_map: LabelMap, size: Size) -> LabelMap:
        """Draw a label map of any size that covers a photo of `size`, nearest; beyond it is background."""
        affine = compose(label_map_affine(label_map, size), self.from_source)
        return warp(label_map, affine, self.size, interpolation=cv2.INTER_NEAREST)


def label_map_affine(label_map: LabelMap, size: Size) -> Affine:
    """Map a label map's pixels to those of the photo of `size` that it covers."""
    height, width = label_map.shape
    return np.array([[size[0] / width, 0.0, 0.0], [0.0, size[1] / height, 0.0]])


def levelling(left_eye: Float64, right_eye: Float64) -> Affine:
    """Turn about the middle of two eye centres, left and right as the viewer sees them, to make their line level."""
    (x, y), (across, down) = (left_eye + right_eye) / 2, right_eye - left_eye
    angle = math.atan2(down, across)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y]])


def frame_about(extent: Float64, level: Affine) -> Frame:
    """Frame levelled points N×2 and MARGIN about them in whole pixels, one to one unless a side is over MAX_SIDE."""
    low, high = extent.min(axis=0), extent.max(axis=0)
    margin = MARGIN * (high - low).max()
    window = high - low + 2 * margin
    scale = min(1.0, MAX_SIDE / window.max())
    width, height = (min(MAX_SIDE, math.ceil(side * scale)) for side in window.tolist())
    shift_x, shift_y = (scale * (margin - low)).tolist()
    return Frame(compose(level, scale_and_shift(scale, shift_x, shift_y)), (width, height))
