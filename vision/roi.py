"""The rotated square around a person or a face that a landmark model looks at."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vision.affine import compose, invert, of_indices, warp
from vision.arrays import RGB, Affine
from vision.photo import Photo
from vision.ssd import Detection

MARGIN = 1.25
"""RectTransformationCalculator's scale in mediapipe's pose graph."""


@dataclass(frozen=True, slots=True)
class Roi:
    """A square of `side` source pixels around `center`, turned clockwise by `rotation` radians."""

    center: tuple[float, float]
    side: float
    rotation: float

    def to_source(self, pixels: int) -> Affine:
        """Map the pixels of a crop of `pixels` a side to source pixels."""
        scale = self.side / pixels
        cos, sin = scale * math.cos(self.rotation), scale * math.sin(self.rotation)
        half = pixels / 2
        shift_x = self.center[0] - half * (cos - sin)
        shift_y = self.center[1] - half * (sin + cos)
        return np.array([[cos, -sin, shift_x], [sin, cos, shift_y]])


def roi_of(detection: Detection) -> Roi:
    """Frame the circle around mid-hip through the body point, turned so that this point lies straight up.

    This follows MediaPipe's AlignmentPointsRectsCalculator (target angle 90°) and RectTransformationCalculator.
    """
    (x, y), (top_x, top_y) = detection.keypoints[:2].tolist()
    radius = max(math.hypot(top_x - x, top_y - y), 1.0)
    rotation = math.remainder(math.pi / 2 - math.atan2(y - top_y, top_x - x), 2 * math.pi)
    return Roi((x, y), 2 * radius * MARGIN, rotation)


def crop(photo: Photo, roi: Roi, side: int) -> RGB:
    """Cut the region out as side×side×3, bilinear. Beyond the photo its edge is repeated.

    Pixel indices pass the map unshifted and the border is replicated, as in MediaPipe's ImageToTensorCalculator.
    """
    affine = compose(invert(photo.from_source), of_indices(invert(roi.to_source(side))))
    return warp(photo.pixels, affine, (side, side), interpolation=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE)
