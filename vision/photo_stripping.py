"""Cut photo files down to the parts that decide their pixels, before any library reads them.

Comments, XMP, previews, further pictures and videos behind the first never reach a decoder, so none of them can cost
time or memory. This module reads only the structure of a file. Pillow reads the content of its parts.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from vision import jpeg
from vision.arrays import Size
from vision.heif import heif_format
from vision.photo_info import PhotoError, PhotoErrorCode, PhotoFormat
from vision.tiff import check_tiff

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ACCEPTED = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF and BMP are accepted"

MAX_PARTS = 65_536
"""Chunks in a file, more than any encoder writes. Limits the time that a hostile file costs."""
MAX_BLOCKS = 1_000_000
"""The same for data blocks in a GIF: 32 MiB hold 130,000 blocks of 255 bytes."""

PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
"""Chunks that decide pixels. A wrong checksum in one of them is damage."""
PNG_COLORS = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
PNG_OTHERS = frozenset({b"eXIf", b"pHYs"})
SPREAD = {2: 85, 4: 17}
"""Factor by which Pillow multiplies greys of so many bits."""
PNG_FRAME = 12
"""Bytes of a chunk besides its data: length, type and checksum."""

WEBP_PIXELS = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
WEBP_PARTS = WEBP_PIXELS | {b"VP8X", b"ALPH", b"ANIM", b"ICCP", b"EXIF"}

GIF_TRAILER, GIF_EXTENSION, GIF_IMAGE, GIF_GRAPHIC_CONTROL = 0x3B, 0x21, 0x2C, 0xF9
GIF_TABLE, GIF_TABLE_SIZE = 0x80, 0x07
"""Flag of a GIF or a frame: a colour table follows, with 2 to the power of (size + 1) entries."""

BMP_CORE_HEADER = 12
"""Bytes of the oldest header, whose side lengths have sixteen bits."""

FOREIGN = {
    b"%PDF": "PDF", b"8BPS": "Photoshop document", b"\0\0\1\0": "icon", b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000", b"PK\3\4": "ZIP archive", b"\x1f\x8b": "gzip archive",
    b"\x1aE\xdf\xa3": "Matroska video", b"RIFF": "RIFF file that is not WebP", b"II+\0": "BigTIFF", b"MM\0+": "BigTIFF",
    b"<svg": "SVG", b"<?xml": "XML", b"<!doctype html": "HTML page", b"<html": "HTML page",
}  # fmt: skip
"""First bytes of other file types, to say what was sent instead of a photo."""


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A file cut down to what a decoder needs.

    `size` is what the file's structure says, where that is known before a library opens it. `colors` are PNG chunks
    that describe its colours. `whole` is False for a PNG without pixels, and for a JPEG without an end marker, which
    may still hold all of its pixels. `lossless` is for a WebP.
    """

    format: PhotoFormat
    data: bytes
    size: Size | None = None
    colors: Mapping[bytes, bytes] = field(default_factory=dict)
    whole: bool = True
    lossless: bool = False


def photo_file(data: bytes) -> PhotoFile:
    """Tell a file's format and cut it down.

    Raises PhotoError: image_unsupported, image_animated, image_truncated, image_corrupt.
    """
    cut = _cutter(data)
    try:
        return cut(data)
    except (struct.error, IndexError):
        raise PhotoError("image_truncated", "the image ends within its header; send the whole file") from None


def truncated(name: str) -> PhotoError:
    """The error of a file that ends too early."""
    return PhotoError("image_truncated", f"the {name} ends before its last pixel; send the whole file")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A whole chunk: length, type, data and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _cutter(data: bytes) -> Callable[[bytes], PhotoFile]:
    if data[:4] == b"RIFF" and b"WEBP".startswith(data[8:12]):
        return _webp
    if data[4:8] == b"ftyp":
        return lambda data: PhotoFile(heif_format(data, ACCEPTED), data)
    for start, cut in _CUTTERS.items():
        if start.startswith(data[: len(start)]) and len(data) >= min(len(start), 4):
            return cut
    raise PhotoError("image_unsupported", f"the image is of type: {_name_of(data)}; {ACCEPTED}")


def _name_of(data: bytes) -> str:
    sample = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    for start, name in FOREIGN.items():
        if data.startswith(start) or sample.lower().startswith(start):
            return name
    printable = not any(byte < ord(" ") and byte not in b"\t\n\r\f" for byte in sample)
    return "text" if printable and "\ufffd" not in sample.decode("utf-8", "replace")[:-1] else "unknown file type"


def _jpeg(data: bytes) -> PhotoFile:
    kept, whole = jpeg.stripped_jpeg(data)
    return PhotoFile("jpeg", kept, whole=whole)


def _png(data: bytes) -> PhotoFile:
    """Chunks with correct checksums, and an end chunk if missing (PNG specification, third edition, section 5)."""
    parts, colors, pictures = list[memoryview](), dict[bytes, bytes](), 0
    for kind, whole, sound in _png_chunks(data):
        pictures += kind == b"fcTL"
        if pictures > 1 or kind == b"fdAT" or (kind == b"acTL" and bytes(whole[8:12]) != b"\0\0\0\1"):
            raise PhotoError("image_animated", "the png is animated; send one still image")
        if kind in PNG_PIXELS and (not sound or (kind == b"IHDR") != (not parts)):
            raise PhotoError("image_corrupt", f"PNG whose {kind.decode()} is out of place or fails its checksum")
        if kind in PNG_PIXELS or (kind in PNG_OTHERS and sound):
            parts.append(whole)
        elif kind in PNG_COLORS and sound:
            colors.setdefault(kind, bytes(whole[8:-4]))
    width, height = struct.unpack_from(">II", parts[0], 8)
    kept = b"".join((PNG_SIGNATURE, *(_scaled(part, parts[0]) for part in parts), png_chunk(b"IEND", b"")))
    return PhotoFile("png", kept, (width, height), colors, whole=any(bytes(part[4:8]) == b"IDAT" for part in parts))


