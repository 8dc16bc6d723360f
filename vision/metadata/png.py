"""Metadata blocks of PNG files (W3C PNG specification, third edition, sections 11.3.2.3 and 11.3.4.4)."""

import zlib

from vision.headers.png import SIGNATURE, chunk, chunks
from vision.metadata.blocks import Blocks
from vision.metadata.icc import MOST_BYTES

PROFILE_NAME = b"icc\0\0"
"""A name, its end, and the one compression method."""
IHDR_END = len(SIGNATURE) + 12 + 13


def read(data: bytes) -> Blocks:
    """The EXIF block and the colour profile."""
    exif, icc = b"", b""
    for kind, start, end in chunks(data):
        if kind == b"eXIf":
            exif = data[start:end]
        if kind == b"iCCP":
            icc = _unpacked(data[start:end])
    return Blocks(exif, icc)


def insert(encoded: bytes, blocks: Blocks) -> bytes:
    """Write the blocks behind IHDR: a profile must come before the pixels."""
    icc = chunk(b"iCCP", PROFILE_NAME + zlib.compress(blocks.icc)) if blocks.icc else b""
    exif = chunk(b"eXIf", blocks.exif) if blocks.exif else b""
    return encoded[:IHDR_END] + icc + exif + encoded[IHDR_END:]


def _unpacked(body: bytes) -> bytes:
    """The profile; empty where it cannot be unpacked."""
    _, _, packed = body.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], MOST_BYTES)
    except zlib.error:
        return b""
