"""Photos: checked by their header, decoded to RGB as displayed, and compared by a perceptual hash."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from PIL import Image

from vision import color
from vision.arrays import RGB, Affine, Size
from vision.jpeg import decode_jpeg
from vision.photo_header import DAMAGED, Opened, damaged, open_photo
from vision.photo_info import TRANSPOSED, PhotoError, PhotoInfo
from vision.photo_stripping import ACCEPTED, PhotoFile, photo_file

__all__ = ["Photo", "PhotoError", "PhotoInfo", "Reduction", "decode", "decode_own", "inspect", "reduction_for"]

Reduction: TypeAlias = Literal[1, 2, 4, 8]

MAX_PIXELS = 100_000_000
MIN_SIDE = 16
MAX_SIDE = 32_766
"""OpenCV's warpAffine accepts no image with a longer side."""

_FLIPPED_X = frozenset({2, 3, 6, 7})
_FLIPPED_Y = frozenset({3, 4, 7, 8})
"""EXIF orientations as a transposition (TRANSPOSED), then flips of the displayed axes (EXIF 2.32, tag 0x0112)."""
_TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {2: 1, 4: 0, 7: -1}


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo, possibly reduced. `from_source` maps source pixels to its pixels."""

    pixels: RGB
    from_source: Affine


def inspect(data: bytes, *, max_pixels: int | None = MAX_PIXELS) -> PhotoInfo:
    """Read a photo's headers, decode nothing, and refuse unusable photos. None means no limit of the area.

    Raises PhotoError, with any of its codes, and nothing else. Faults that only decoding can find are left to it: a
    JPEG that ends early passes here.
    """
    if not data:
        raise PhotoError("image_empty", f"the image has no bytes; {ACCEPTED}")
    file = photo_file(data)
    if file.size is not None:
        _check(file.size, max_pixels)
    opened = open_photo(file)
    width, height = opened.image.size
    _check((width, height), max_pixels)
    orientation = opened.orientation
    if orientation in TRANSPOSED:
        width, height = height, width
    return PhotoInfo(file.format, width, height, orientation, opened.profile)


def reduction_for(info: PhotoInfo, extent: float, pixels: int) -> Reduction:
    """Choose the largest reduction at which `extent` source pixels still cover at least `pixels`.

    Only JPEG decodes faster when reduced. Other formats always get 1.
    """
    if info.format != "jpeg":
        return 1
    reductions: tuple[Reduction, ...] = (8, 4, 2)
    return next((reduction for reduction in reductions if extent >= pixels * reduction), 1)


def decode(data: bytes, info: PhotoInfo, *, reduction: Reduction = 1) -> Photo:
    """Decode to sRGB uint8 as displayed: oriented, alpha on white, sixteen bits cut to eight.

    `info` is what `inspect` returned for the same bytes. A reduced JPEG has ceil(stored side / reduction) pixels a
    side. Raises PhotoError (image_corrupt, image_truncated).
    """
    photo = decode_own(data, info, reduction=reduction)
    color.to_srgb(photo.pixels, info.profile)
    return photo


def decode_own(data: bytes, info: PhotoInfo, *, reduction: Reduction = 1) -> Photo:
    """Decode as `decode` does, but in the colours of `info.profile`. Copies are made from this."""
    opened = open_photo(photo_file(data))
    width, height = (info.height, info.width) if info.transposed else info.size
    size = -(-width // reduction), -(-height // reduction)
    try:
        stored = _stored(opened, size)
    except DAMAGED as error:
        raise _error(opened.file, error) from error
    if stored.shape[1::-1] != size:
        raise PhotoError("image_corrupt", "the image's header and its pixels differ in size")
    pixels = _orient(stored, info.orientation)
    return Photo(pixels, _from_source(info, pixels, reduction))


def _check(size: Size, max_pixels: int | None) -> None:
    width, height = size
    stated = f"the image has {width}×{height} pixels"
    if max_pixels is not None and width * height > max_pixels:
        raise PhotoError("image_too_large", f"{stated}; at most {max_pixels} in all are accepted")
    if max(size) > MAX_SIDE:
        raise PhotoError("image_too_large", f"{stated}; at most {MAX_SIDE} a side are accepted")
    if min(size) < MIN_SIDE:
        raise PhotoError("image_too_small", f"{stated}; at least {MIN_SIDE}×{MIN_SIDE} are needed")


def _error(file: PhotoFile, error: Exception) -> PhotoError:
    """A JPEG without an end marker was cut off, whatever its decoder missed first."""
    if isinstance(error, PhotoError):
        return error if file.whole else PhotoError("image_truncated", "the jpeg ends early; send the whole file")
    return damaged(file, error)


def _stored(opened: Opened, size: Size) -> RGB:
    """Pixels before orientation. `size` is that of a reduced JPEG."""
    if opened.file.format == "jpeg" and opened.image.mode != "CMYK" and not opened.table:
        return decode_jpeg(opened.file.data, size)
    return _rgb(_image(opened, size), opened.table)


def _image(opened: Opened, size: Size) -> Image.Image:
    image = opened.image
    if opened.file.format == "jpeg":
        cmyk = image.mode == "CMYK"
        pixels = decode_jpeg(opened.file.data, size, cmyk=cmyk)
        return (
            Image.fromarray(255 - pixels if "adobe" in image.info else pixels, "CMYK")
            if cmyk
            else Image.fromarray(pixels)
        )
    if isinstance(image, Image.Image):
        image.load()
        return image
    return Image.frombytes(image.mode, image.size, image.data, "raw", image.mode, image.stride)


def _rgb(image: Image.Image, table: bytes) -> RGB:
    """H×W×3 on white, converted by a profile where one is needed."""
    if image.mode.startswith("I;16"):
        return _sixteen_bits(image)
    if image.mode == "RGBa" or image.has_transparency_data:
        image = _on_white(image if image.mode == "RGBa" else _transparent(image))
    if table:
        image = color.from_table(image, table)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _sixteen_bits(image: Image.Image) -> RGB:
    """Greys cut to eight bits. The transparent grey becomes white."""
    grey = np.asarray(image)
    pixels = (grey >> 8).astype(np.uint8)
    if "transparency" in image.info:
        pixels[grey == image.info["transparency"]] = 255
    return np.repeat(pixels[:, :, np.newaxis], 3, axis=2)


def _transparent(image: Image.Image) -> Image.Image:
    """Add the alpha channel. A BMP whose alpha is zero everywhere counts as opaque: programs leave it zero."""
    converted = image.convert("RGBA")
    if image.format == "BMP" and converted.getchannel("A").getextrema() == (0, 0):
        converted.putalpha(255)
    return converted


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _orient(stored: RGB, orientation: int) -> RGB:
    """Use one pass where OpenCV has one: transposing and flipping take three times as long as turning."""
    if orientation in _TURNS:
        return np.asarray(cv2.rotate(stored, _TURNS[orientation]), dtype=np.uint8)
    pixels = cv2.transpose(stored) if orientation in TRANSPOSED else stored
    if orientation in _FLIPS:
        pixels = cv2.flip(pixels, _FLIPS[orientation])
    return np.asarray(pixels, dtype=np.uint8)


def _from_source(info: PhotoInfo, pixels: RGB, reduction: Reduction) -> Affine:
    """Count from the stored origin. If an axis is flipped, the last, partly filled pixel comes first."""
    height, width = pixels.shape[:2]
    shift_x = width - info.width / reduction if info.orientation in _FLIPPED_X else 0.0
    shift_y = height - info.height / reduction if info.orientation in _FLIPPED_Y else 0.0
    return np.array([[1 / reduction, 0.0, shift_x], [0.0, 1 / reduction, shift_y]])


SIDE = 32
"""Side of the reduced photo in pixels."""
FREQUENCIES = 8
"""Number of lowest frequencies kept along each axis. Their signs relative to the median are the 64 bits."""


def perceptual_hash(pixels: RGB) -> int:
    """Hash H×W×3 to 64 bits, the zero frequency first and highest: pHash by DCT.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1. Unlike
    there, the photo is reduced by area instead of blurred, and the 8×8 lowest frequencies include the zero one.
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64)
    low = cv2.dct(grey)[:FREQUENCIES, :FREQUENCIES].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def differing_bits(first: int, second: int) -> int:
    """Count the bits in which two hashes differ: 0 to 64."""
    return (first ^ second).bit_count()