def _scaled(part: memoryview, header: memoryview) -> memoryview | bytes:
    """A transparent grey as Pillow decodes it: Pillow scales two and four bits to eight in pixels, not here."""
    depth, color_type = header[16], header[17]
    if bytes(part[4:8]) != b"tRNS" or color_type or depth not in SPREAD:
        return part
    return png_chunk(b"tRNS", struct.pack(">H", int.from_bytes(part[8:-4], "big") * SPREAD[depth] % 2**16))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Type of each chunk before IEND, the chunk, and whether its checksum is correct."""
    at, view = len(PNG_SIGNATURE), memoryview(data)
    for _ in range(MAX_PARTS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        whole = view[at : at + PNG_FRAME + length]
        at += PNG_FRAME + length
        if at > len(data) or kind == b"IEND":
            if kind in PNG_PIXELS:
                raise truncated("png")
            return
        yield kind, whole, zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:], "big")
    raise PhotoError("image_corrupt", f"PNG with over {MAX_PARTS} chunks")


def _webp(data: bytes) -> PhotoFile:
    """The chunks of one picture. RIFF's file size is not needed (RFC 9649, section 2)."""
    parts = dict[bytes, bytes]()
    for kind, body, whole in _webp_chunks(data):
        if kind == b"ANMF" and kind in parts:
            raise PhotoError("image_animated", "the webp is animated; send one still image")
        if kind in WEBP_PIXELS and not whole:
            raise truncated("webp")
        if kind in WEBP_PARTS and whole and not (kind in WEBP_PIXELS and WEBP_PIXELS & parts.keys()):
            parts.setdefault(kind, kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2))
    if not WEBP_PIXELS & parts.keys():
        code: PhotoErrorCode = "image_truncated" if parts else "image_corrupt"
        raise PhotoError(code, "the webp holds no whole picture; send the whole file")
    body = b"WEBP" + b"".join(parts.values())
    cut = b"RIFF" + struct.pack("<I", len(body)) + body
    lossless = b"VP8L" in parts or parts.get(b"ANMF", b"")[24:28] == b"VP8L"
    return PhotoFile("webp", cut, _webp_canvas(parts.get(b"VP8X")), lossless=lossless)


def _webp_canvas(extended: bytes | None) -> Size | None:
    """The canvas size. libwebp allocates memory for it before it decodes anything."""
    if extended is None:
        return None
    return int.from_bytes(extended[12:15], "little") + 1, int.from_bytes(extended[15:18], "little") + 1


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type and data of each chunk, and whether it is complete."""
    at = 12
    if len(data) < at + 8:
        raise truncated("webp")
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length] if kind in WEBP_PARTS else b""
        yield kind, body, at + 8 + length <= len(data)
        at += 8 + length + length % 2
    raise PhotoError("image_corrupt", f"WebP with over {MAX_PARTS} chunks")


def _gif(data: bytes) -> PhotoFile:
    """The one frame of a GIF, with the block that says what is transparent (GIF89a, sections 18 to 23)."""
    parts, frames, extensions, blocks = [data[: (at := 13 + _gif_table(data[10]))]], 0, 0, 0
    while at < len(data) and data[at] != GIF_TRAILER:
        start, kind = at, data[at]
        if kind == GIF_IMAGE:
            at += 11 + _gif_table(data[at + 9])
            frames += 1
        elif kind == GIF_EXTENSION:
            at += 2
            extensions += 1
        else:
            break  # the blocks after the frames
        at, count = _gif_blocks_end(data, at, MAX_BLOCKS - blocks)
        blocks += count
        if extensions > MAX_PARTS:
            raise PhotoError("image_corrupt", f"GIF with over {MAX_PARTS} extensions")
        if frames > 1:
            raise PhotoError("image_animated", "the gif is animated; send one still image")
        if kind == GIF_IMAGE or (data[start + 1] == GIF_GRAPHIC_CONTROL and not frames):
            parts.append(data[start:at])
    if not frames:
        raise PhotoError("image_truncated", "the gif ends before its pixels; send the whole file")
    width, height = struct.unpack_from("<HH", data, 6)
    return PhotoFile("gif", b"".join((*parts, bytes([GIF_TRAILER]))), (width, height))


def _gif_table(flags: int) -> int:
    return 3 << (flags & GIF_TABLE_SIZE) + 1 if flags & GIF_TABLE else 0


def _gif_blocks_end(data: bytes, at: int, most: int) -> tuple[int, int]:
    """End and number of a chain of blocks. Each block starts with its length, and the last has length 0."""
    count = 0
    while at < len(data) and data[at] and count <= most:
        at, count = at + data[at] + 1, count + 1
    if count > most:
        raise PhotoError("image_corrupt", f"GIF with over {MAX_BLOCKS} blocks")
    if at > len(data):
        raise truncated("gif")
    return at + 1, count


def _tiff(data: bytes) -> PhotoFile:
    check_tiff(data)
    return PhotoFile("tiff", data)


def _bmp(data: bytes) -> PhotoFile:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if len(data) < 14 + header_size:
        raise truncated("bmp")
    width, height = struct.unpack_from("<HH" if header_size == BMP_CORE_HEADER else "<ii", data, 18)
    return PhotoFile("bmp", data, (width, abs(height)))


_CUTTERS: Mapping[bytes, Callable[[bytes], PhotoFile]] = {
    jpeg.SIGNATURE: _jpeg,
    PNG_SIGNATURE: _png,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"BM": _bmp,
}
