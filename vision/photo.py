"""Photos: checked by their header, decoded to RGB as displayed."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from vision.arrays import RGB, Affine
from vision.headers import bmp, jpeg, png, signature, webp
from vision.photo_info import TRANSPOSED, Header, PhotoError, PhotoInfo

__all__ = ["Photo", "PhotoError", "PhotoInfo", "Reduction", "decode", "inspect", "reduction_for"]

Reduction: TypeAlias = Literal[1, 2, 4, 8]

MAX_PIXELS = 100_000_000
MIN_SIDE = 16
MAX_SIDE = 32_766
"""OpenCV's warpAffine takes no image with a longer side."""
ACCEPTED = "JPEG, PNG, WebP and BMP are accepted"

_REDUCED_FLAGS = {1: 0, 2: 16, 4: 32, 8: 64}
"""The bits of cv2.IMREAD_REDUCED_*: libjpeg then transforms 8×8 blocks to 4×4, 2×2 or 1×1 pixels."""

SIXTEEN_BIT_WHITE = 65_535
COLOR_DIMENSIONS, BGRA_CHANNELS = 3, 4

_FLIPPED_X = frozenset({2, 3, 6, 7})
_FLIPPED_Y = frozenset({3, 4, 7, 8})
"""EXIF orientations as a transposition (TRANSPOSED), then flips of the displayed axes (EXIF 2.32, tag 0x0112)."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo, perhaps reduced; `from_source` maps source pixels to its pixels."""

    pixels: RGB
    from_source: Affine


def inspect(data: bytes, *, max_pixels: int = MAX_PIXELS) -> PhotoInfo:
    """Read a photo's header, decode nothing, and refuse what could not be worked on.

    Raises PhotoError, and nothing else, with any of its codes but those of a decoder's failure.
    """
    if not data:
        raise PhotoError("image_empty", f"the image has no bytes; {ACCEPTED}")
    header = _parse(data)
    _check(header, max_pixels)
    width, height = header.width, header.height
    if header.orientation in TRANSPOSED:
        width, height = height, width
    return PhotoInfo(header.format, width, height, header.orientation, header.alpha)


def reduction_for(info: PhotoInfo, extent: float, pixels: int) -> Reduction:
    """Choose the largest reduction at which `extent` source pixels still cover at least `pixels`.

    Only JPEG decodes faster when reduced; other formats always get 1.
    """
    if info.format != "jpeg":
        return 1
    reductions: tuple[Reduction, ...] = (8, 4, 2)
    return next((reduction for reduction in reductions if extent >= pixels * reduction), 1)


def decode(data: bytes, info: PhotoInfo, *, reduction: Reduction = 1) -> Photo:
    """Decode to RGB uint8 as displayed: oriented, alpha on white, sixteen bits cut to eight.

    `info` is what `inspect` said of the same bytes. A reduced JPEG has ceil(stored side / reduction) pixels a side.
    Raises PhotoError (image_corrupt).
    """
    stored_width, stored_height = (info.height, info.width) if info.transposed else info.size
    stored = _decode_stored(data, info, reduction)
    if stored.shape[:2] != (-(-stored_height // reduction), -(-stored_width // reduction)):
        raise PhotoError("image_corrupt", "the image's header and its pixels differ in size")
    pixels = _orient(stored, info.orientation)
    return Photo(pixels, _from_source(info, pixels, reduction))


def _parse(data: bytes) -> Header:
    parse = _parser(data)
    try:
        return parse(data)
    except struct.error:
        raise PhotoError("image_truncated", "the image ends within its header; send the whole file") from None


def _parser(data: bytes) -> Callable[[bytes], Header]:
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.parse
    if data.startswith(png.SIGNATURE[:4]) and png.SIGNATURE.startswith(data[:8]):
        return png.parse
    if data.startswith(webp.SIGNATURE) and webp.FORM.startswith(data[8:12]):
        return webp.parse
    if data.startswith(bmp.SIGNATURE):
        return bmp.parse
    raise PhotoError("image_unsupported", f"the image is of type: {signature.name_of(data)}; {ACCEPTED}")


def _check(header: Header, max_pixels: int) -> None:
    size = f"{header.width}×{header.height} pixels"
    if header.animated:
        raise PhotoError("image_animated", f"the {header.format} is animated; send one still image")
    if header.width * header.height > max_pixels:
        raise PhotoError("image_too_large", f"the image has {size}; at most {max_pixels} in all are accepted")
    if max(header.width, header.height) > MAX_SIDE:
        raise PhotoError("image_too_large", f"the image has {size}; at most {MAX_SIDE} a side are accepted")
    if min(header.width, header.height) < MIN_SIDE:
        raise PhotoError("image_too_small", f"the image has {size}; at least {MIN_SIDE}×{MIN_SIDE} are needed")
    if not header.complete:
        raise PhotoError("image_truncated", f"the {header.format} ends before its last pixel; send the whole file")


def _decode_stored(data: bytes, info: PhotoInfo, reduction: Reduction) -> RGB:
    decoded = _read(data, info, reduction)
    hole = png.transparent_grey(data) if info.format == "png" and info.alpha else None
    if hole is not None:  # OpenCV leaves this transparency out
        decoded[decoded == hole] = SIXTEEN_BIT_WHITE if decoded.dtype == np.uint16 else 255
    pixels = np.asarray(np.right_shift(decoded, 8) if decoded.dtype == np.uint16 else decoded, dtype=np.uint8)
    return _on_white(pixels) if info.alpha else pixels


def _read(data: bytes, info: PhotoInfo, reduction: Reduction) -> MatLike:
    flags = cv2.IMREAD_UNCHANGED if info.alpha else cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    if info.format == "jpeg":
        flags |= _REDUCED_FLAGS[reduction]
    try:
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise PhotoError("image_corrupt", f"the {info.format} cannot be decoded") from error
    if decoded is None:
        raise PhotoError("image_corrupt", f"the {info.format} cannot be decoded")
    return decoded


def _on_white(decoded: NDArray[np.uint8]) -> RGB:
    """Composite H×W×4, blue first; OpenCV may leave transparency out (H×W, H×W×3) where a file only hints at it."""
    channels = 1 if decoded.ndim < COLOR_DIMENSIONS else decoded.shape[2]
    if channels < BGRA_CHANNELS:
        conversion = cv2.COLOR_GRAY2RGB if channels == 1 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(decoded, conversion), dtype=np.uint8)
    alpha = cv2.cvtColor(decoded[:, :, 3], cv2.COLOR_GRAY2RGB)
    color = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGB)
    return np.asarray(cv2.add(cv2.multiply(color, alpha, scale=1 / 255), 255 - alpha), dtype=np.uint8)


def _orient(stored: RGB, orientation: int) -> RGB:
    pixels = cv2.transpose(stored) if orientation in TRANSPOSED else stored
    flip_x, flip_y = orientation in _FLIPPED_X, orientation in _FLIPPED_Y
    if flip_x or flip_y:
        pixels = cv2.flip(pixels, -1 if flip_x and flip_y else int(flip_x))
    return np.asarray(pixels, dtype=np.uint8)


def _from_source(info: PhotoInfo, pixels: RGB, reduction: Reduction) -> Affine:
    """Count from the stored origin: where an axis is flipped, the last, partly filled pixel lies first."""
    height, width = pixels.shape[:2]
    shift_x = width - info.width / reduction if info.orientation in _FLIPPED_X else 0.0
    shift_y = height - info.height / reduction if info.orientation in _FLIPPED_Y else 0.0
    return np.array([[1 / reduction, 0.0, shift_x], [0.0, 1 / reduction, shift_y]])
