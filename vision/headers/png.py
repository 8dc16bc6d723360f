"""PNG headers (W3C PNG specification, third edition, sections 5 and 11)."""

import struct
import zlib
from collections.abc import Iterator

from vision.headers import exif
from vision.photo_info import Header, PhotoError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 65_536
"""More than any encoder writes; bounds the time that a hostile file costs."""

BIT_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Allowed bit depths by colour type."""
ALPHA_COLOR_TYPES = {4, 6}
GREYSCALE = 0
SIXTEEN_BITS = 16


def parse(data: bytes) -> Header:
    """Read IHDR, the orientation (eXIf), transparency, animation (acTL) and whether IEND is there.

    Raises PhotoError (image_corrupt), or struct.error where IHDR is cut off.
    """
    width, height, color_type = _ihdr(data)
    alpha, animated, orientation = color_type in ALPHA_COLOR_TYPES, False, exif.NORMAL
    complete = False
    for kind, start, end in chunks(data):
        alpha = alpha or kind == b"tRNS"
        animated = animated or kind == b"acTL"
        complete = kind == b"IEND"
        if kind == b"eXIf":
            orientation = exif.orientation(data[start:end])
    return Header("png", width, height, orientation, alpha, animated, complete)


def transparent_grey(data: bytes) -> int | None:
    """Read which grey of a greyscale PNG is transparent (tRNS), as decoded: of 255, or of 65,535 at sixteen bits."""
    depth, color_type = data[24], data[25]
    for kind, start, end in chunks(data):
        if kind == b"tRNS" and color_type == GREYSCALE:
            grey = int.from_bytes(data[start:end], "big")
            return grey if depth == SIXTEEN_BITS else grey * 255 // (2**depth - 1)
    return None


def _ihdr(data: bytes) -> tuple[int, int, int]:
    length, kind, width, height, depth, color_type, *methods, crc = struct.unpack_from(">I4sIIBBBBBI", data, 8)
    if (length, kind) != (13, b"IHDR"):
        raise PhotoError("image_corrupt", "PNG whose first chunk is not IHDR")
    if crc != zlib.crc32(data[12:29]):
        raise PhotoError("image_corrupt", "PNG whose IHDR does not match its checksum")
    if depth not in BIT_DEPTHS.get(color_type, set()) or any(methods[:2]) or methods[2] > 1:
        raise PhotoError("image_corrupt", f"PNG with colour type {color_type} and bit depth {depth}")
    return width, height, color_type


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of the data of every whole chunk, up to IEND."""
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        start, end = position + 8, position + 8 + length
        position = end + 4
        if position > len(data):
            return
        yield kind, start, end
        if kind == b"IEND":
            return
    raise PhotoError("image_corrupt", f"PNG with over {MAX_CHUNKS} chunks")


def chunk(kind: bytes, body: bytes) -> bytes:
    """A whole chunk: length, type, data and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
