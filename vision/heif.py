"""HEIC and AVIF files: the boxes that limit what a decoder may do (ISO/IEC 14496-12, 23008-12)."""

import struct
from collections.abc import Iterator
from typing import TypeAlias

from vision.photo_info import PhotoError, PhotoFormat

AVIF_BRANDS, HEIC_BRANDS = frozenset({b"avif", b"avis"}), frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc"})
MAX_BOXES = 10_000
MAX_HEADER = 4_000_000
"""Bytes that describe the pictures. The largest phone photos have under 100,000."""
MAX_COPIED = 2**28
"""Bytes of metadata that libheif may copy. Each picture of a file gets its own copy."""
TYPELESS, WIDE_ITEM = 1, 3
"""Versions of an item's entry: up to the first it has no type, from the second on its number has four bytes."""
MOST_WORK, SPARE_WORK = 4, 16_000_000
"""Limit for the pixels of a grid's tiles: a multiple of its own, plus a constant. A hostile grid shows only a corner of
many large tiles."""

ITEMS = frozenset({b"hvc1", b"grid", b"av01", b"Exif", b"mime", b"uri ", b"tmap", b"jpeg"})
"""What cameras and phones write: pictures, tiles, metadata, gain maps, thumbnails. Nobody needs libheif's readers of
other kinds (copies, overlays, masks, uncompressed pixels), which had most of its faults."""
ALPHA = (b"auxid:1", b"auxiliary:alpha")
"""Found in the names of transparency layers (23008-12, sections 6.5.8 and B.2.5; 23091-2)."""
ONCE = frozenset({b"meta", b"iinf", b"iref", b"iprp", b"ipco"})

Box: TypeAlias = tuple[bytes, int, int]
"""Type, and where its body starts and ends."""


def heif_format(data: bytes, accepted: str) -> PhotoFormat:
    """Tell HEIC from AVIF, and refuse files that are cut off or would cost more than their size suggests.

    Raises PhotoError: image_unsupported, image_truncated, image_corrupt; struct.error if a box is cut off.
    """
    file_format = _format_of(data, accepted)
    start, end = _bodies(data, 0, len(data)).get(b"meta", (0, 0))
    if not 0 < end - start <= MAX_HEADER:
        raise PhotoError("image_corrupt", f"the {file_format} describes its pictures in {end - start} bytes")
    bodies = _bodies(data, start + 4, end)
    _check_items(data, *bodies.get(b"iinf", (0, 0)), accepted)
    if file_format == "heic":
        _check_layers(data, bodies)
    _check_work(data, bodies)
    return file_format


def without_exif(data: bytes) -> bytes:
    """The file with its EXIF block renamed. The block does not turn the picture, and Pillow would read all of it."""
    start, end = _bodies(data, 0, len(data)).get(b"meta", (0, 0))
    return data[:start] + data[start:end].replace(b"Exif", b"Xxif") + data[end:]


def _format_of(data: bytes, accepted: str) -> PhotoFormat:
    (length,) = struct.unpack_from(">I", data)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(length, len(data), 256), 4))}
    if data[8:12] not in AVIF_BRANDS and brands & HEIC_BRANDS:
        return "heic"
    if brands & AVIF_BRANDS:
        return "avif"
    raise PhotoError("image_unsupported", f"the image is of type: MP4-like video; {accepted}")


def _boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """Every box between two places. Each must be complete. Raises PhotoError."""
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, at + 8), 16
        after = end if length == 0 else at + length
        if after > end:
            raise PhotoError("image_truncated", "the image ends before its last pixel; send the whole file")
        if after < at + head:
            raise PhotoError("image_corrupt", f"box at byte {at} of {length} bytes")
        yield kind, at + head, after
        at = after
    raise PhotoError("image_corrupt", f"image of over {MAX_BOXES} boxes")


