"""JPEG files: cut down to what decides their pixels, and decoded so that damage is an error (ITU-T T.81)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vision.arrays import Size
from vision.photo_info import PhotoError, PhotoErrorCode
from vision.tiff import bounded

SIGNATURE = b"\xff\xd8"
END = b"\xff\xd9"

MAX_SEGMENTS = 10_000
"""More than any encoder writes. Limits the time that a hostile file costs."""
MAX_SCANS = 100
MAX_PASSES = 2_000_000_000
"""Pixels of all scans together. Every scan, even an empty one, is a pass over all pixels. Encoders write about ten."""
MAX_PADDING = 64
"""Equal bytes that some cameras write between the last pixel and the end marker."""

SOF0, SOF1, SOF2, SOF9, SOF10, DHT, DAC, SOS, DQT, DRI, EOI = (
    0xC0, 0xC1, 0xC2, 0xC9, 0xCA, 0xC4, 0xCC, 0xDA, 0xDB, 0xDD, 0xD9,
)  # fmt: skip
APP0, APP1, APP2, APP14 = 0xE0, 0xE1, 0xE2, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
DECODED_FRAMES = frozenset({SOF0, SOF1, SOF2, SOF9, SOF10})
PROGRESSIVE = frozenset({SOF2, SOF10})
TABLES = frozenset({DQT, DHT, DAC, DRI})
KEPT_STARTS = {APP0: b"JFIF\0\1", APP1: b"Exif\0\0", APP2: b"ICC_PROFILE\0", APP14: b"Adobe"}
"""Application segments that are kept: density, orientation, profile, and how CMYK is stored."""
PRECISION = 8
SEQUENTIAL = bytes((0, 63, 0))
"""The only valid last three bytes of a sequential scan header. Some phones write others there."""
COEFFICIENTS = 64
COMPONENTS = frozenset({1, 3, 4})

_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_EXTRA = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


@dataclass(slots=True)
class _Scans:
    """Which bit of every coefficient of each component was sent last, by component's name. 0 where all are there."""

    progressive: bool
    pixels: int
    lowest: dict[int, NDArray[np.int8]] = field(default_factory=dict)

    def add(self, scan: bytes) -> None:
        """Record a scan's header, from its count of components on."""
        names = scan[1 : 1 + 2 * scan[0] : 2]
        at = 1 + 2 * scan[0]
        first, last, bits = (scan[at], scan[at + 1], scan[at + 2]) if self.progressive else SEQUENTIAL
        for name in self.lowest.keys() & names:
            self.lowest[name][first : last + 1] = bits & 0xF

    @property
    def complete(self) -> bool:
        """Whether all bits of all components were sent."""
        return not any(lowest.any() for lowest in self.lowest.values())


def stripped_jpeg(data: bytes) -> tuple[bytes, bool]:
    """What a decoder needs of a JPEG, always with an end marker, and whether the file had one.

    Raises PhotoError: image_corrupt, image_unsupported, image_truncated; IndexError if a segment is cut off.
    """
    kept, scans, starts = [SIGNATURE], None, dict(KEPT_STARTS)
    for marker, start, end in segments(data):
        if marker in FRAMES and scans is None:
            scans = _frame(marker, data[start:end])
        if marker == SOS and scans is not None:
            _check_scans(data, start, scans)
            header = data[start - 4 : end]
            kept.append(header if scans.progressive else header[:-3] + SEQUENTIAL)
            return b"".join((*kept, data[end:], END)), data.rfind(END) >= end
        if marker in {SOS, EOI}:
            raise PhotoError("image_corrupt", "JPEG without a frame header before its pixels")
        if marker == APP1 and not bounded(data[start + len(KEPT_STARTS[APP1]) : end]):
            continue
        if marker in TABLES | FRAMES or (marker in starts and data.startswith(starts[marker], start)):
            kept.append(data[start - 4 : end])
            if marker in {APP0, APP1, APP14}:
                del starts[marker]  # only the first segment of a kind counts
    raise PhotoError("image_truncated", "the JPEG ends before its pixels; send the whole file")


def segments(data: bytes, position: int = len(SIGNATURE)) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of every segment from `position` on. Markers without a segment are left out."""
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        marker, start = found[1][0], found.end()
        length = 0 if marker == EOI else data[start] << 8 | data[start + 1]
        if marker != EOI and length < 2:  # noqa: PLR2004 - a length counts itself
            raise PhotoError("image_corrupt", f"JPEG segment at byte {start} has length {length}")
        position = start + length
        yield marker, start + 2, position
    raise PhotoError("image_corrupt", f"JPEG with over {MAX_SEGMENTS} segments")


def decode_jpeg(kept: bytes, size: Size, *, cmyk: bool = False) -> NDArray[np.uint8]:
    """Decode what `stripped_jpeg` kept to H×W×3 RGB, or H×W×4 as stored, at the least of libjpeg's scales ≥ `size`.

    Raises PhotoError (image_corrupt) if libjpeg had to invent pixels: it then only warns, and continues.
    """
    width, height = size
    space = "CMYK" if cmyk else "RGB"
    decode = partial(simplejpeg.decode_jpeg, kept, space, min_width=width, min_height=height)
    try:
        pixels = decode(strict=True)
    except ValueError as error:
        if not _is_padded(kept, str(error)):
            raise PhotoError("image_corrupt", f"the jpeg is damaged ({error}); send the file as it was made") from error
        pixels = decode(strict=False)
    return np.asarray(pixels, dtype=np.uint8)


def _frame(marker: int, body: bytes) -> _Scans:
    if marker not in DECODED_FRAMES:
        raise PhotoError("image_unsupported", "JPEG without loss or in layers; send a baseline or progressive one")
    if body[0] != PRECISION or body[5] not in COMPONENTS:
        detail = f"JPEG with {body[0]} bits a sample and {body[5]} components; 8 bits, and 1, 3 or 4 are accepted"
        raise PhotoError("image_unsupported", detail)
    names = body[6 : 6 + 3 * body[5] : 3]
    pixels = int.from_bytes(body[1:3], "big") * int.from_bytes(body[3:5], "big")
    return _Scans(marker in PROGRESSIVE, pixels, {name: np.full(COEFFICIENTS, -1, np.int8) for name in names})


def _check_scans(data: bytes, first: int, scans: _Scans) -> None:
    """Refuse more than MAX_SCANS scans, and scans that leave pixels out: libjpeg would show these grey or blurred."""
    scans.add(data[first:])
    if not scans.progressive and scans.complete:
        return  # libjpeg stops after this one
    count = 1
    for marker, start, end in segments(data, first):
        if marker == EOI:
            break
        if marker == SOS:
            count += 1
            scans.add(data[start:end])
        if count > MAX_SCANS or count * scans.pixels > MAX_PASSES:
            raise PhotoError("image_corrupt", f"JPEG with {count} scans or more; encoders write about ten")
    if not scans.complete:
        code: PhotoErrorCode = "image_corrupt" if data.rfind(END) >= first else "image_truncated"
        raise PhotoError(code, "the jpeg lacks some of its scans; send the whole file")


def _is_padded(kept: bytes, warning: str) -> bool:
    """Whether libjpeg only met a run of equal bytes after the last pixel. It reads some of them with the pixels."""
    found = _EXTRA.search(warning)
    end = kept.find(END, kept.find(b"\xff\xda"))
    return found is not None and int(found[1]) <= MAX_PADDING and len(set(kept[end - int(found[1]) : end])) == 1
