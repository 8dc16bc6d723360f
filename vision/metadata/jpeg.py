"""Metadata blocks of JPEG files (EXIF 2.32, section 4.5; ICC.1:2022, annex B.4)."""

import struct
from collections.abc import Iterator

from vision.headers.jpeg import APP1, SIGNATURE, SOS, segments
from vision.metadata.blocks import Blocks

APP0, APP2 = 0xE0, 0xE2
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
MOST_BYTES = 65_533
"""In a segment, beside its length."""
PIECE_BYTES = MOST_BYTES - len(ICC) - 2
"""Of a profile, in a segment, after its number and how many there are."""


def read(data: bytes) -> Blocks:
    """The first EXIF block, and the profile where all of its pieces are there."""
    exif, pieces = b"", dict[int, bytes]()
    for marker, start, end in segments(data):
        if marker == SOS:
            break
        if marker == APP1 and not exif and data.startswith(EXIF, start):
            exif = data[start + len(EXIF) : end]
        if marker == APP2 and data.startswith(ICC, start) and end - start > len(ICC) + 2:
            number, total = data[start + len(ICC) : start + len(ICC) + 2]
            pieces[number] = data[start + len(ICC) + 2 : end]
            complete = sorted(pieces) == list(range(1, total + 1))
    icc = b"".join(pieces[number] for number in sorted(pieces)) if pieces and complete else b""
    return Blocks(exif, icc)


def insert(encoded: bytes, blocks: Blocks) -> bytes:
    """Write the blocks behind the JFIF segment, or first where there is none."""
    marker, _, end = next(segments(encoded))
    at = end if marker == APP0 else len(SIGNATURE)
    return encoded[:at] + b"".join(_segments(blocks)) + encoded[at:]


def _segments(blocks: Blocks) -> Iterator[bytes]:
    if blocks.exif:
        yield _segment(APP1, EXIF + blocks.exif)
    pieces = [blocks.icc[at : at + PIECE_BYTES] for at in range(0, len(blocks.icc), PIECE_BYTES)]
    for number, piece in enumerate(pieces, start=1):
        yield _segment(APP2, ICC + bytes((number, len(pieces))) + piece)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
