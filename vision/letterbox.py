"""A whole photo in the square input of a model: aspect ratio kept, centred, zeros around it."""

import cv2

from vision.affine import compose, invert, of_indices, scale_and_shift, warp
from vision.arrays import RGB, Affine, Size
from vision.photo import Photo


def letterbox_affine(size: Size, side: int) -> Affine:
    """Map the pixels of a frame of `size` into a square of `side` pixels."""
    width, height = size
    scale = side / max(size)
    return scale_and_shift(scale, (side - width * scale) / 2, (side - height * scale) / 2)


def letterbox(photo: Photo, size: Size, side: int) -> RGB:
    """Draw a photo of `size` source pixels into side×side×3, bilinear.

    Pixel indices pass the map unshifted, as in mediapipe's ImageToTensorCalculator: the detector's answers depend
    on this half pixel.
    """
    affine = compose(invert(photo.from_source), of_indices(letterbox_affine(size, side)))
    return warp(photo.pixels, affine, (side, side), interpolation=cv2.INTER_LINEAR)
