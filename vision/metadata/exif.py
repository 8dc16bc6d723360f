"""EXIF blocks cut down to how and when a photo was taken (TIFF 6.0, section 2; EXIF 2.32, section 4.6).

What is kept is named tag by tag; all else is left out, known or not: the GPS directory, the thumbnail's directory,
maker notes (which hold thumbnails and places of faces), serial numbers, owners, free text, and the orientation,
which decoded pixels already have.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
IMAGE_TAGS = frozenset({
    0x010F, 0x0110,  # Make, Model
    0x011A, 0x011B, 0x0128,  # XResolution, YResolution, ResolutionUnit
    0x0131, 0x0132,  # Software, DateTime
    0x013B, 0x8298,  # Artist, Copyright
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
EXIF_DIRECTORY = 0x8769
"""The tag of IMAGE_TAGS' directory that points to the directory of EXIF_TAGS."""

VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes a value by type."""
MOST_BYTES = 1000
"""A tag: what all of them take then fits a JPEG segment, and none of them can hold a picture."""
INLINE_BYTES, ENTRY_BYTES, HEADER_BYTES, LONG = 4, 12, 8, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag, its type, how many values it has, and their bytes."""

    tag: int
    kind: int
    count: int
    value: bytes


def cleaned_exif(block: bytes) -> bytes:
    """The block with nothing but IMAGE_TAGS and EXIF_TAGS; empty where it holds none of them or cannot be read."""
    tiff = block.removeprefix(b"Exif\0\0")
    order = ORDERS.get(tiff[:4])
    if order is None:
        return b""
    try:
        image, exif = _read(tiff, order)
    except struct.error:
        return b""
    return tiff[:4] + _written(image, exif, order) if image or exif else b""


def _read(tiff: bytes, order: str) -> tuple[dict[int, Entry], dict[int, Entry]]:
    """Of the two directories, what is kept by tag. Raises struct.error where one of them is cut off."""
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    first = {entry.tag: entry for entry in _entries(tiff, order, start)}
    image = {tag: entry for tag, entry in first.items() if tag in IMAGE_TAGS}
    pointer = first.get(EXIF_DIRECTORY)
    if pointer is None or pointer.kind != LONG:
        return image, {}
    (start,) = struct.unpack(f"{order}I", pointer.value)
    return image, {entry.tag: entry for entry in _entries(tiff, order, start) if entry.tag in EXIF_TAGS}


def _entries(tiff: bytes, order: str, start: int) -> Iterator[Entry]:
    """Entries whose values are whole and small."""
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for at in range(start + 2, start + 2 + ENTRY_BYTES * count, ENTRY_BYTES):
        tag, kind, values, offset = struct.unpack_from(f"{order}HHII", tiff, at)
        length = VALUE_BYTES.get(kind, MOST_BYTES + 1) * values
        begin = at + HEADER_BYTES if length <= INLINE_BYTES else offset
        if length <= MOST_BYTES and begin + length <= len(tiff):
            yield Entry(tag, kind, values, tiff[begin : begin + length])


def _written(image: dict[int, Entry], exif: dict[int, Entry], order: str) -> bytes:
    """Everything after the signature: the offset of the first directory, then both directories."""
    if not exif:
        return struct.pack(f"{order}I", HEADER_BYTES) + _directory(list(image.values()), order, HEADER_BYTES)
    pointer = Entry(EXIF_DIRECTORY, LONG, 1, bytes(4))
    end = HEADER_BYTES + len(_directory([*image.values(), pointer], order, HEADER_BYTES))
    pointer = Entry(EXIF_DIRECTORY, LONG, 1, struct.pack(f"{order}I", end))
    first = _directory([*image.values(), pointer], order, HEADER_BYTES)
    return struct.pack(f"{order}I", HEADER_BYTES) + first + _directory(list(exif.values()), order, end)


def _directory(entries: list[Entry], order: str, start: int) -> bytes:
    """A directory that lies at `start`, with the values that do not fit its entries behind it; no next directory."""
    behind = start + 2 + ENTRY_BYTES * len(entries) + 4
    rows, values = b"", b""
    for entry in sorted(entries, key=lambda entry: entry.tag):
        rows += struct.pack(f"{order}HHI", entry.tag, entry.kind, entry.count)
        if len(entry.value) <= INLINE_BYTES:
            rows += entry.value.ljust(INLINE_BYTES, b"\0")
        else:
            rows += struct.pack(f"{order}I", behind + len(values))
            values += entry.value + bytes(len(entry.value) % 2)
    return struct.pack(f"{order}H", len(entries)) + rows + bytes(4) + values