def _bodies(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """By type. Raises PhotoError if there is a second box that another library could read instead."""
    found = dict[bytes, tuple[int, int]]()
    for kind, first, last in _boxes(data, start, end):
        if kind in ONCE and kind in found:
            raise PhotoError("image_corrupt", f"the image has two boxes of type {kind.decode()}")
        found[kind] = first, last
    return found


def _check_items(data: bytes, start: int, end: int, accepted: str) -> None:
    """Accept only items of known kinds (14496-12, section 8.11.6)."""
    if start == end:
        return
    for kind, first, _ in _boxes(data, start + (8 if data[start] else 6), end):
        at = first + (8 if data[first] < WIDE_ITEM else 10)
        if kind == b"infe" and data[first] > TYPELESS and data[at : at + 4] not in ITEMS:
            name = ascii(data[at : at + 4].decode("latin-1"))
            raise PhotoError("image_unsupported", f"the image has a part of type {name}; {accepted}")


def _check_layers(data: bytes, meta: dict[bytes, tuple[int, int]]) -> None:
    """Refuse layers of transparency: photos have none, and libheif before 1.23.2 writes past one of another size."""
    properties = _bodies(data, *meta.get(b"iprp", (0, 0))).get(b"ipco", (0, 0))
    layers = (data[start:end] for kind, start, end in _boxes(data, *properties) if kind == b"auxC")
    if any(name in layer for layer in layers for name in ALPHA):
        raise PhotoError("image_unsupported", "the heic has a layer of transparency; send it as PNG")


def _check_work(data: bytes, meta: dict[bytes, tuple[int, int]]) -> None:
    """Limit the pictures that form one picture by its size, and the copies of metadata by the file's size."""
    areas, copies = _areas(data, meta.get(b"iprp", (0, 0))), 0
    for kind, item, others in _references(data, *meta.get(b"iref", (0, 0))):
        copies += len(others) if kind == b"cdsc" else 0
        work = sum(areas.get(other, 0) for other in others) if kind == b"dimg" else 0
        if work > MOST_WORK * areas.get(item, 0) + SPARE_WORK:
            raise PhotoError("image_too_large", f"the image is a part of {work} pixels; send it as a JPEG")
    if copies * len(data) > MAX_COPIED:
        raise PhotoError("image_too_large", f"the image has {copies} references to metadata; send it without")


def _areas(data: bytes, properties: tuple[int, int]) -> dict[int, int]:
    """Pixels of each item, from its associated size (ispe)."""
    found = _bodies(data, *properties)
    sizes = [
        (int.from_bytes(data[start + 4 : start + 8], "big") * int.from_bytes(data[start + 8 : start + 12], "big"))
        if kind == b"ispe"
        else 0
        for kind, start, _ in _boxes(data, *found.get(b"ipco", (0, 0)))
    ]
    return {
        item: max((sizes[number - 1] for number in numbers if 0 < number <= len(sizes)), default=0)
        for item, numbers in _associations(data, *found.get(b"ipma", (0, 0)))
    }


def _associations(data: bytes, start: int, end: int) -> Iterator[tuple[int, list[int]]]:
    """Each item with the numbers of its properties (23008-12, section 9.3)."""
    if start == end:
        return
    wide_items, wide_numbers = data[start] > 0, data[start + 3] & 1
    (count,) = struct.unpack_from(">I", data, start + 4)
    at = start + 8
    for _ in range(min(count, MAX_BOXES)):
        item, numbers = struct.unpack_from(">IB" if wide_items else ">HB", data, at)
        at += 5 if wide_items else 3
        width = 2 if wide_numbers else 1
        values = [int.from_bytes(data[at + step * width : at + (step + 1) * width], "big") for step in range(numbers)]
        at += numbers * width
        yield item, [value & (2 ** (8 * width - 1) - 1) for value in values]


def _references(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, list[int]]]:
    """Kind of each reference, the item that it starts from, and the items that it points to."""
    if start == end:
        return
    name = "I" if data[start] else "H"
    for kind, first, _ in _boxes(data, start + 4, end):
        item, count = struct.unpack_from(f">{name}H", data, first)
        yield kind, item, list(struct.unpack_from(f">{count}{name}", data, first + struct.calcsize(f">{name}H")))
