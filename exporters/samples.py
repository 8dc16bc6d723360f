"""Photos as model input."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from exporters.errors import FetchError

Image = NDArray[np.uint8]


def sample_batch(photos: Sequence[Path], size: tuple[int, int]) -> Image:
    """Each photo twice, letterboxed and as its centre square: uint8 N×height×width×3, RGB. Raises FetchError.

    `size` is (width, height); of the squares on its longer side the middle is taken.
    """
    images = [_read(photo) for photo in photos]
    squares = np.stack([square(image, max(size)) for image in images for square in (letterbox, centre_square)])
    left, top = ((max(size) - side) // 2 for side in size)
    return squares[:, top : top + size[1], left : left + size[0]]


def letterbox(image: Image, side: int) -> Image:
    """The whole image, scaled to fit a square and centred on black."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_height, new_width = max(round(height * scale), 1), max(round(width * scale), 1)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[top : top + new_height, left : left + new_width] = _resize(image, new_width, new_height)
    return canvas


def centre_square(image: Image, side: int) -> Image:
    """The largest centred square, scaled."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return _resize(image[top : top + edge, left : left + edge], side, side)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FetchError(f"{path} cannot be read as a photo")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _resize(image: Image, width: int, height: int) -> Image:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
