"""Encoding of masks, label maps, overlays and photos."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vision.arrays import RGB
from vision.container import PNG_SIGNATURE, png_chunk
from vision.opening import Opened
from vision.photo_info import PhotoInfo, WrittenFormat

DEFAULT_QUALITY = 90
GREYSCALE = 0
UP_FILTER = 2
"""Each row as its difference from the one above (PNG specification, section 9)."""
BLOCK_SIDE = 8
FULL, HALF_ACROSS, HALF_BOTH = 0, 1, 2
"""Pillow's numbers for 4:4:4, 4:2:2 and 4:2:0."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How finely a photo is coded: `tables` of a JPEG, luminance then chrominance, stand for its `quality`, 1 to 100.

    `sampling` is FULL, HALF_ACROSS or HALF_BOTH. `lossless` is of a WebP alone.
    """

    quality: int = DEFAULT_QUALITY
    sampling: int = HALF_BOTH
    tables: tuple[tuple[int, ...], ...] = ()
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a copy says beside its pixels: a profile, an EXIF block, dots an inch across and down."""

    profile: bytes = b""
    exif: bytes = b""
    dpi: tuple[int, int] | None = None


def coding_of(opened: Opened, info: PhotoInfo) -> Coding:
    """How a photo is coded, so that what was not changed is not coded more coarsely again.

    A JPEG gives its own quantisation tables, turned as its pixels are; chrominance is never sampled more coarsely.
    """
    if info.format == "webp":
        return Coding(lossless=opened.file.lossless)
    if not isinstance(opened.image, JpegImageFile):
        return Coding()
    layers, found = opened.image.layer, opened.image.quantization
    tables = [np.reshape(found[table], (BLOCK_SIDE, BLOCK_SIDE)) for _, _, _, table in layers[:2] if table in found]
    turned = [(table.T if info.transposed else table).ravel().tolist() for table in tables]
    return Coding(sampling=_sampling(layers, info), tables=tuple(map(tuple, turned)))


def _sampling(layers: Sequence[tuple[int, int, int, int]], info: PhotoInfo) -> int:
    """Of the luminance's samples across and down for one of the others'; grey is sampled as most JPEGs are."""
    across, down = (max(layer[axis] for layer in layers) // min(layer[axis] for layer in layers) for axis in (1, 2))
    if info.transposed:
        across, down = down, across
    if len(layers) == 1 or (across > 1 and down > 1):
        return HALF_BOTH
    return HALF_ACROSS if across > 1 else FULL


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode 8-bit H×W as a greyscale PNG, without loss.

    Flat images are nearly all zeros after the up filter, and run-length coding packs those best and fastest: a
    quarter of the time that OpenCV's encoder takes, at the same size.
    """
    height, width = image.shape
    rows = np.empty((height, width + 1), dtype=np.uint8)
    rows[:, 0] = UP_FILTER
    rows[0, 1:] = image[0]
    np.subtract(image[1:], image[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    pixels = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, GREYSCALE, 0, 0, 0)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def encode_jpeg(pixels: RGB) -> bytes:
    """Encode H×W×3 as a JPEG of the default quality."""
    return encode_photo(pixels, "jpeg", Coding(), Kept())


def encode_photo(pixels: RGB, file_format: WrittenFormat, coding: Coding, kept: Kept) -> bytes:
    """Encode H×W×3 with nothing beside it but what is kept; a PNG is without loss, whatever `coding` says."""
    options: dict[str, object] = {"icc_profile": kept.profile or None, "exif": kept.exif}
    if kept.dpi is not None and file_format != "webp":
        options["dpi"] = kept.dpi
    if file_format == "jpeg":
        exact = {"qtables": coding.tables} if coding.tables else {"quality": coding.quality}
        options |= {"subsampling": coding.sampling, **exact}
    elif file_format == "webp":
        options |= {"quality": coding.quality, "lossless": coding.lossless}
    else:
        options |= {"compress_level": 1}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format, **options)
    return file.getvalue()
