"""The orientation tag of an EXIF block."""

import struct

ORIENTATION_TAG = 0x0112
SHORT = 3
NORMAL = 1
ORIENTATIONS = range(1, 9)


def orientation(block: bytes) -> int:
    """Read the orientation, 1 to 8, of a TIFF-structured EXIF block; 1 where it says nothing valid.

    Layout: TIFF 6.0, section 2 (header and image file directory); the tag is that of EXIF 2.32.
    """
    tiff = block.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return NORMAL
    try:
        return _first_directory(tiff, order)
    except struct.error:
        return NORMAL


def _first_directory(tiff: bytes, order: str) -> int:
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if tag == ORIENTATION_TAG:
            return value if kind == SHORT and value in ORIENTATIONS else NORMAL
    return NORMAL
