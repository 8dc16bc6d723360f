"""WebP headers (RFC 9649)."""

import struct
from collections.abc import Iterator

from vision.headers import exif
from vision.photo_info import Header, PhotoError

SIGNATURE = b"RIFF"
FORM = b"WEBP"

MAX_CHUNKS = 65_536
LOSSY, LOSSLESS = b"VP8 ", b"VP8L"
ANIMATION_FLAG, ALPHA_FLAG = 0x02, 0x10
VP8_START_CODE = b"\x9d\x01\x2a"
VP8L_SIGNATURE = 0x2F
METADATA = frozenset({b"EXIF", b"ICCP"})


def parse(data: bytes) -> Header:
    """Read the canvas size, alpha, animation and orientation, and whether the RIFF container is whole.

    Raises PhotoError (image_corrupt, image_truncated), or struct.error where the first chunk's header is cut off.
    """
    riff_size, kind = struct.unpack_from("<I4x4s", data, 4)
    complete = len(data) >= riff_size + 8
    if kind == LOSSY:
        return _lossy(data, complete=complete)
    if kind == LOSSLESS:
        return _lossless(data, complete=complete)
    if kind == b"VP8X":
        return _extended(data, complete=complete)
    raise PhotoError("image_corrupt", "WebP whose first chunk is none of VP8, VP8L, VP8X")


def _lossy(data: bytes, *, complete: bool) -> Header:
    _, start_code, width, height = struct.unpack_from("<3s3sHH", data, 20)
    if start_code != VP8_START_CODE:
        raise PhotoError("image_corrupt", "WebP whose VP8 frame has no start code")
    return Header("webp", width & 0x3FFF, height & 0x3FFF, complete=complete)


def _lossless(data: bytes, *, complete: bool) -> Header:
    signature, bits = struct.unpack_from("<BI", data, 20)
    if signature != VP8L_SIGNATURE:
        raise PhotoError("image_corrupt", "WebP whose VP8L frame has no signature")
    width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    return Header("webp", width, height, alpha=alpha, complete=complete)


def _extended(data: bytes, *, complete: bool) -> Header:
    flags, width, height = struct.unpack_from("<B3x3s3s", data, 20)
    found = list(chunks(data))
    animated = bool(flags & ANIMATION_FLAG) or any(kind in {b"ANIM", b"ANMF"} for kind, _ in found)
    if complete and not animated and not any(kind in {LOSSY, LOSSLESS} for kind, _ in found):
        raise PhotoError("image_corrupt", "WebP without an image chunk")
    return Header(
        "webp",
        int.from_bytes(width, "little") + 1,
        int.from_bytes(height, "little") + 1,
        orientation=next((exif.orientation(body) for kind, body in found if kind == b"EXIF"), exif.NORMAL),
        alpha=bool(flags & ALPHA_FLAG),
        animated=animated,
        complete=complete,
    )


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type of every whole chunk, with its body where that is metadata."""
    (riff_size,) = struct.unpack_from("<I", data, 4)
    position, end = 12, min(riff_size + 8, len(data))
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        start = position + 8
        yield kind, data[start : min(start + length, end)] if kind in METADATA else b""
        position = start + length + (length & 1)
    raise PhotoError("image_corrupt", f"WebP with over {MAX_CHUNKS} chunks")
