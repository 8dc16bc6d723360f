"""How finely a photo is coded: that of its source, so that what was not changed is not coded more coarsely again."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import cv2

from vision.headers import webp
from vision.headers.jpeg import FRAMES, SOS, segments
from vision.photo_info import PhotoInfo

DEFAULT_QUALITY = 90

DQT = 0xDB
LUMINANCE = 0
BLOCK = 64
HALF = 50

LUMINANCE_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""ITU-T T.81, table K.1."""


def _sum(quality: int) -> int:
    """Of the steps as libjpeg scales them (jpeg_quality_scaling, jpeg_add_quant_table with force_baseline)."""
    scale = 5000 // quality if quality < HALF else 200 - 2 * quality
    return sum(min(max((step * scale + HALF) // 100, 1), 255) for step in LUMINANCE_STEPS)


SUMS = {quality: _sum(quality) for quality in range(100, 0, -1)}
"""By quality, the best first."""

SAMPLINGS = {
    0x11: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    0x12: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    0x21: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    0x22: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
"""By the luminance's samples for each of the chrominance's, across and down."""


@dataclass(frozen=True, slots=True)
class Coding:
    """`quality` 1 to 100 as libjpeg and libwebp count it; `sampling` one of cv2.IMWRITE_JPEG_SAMPLING_FACTOR_*.

    `lossless` is of a WebP alone: it then has no quality.
    """

    quality: int = DEFAULT_QUALITY
    sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    lossless: bool = False


def coding_of(data: bytes, info: PhotoInfo) -> Coding:
    """How a photo is coded; `info` is what `vision.photo.inspect` said of it. Raises PhotoError (image_corrupt).

    The quality of a JPEG is the one whose luminance steps, as libjpeg scales them, have the nearest sum; that of
    others is the default.
    """
    if info.format == "webp":
        return Coding(lossless=any(kind == webp.LOSSLESS for kind, _ in webp.chunks(data)))
    return _jpeg(data, info) if info.format == "jpeg" else Coding()


def _jpeg(data: bytes, info: PhotoInfo) -> Coding:
    quality, sampling = DEFAULT_QUALITY, 0x22
    for marker, start, end in segments(data):
        if marker == DQT:
            quality = next((_quality(steps) for steps in _luminance(data[start:end])), quality)
        if marker in FRAMES:
            sampling = _sampling(data[start:end])
        if marker == SOS:
            break
    if info.transposed:
        sampling = sampling >> 4 | (sampling & 0xF) << 4
    return Coding(quality, SAMPLINGS.get(sampling, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420))


def _luminance(body: bytes) -> Iterator[int]:
    """The sums of the tables for luminance."""
    at = 0
    while at < len(body):
        wide, target = body[at] >> 4, body[at] & 0xF
        steps = body[at + 1 : at + 1 + BLOCK * (1 + bool(wide))]
        at += 1 + BLOCK * (1 + bool(wide))
        if target == LUMINANCE and at <= len(body):
            yield sum(struct.unpack(f">{BLOCK}{'H' if wide else 'B'}", steps))


def _quality(total: int) -> int:
    return min(SUMS, key=lambda quality: abs(SUMS[quality] - total))


def _sampling(frame: bytes) -> int:
    """Of the luminance, where two more components have one sample each; 0 otherwise."""
    factors = frame[7::3]
    return factors[0] if len(factors) == 3 and factors[1:] == b"\x11\x11" else 0  # noqa: PLR2004 - Y, Cb, Cr
