"""TIFF directories, which also hold EXIF: checked before Pillow reads them, and cut down to what may be kept."""

import struct
from collections.abc import Mapping

from PIL import Image

from vision.photo_info import PhotoError

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes by type, from TIFF 6.0, section 2, and the later types that Pillow knows."""
MOST_ENTRIES = 4096

ENTRY_BYTES = 12
LONG, DIRECTORY = 4, 13
"""Types of a pointer to another directory."""
MOST_POINTERS = 4

ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY = 0x0112, 0x8769, 0x8825, 0xA005
INNER_POINTERS = frozenset({INTEROPERABILITY})
POINTERS = INNER_POINTERS | {EXIF_DIRECTORY, GPS_DIRECTORY}
SUBFILE, DNG_VERSION = 0x00FE, 0xC612
REDUCED = 1
"""Bit of SUBFILE: the picture is a smaller copy of another one in the file."""

IMAGE_TAGS = frozenset({
    0x010F, 0x0110,  # Make, Model
    0x011A, 0x011B, 0x0128,  # XResolution, YResolution, ResolutionUnit
    0x0131, 0x0132,  # Software, DateTime
})  # fmt: skip
EXIF_TAGS = frozenset({
    0x829A, 0x829D, 0x8822, 0x8827, 0x8830, 0x8831, 0x8832,  # exposure time, F number, program, sensitivities
    0x9000, 0x9101, 0xA000,  # version, and what a valid block must have
    0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292,  # times, their zones, subseconds
    *range(0x9201, 0x920B),  # ShutterSpeedValue to FocalLength
    0xA001, 0xA20E, 0xA20F, 0xA210, 0xA215, 0xA217, 0xA300, 0xA301,  # colour space, focal plane, sensor, source
    *range(0xA401, 0xA40B), 0xA40C,  # CustomRendered to Sharpness, SubjectDistanceRange
    0xA432, 0xA433, 0xA434,  # lens
})  # fmt: skip
MOST_BYTES = 200
"""Largest kept tag. None of them can then hold a picture."""


def check_tiff(data: bytes) -> None:
    """Refuse a TIFF whose first picture is a preview, or whose directory would take more memory than the file.

    Raises PhotoError (image_corrupt, image_unsupported, image_truncated), struct.error if the header is cut off.
    """
    order = ORDERS[data[:4]]
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start + 2 > len(data):
        raise PhotoError("image_truncated", "the tiff ends before its directory; send the whole file")
    entries = _entries(data, start)
    if entries is None or not bounded(data):
        raise PhotoError("image_corrupt", "the directory of the tiff is damaged")
    previews = [tag for tag, _, _, value in entries if tag == DNG_VERSION or (tag == SUBFILE and value & REDUCED)]
    if previews:
        raise PhotoError("image_unsupported", "a camera's raw file, whose first picture is a preview; send a JPEG")


def read_exif(block: bytes) -> Image.Exif:
    """The tags of an EXIF block, from its TIFF header on. Empty if it is damaged or would take much memory."""
    tiff = block.removeprefix(b"Exif\0\0")
    exif = Image.Exif()
    if not bounded(tiff):
        return exif
    try:
        exif.load(tiff)
        exif.get_ifd(EXIF_DIRECTORY)
    except DAMAGED:
        return Image.Exif()
    return exif


DAMAGED = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, struct.error)
"""What Pillow raises for a damaged directory."""


def orientation_of(exif: Image.Exif) -> int:
    """EXIF orientation, 1 to 8, of any integer type. 1 if none is given."""
    value = exif.get(ORIENTATION, 1)
    value = value[0] if isinstance(value, bytes | tuple) and value else value
    return value if isinstance(value, int) and value in range(1, 9) else 1


def cleaned_exif(exif: Image.Exif) -> bytes:
    """A block of only IMAGE_TAGS and EXIF_TAGS, for Pillow to write. Empty if there are none of them.

    Every kept tag is listed. Everything else is left out, known or not: positions, thumbnails, maker notes (which hold
    thumbnails and places of faces), serial numbers, owners, artists, free text, and the orientation, which is already
    applied to the decoded pixels.
    """
    kept = Image.Exif()
    kept.update(_short(exif, IMAGE_TAGS))
    inner = _short(exif.get_ifd(EXIF_DIRECTORY), EXIF_TAGS)
    if inner:
        kept[EXIF_DIRECTORY] = inner
    try:
        return kept.tobytes() if kept else b""
    except DAMAGED:
        return b""


def _short(tags: Mapping[int, object], names: frozenset[int]) -> dict[int, object]:
    return {tag: value for tag, value in tags.items() if tag in names and len(str(value)) <= MOST_BYTES}


def bounded(tiff: bytes) -> bool:
    """Whether every directory that Pillow may read is complete, and no values are longer than the block."""
    order = ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 8:  # noqa: PLR2004 - signature and offset
        return False
    return _is_bounded(tiff, struct.unpack_from(f"{order}I", tiff, 4)[0], POINTERS)


def _is_bounded(tiff: bytes, start: int, pointers: frozenset[int]) -> bool:
    entries = _entries(tiff, start)
    if entries is None:
        return False
    found = [entry for entry in entries if entry[0] in pointers]
    plain = all(kind in {LONG, DIRECTORY} and count == 1 for _, kind, count, _ in found)
    return plain and all(_is_bounded(tiff, inner, INNER_POINTERS) for *_, inner in found[:MOST_POINTERS])


def _entries(tiff: bytes, start: int) -> list[tuple[int, int, int, int]] | None:
    """The directory at `start`: tag, type, count, value. None if it is incomplete, or larger than the file."""
    order = ORDERS[tiff[:4]]
    count = int.from_bytes(tiff[start : start + 2], "little" if order == "<" else "big")
    rows = tiff[start + 2 : start + 2 + ENTRY_BYTES * count]
    if count > MOST_ENTRIES or len(rows) < ENTRY_BYTES * count:
        return None
    entries = list(struct.iter_unpack(f"{order}HHII", rows))
    taken = sum(VALUE_BYTES.get(kind, 0) * values for _, kind, values, _ in entries)
    return entries if taken <= len(tiff) + MOST_BYTES else None
