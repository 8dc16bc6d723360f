"""Write images: masks, overlays, and changed photos in the format of their source file."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vision.arrays import RGB
from vision.color import to_srgb
from vision.photo_header import Opened, open_photo
from vision.photo_info import PhotoError, PhotoFormat, PhotoInfo, WrittenFormat
from vision.photo_stripping import PNG_SIGNATURE, photo_file, png_chunk
from vision.tiff import cleaned_exif

DEFAULT_QUALITY = 90
GREYSCALE = 0
UP_FILTER = 2
"""Each row as its difference from the one above (PNG specification, section 9)."""
BLOCK_SIDE = 8
FULL, HALF_ACROSS, HALF_BOTH = 0, 1, 2
"""Pillow's numbers for 4:4:4, 4:2:2 and 4:2:0."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How finely a photo is coded. `tables` of a JPEG, luminance then chrominance, replace its `quality`, 1 to 100.

    `sampling` is FULL, HALF_ACROSS or HALF_BOTH. `lossless` is only for a WebP.
    """

    quality: int = DEFAULT_QUALITY
    sampling: int = HALF_BOTH
    tables: tuple[tuple[int, ...], ...] = ()
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class KeptMetadata:
    """What a copy contains besides its pixels: a profile, an EXIF block, dots per inch across and down."""

    profile: bytes = b""
    exif: bytes = b""
    dpi: tuple[int, int] | None = None


def coding_of(opened: Opened, info: PhotoInfo) -> Coding:
    """How a photo is coded, so that unchanged pixels are not coded more coarsely again.

    A JPEG gives its own quantisation tables, turned as its pixels are. Chrominance is never sampled more coarsely.
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
    """Luminance samples, across and down, for each chrominance sample. Grey is sampled as most JPEGs are."""
    across, down = (max(layer[axis] for layer in layers) // min(layer[axis] for layer in layers) for axis in (1, 2))
    if info.transposed:
        across, down = down, across
    if len(layers) == 1 or (across > 1 and down > 1):
        return HALF_BOTH
    return HALF_ACROSS if across > 1 else FULL


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode 8-bit H×W as a greyscale PNG, without loss.

    After the up filter, flat images are nearly all zeros. Run-length coding packs those best and fastest: a quarter of
    the time of OpenCV's encoder, at the same size.
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
    return encode_photo(pixels, "jpeg", Coding(), KeptMetadata())


def encode_photo(pixels: RGB, file_format: WrittenFormat, coding: Coding, kept: KeptMetadata) -> bytes:
    """Encode H×W×3 with only the metadata given. A PNG is lossless, whatever `coding` says."""
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


Kind: TypeAlias = Literal["exif", "icc"]

WRITTEN: Mapping[PhotoFormat, WrittenFormat] = {
    "jpeg": "jpeg",
    "heic": "jpeg",
    "avif": "jpeg",
    "png": "png",
    "tiff": "png",
    "gif": "png",
    "bmp": "png",
    "webp": "webp",
}
"""Output format by the photo's format: JPEG for lossy camera formats, PNG for lossless ones."""
MOST_WEBP_SIDE = 16_383
"""RFC 9649, section 2.5: fourteen bits."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the caller asks for. None means the source's own format (else WRITTEN) and quality.

    A JPEG is quantised as its source was, a lossless WebP stays lossless, and everything else gets 90.
    """

    file_format: WrittenFormat | None = None
    quality: int | None = None
    metadata: frozenset[Kind] = frozenset({"icc"})

    def format_for(self, info: PhotoInfo) -> WrittenFormat:
        """The format in which a photo is written."""
        return self.file_format or WRITTEN[info.format]


def rewrite(data: bytes, info: PhotoInfo, pixels: RGB, form: Form) -> bytes:
    """Encode pixels H×W×3 of the photo `data`, from `vision.photo.decode_own`. `info` is from `inspect`.

    In the result, the orientation is applied to the pixels. It is opaque and holds no metadata but what `form` keeps,
    and the dots per inch. Without its profile its pixels are converted to sRGB, in place. Raises PhotoError:
    image_corrupt if the file cannot be opened, image_too_large if no WebP can be that large.
    """
    file_format = form.format_for(info)
    if file_format == "webp" and max(info.size) > MOST_WEBP_SIDE:
        size = f"{info.width}×{info.height} pixels"
        detail = f"the image has {size}; a WebP has at most {MOST_WEBP_SIDE} a side: ask for jpeg or png"
        raise PhotoError("image_too_large", detail)
    opened = open_photo(photo_file(data))
    coding = coding_of(opened, info)
    if form.quality is not None:
        coding = replace(coding, quality=form.quality, tables=(), lossless=False)
    if "icc" not in form.metadata:
        to_srgb(pixels, info.profile)
    return encode_photo(pixels, file_format, coding, _kept(opened, info, form))


def _kept(opened: Opened, info: PhotoInfo, form: Form) -> KeptMetadata:
    dpi = opened.dpi
    return KeptMetadata(
        info.profile if "icc" in form.metadata else b"",
        cleaned_exif(opened.exif) if "exif" in form.metadata else b"",
        dpi[::-1] if dpi and info.transposed else dpi,
    )
