"""Affine maps between the pixel frames of a photo, a crop and a canvas."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Affine, Float64, Size


def scale_and_shift(scale: float, shift_x: float, shift_y: float) -> Affine:
    """Map (x, y) to (scale·x + shift_x, scale·y + shift_y)."""
    return np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]], dtype=np.float64)


def compose(first: Affine, second: Affine) -> Affine:
    """Apply `first`, then `second`."""
    composed = second[:, :2] @ first
    composed[:, 2] += second[:, 2]
    return composed


def invert(affine: Affine) -> Affine:
    """Undo `affine`; raises numpy.linalg.LinAlgError where it has no inverse."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack((linear, -linear @ affine[:, 2]))


def transform_points(points: Float64, affine: Affine) -> Float64:
    """Move points N×2."""
    moved: Float64 = points @ affine[:, :2].T + affine[:, 2]
    return moved


def of_indices(affine: Affine) -> Affine:
    """Convert a map of pixel indices, where whole numbers are pixel centres, into a map of pixel corners."""
    shifted = affine.copy()
    shifted[:, 2] += 0.5 - 0.5 * (affine[:, 0] + affine[:, 1])
    return shifted


def warp(
    image: NDArray[np.uint8], affine: Affine, size: Size, *, interpolation: int, border: int = cv2.BORDER_CONSTANT
) -> NDArray[np.uint8]:
    """Draw `image` into a frame of `size` through `affine` (image → frame). Outside is 0 by default.

    OpenCV counts from pixel centres, this package from pixel corners. So both ends move by half a pixel.
    """
    centred = affine.copy()
    centred[:, 2] += 0.5 * (affine[:, 0] + affine[:, 1]) - 0.5
    warped = cv2.warpAffine(image, centred, size, flags=interpolation, borderMode=border)
    return np.asarray(warped, dtype=np.uint8)
