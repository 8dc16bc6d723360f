"""JPEG headers (ITU-T T.81, annex B)."""

import re
import struct
from collections.abc import Iterator

from vision.headers import exif
from vision.photo_info import Header, PhotoError

SIGNATURE = b"\xff\xd8"

MAX_SEGMENTS = 10_000
"""More than any encoder writes; bounds the time that a hostile file costs."""
MAX_SCANS = 100
"""Every scan, even an empty one, is a pass over all pixels; encoders write about ten."""

LENGTH_BYTES = 2
"""A segment's length counts itself."""
PRECISION = 8

APP1, SOS, EOI = 0xE1, 0xDA, 0xD9
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
RESERVED = range(0x02, 0xC0)

_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")


def parse(data: bytes) -> Header:
    """Read the frame header, the orientation and whether the end of the image is there.

    Raises PhotoError (image_corrupt, image_unsupported, image_truncated), or struct.error where a segment is cut off.
    """
    frame: tuple[int, int] | None = None
    orientation: int | None = None
    for marker, start, end in segments(data):
        if marker == APP1 and orientation is None and data.startswith(b"Exif\0\0", start):
            orientation = exif.orientation(data[start:end])
        elif marker in FRAMES and frame is None:
            frame = _frame(data, start)
        elif marker == SOS and frame is not None:
            _check_scans(data, end)
            return Header("jpeg", *frame, orientation=orientation or exif.NORMAL, complete=_is_complete(data, end))
        elif marker in {SOS, EOI}:
            raise PhotoError("image_corrupt", "JPEG without a frame header before its pixels")
    raise PhotoError("image_truncated", "the JPEG ends before its pixels; send the whole file")


def segments(data: bytes, position: int = len(SIGNATURE)) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of every segment from `position` on."""
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            return
        marker, start = found[1][0], found.end()
        length = 0 if marker == EOI else _length(data, start)
        position = start + length
        yield marker, start + 2, position
    raise PhotoError("image_corrupt", f"JPEG with over {MAX_SEGMENTS} segments")


def _length(data: bytes, start: int) -> int:
    (length,) = struct.unpack_from(">H", data, start)
    if length < LENGTH_BYTES:
        detail = f"JPEG segment at byte {start} has length {length}; at least {LENGTH_BYTES} is needed"
        raise PhotoError("image_corrupt", detail)
    return int(length)


def _frame(data: bytes, start: int) -> tuple[int, int]:
    precision, height, width = struct.unpack_from(">BHH", data, start)
    if precision != PRECISION:
        detail = f"JPEG with {precision} bits a sample; {PRECISION} bits are accepted"
        raise PhotoError("image_unsupported", detail)
    return width, height


def _is_complete(data: bytes, scan: int) -> bool:
    """Look for EOI after the start of the first scan: coded pixels never hold 0xFF before a byte other than 0."""
    return data.find(b"\xff\xd9", scan) >= 0


def _check_scans(data: bytes, scan: int) -> None:
    """Refuse over MAX_SCANS scans, of which the first starts at `scan`.

    The bytes of SOS are counted first, quickly and never too low. Only where that finds too many are the segments
    walked: what follows EOI may hold those bytes by chance, and a comment may hold an EOI that is none.
    """
    if data.count(b"\xff\xda", scan) < MAX_SCANS:
        return
    scans = 1
    for marker, _, _ in segments(data, scan):
        if marker == EOI:
            return
        scans += marker == SOS
        if scans > MAX_SCANS or marker in RESERVED:
            raise PhotoError("image_corrupt", f"JPEG with over {MAX_SCANS} scans, or with a reserved marker in them")
