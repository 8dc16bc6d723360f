"""Metadata blocks of WebP files (RFC 9649, section 2.7)."""

import struct

from vision.headers.webp import ALPHA_FLAG, FORM, SIGNATURE, chunks, parse
from vision.metadata.blocks import Blocks

EXIF_FLAG, ICC_FLAG = 0x08, 0x20
HEADER_BYTES = 12


def read(data: bytes) -> Blocks:
    """The EXIF block and the colour profile."""
    found = {kind: body for kind, body in chunks(data) if kind in {b"EXIF", b"ICCP"}}
    return Blocks(found.get(b"EXIF", b"").removeprefix(b"Exif\0\0"), found.get(b"ICCP", b""))


def insert(encoded: bytes, blocks: Blocks) -> bytes:
    """Rewrite a simple file, which has one chunk, as an extended one: profile, pixels, EXIF."""
    header = parse(encoded)
    flags = (ICC_FLAG if blocks.icc else 0) | (EXIF_FLAG if blocks.exif else 0) | (ALPHA_FLAG if header.alpha else 0)
    frame = [side.to_bytes(3, "little") for side in (header.width - 1, header.height - 1)]
    extended = _chunk(b"VP8X", struct.pack("<I", flags) + b"".join(frame))
    body = extended + _chunk(b"ICCP", blocks.icc) + encoded[HEADER_BYTES:] + _chunk(b"EXIF", blocks.exif)
    return SIGNATURE + struct.pack("<I", len(FORM) + len(body)) + FORM + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk, padded to an even length; nothing where it would be empty."""
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) if body else b""
