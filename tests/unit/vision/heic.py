"""A HEIC of 64×48 pixels made by hand: red grows with x and green with y, as in `test_photo.picture`."""

import base64
import struct

SIZE = (64, 48)
VPS, SPS, PPS, PICTURE = map(
    base64.b64decode,
    (
        "QAEMAf//BAgAAAMAn6gAAAMAAB66AkA=",
        "QgEBBAgAAAMAn6gAAAMAAB6gIIMWW6uTK5uBAQKCAAADAAIAAAMAMhA=",
        "RAHBc8CJ",
        (
            "KAGvC+BGzo86ramqthp9ok31qCk5SAZ/YMA/hawalDEqtje9VS8P7vv23RFAc0pwh62SQMU1pRQjmodXNwAw5dLQzrILjQlT0JHrbklv3NXN"
            "+M3JvhlXh1Fey7tUswj48eKYKu/N53Rsi5LoQvU9G1S02AO395P+W/x6VuMJ6Zb/Dh5LEdqI7YWE9w934CP+mm7onnUkuSg9XuMqxz6vaLmJ"
            "s1nX4bhjOL+yXsOnDPrhWPQncCvE9/sOJ6BXPXNkHXlziAjjLfdg"
        ),
    ),
)
"""One intra picture as HEVC units."""


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full_box(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return box(kind, bytes((version, 0, 0, 0)) + body)


def heic(
    properties: bytes = b"",
    exif: bytes = b"",
    size: tuple[int, int] = SIZE,
    references: bytes = b"",
    parts: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """The picture with further properties, an EXIF block, references of `iref`, `parts` in `iinf`, boxes in `meta`."""
    units = b"".join(
        bytes(((unit[0] >> 1) & 63,)) + struct.pack(">HH", 1, len(unit)) + unit for unit in (VPS, SPS, PPS)
    )
    config = b"\1" + b"\4\x08\0\0\0\x9f\xa8\0\0\0\0\x1e" + b"\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f\3" + units
    own = box(b"hvcC", config) + full_box(b"ispe", struct.pack(">II", *size))
    count = 2 + _count(properties)
    items = [struct.pack(">I", len(PICTURE)) + PICTURE]
    entries = [full_box(b"infe", struct.pack(">HH4sx", 1, 0, b"hvc1"), 2)]
    links = references
    if exif:
        items.append(struct.pack(">I", 6) + b"Exif\0\0" + exif)
        entries.append(full_box(b"infe", struct.pack(">HH4sx", 2, 0, b"Exif"), 2))
        links += box(b"cdsc", struct.pack(">HHH", 2, 1, 1))
    association = struct.pack(">IHB", 1, 1, count) + bytes(range(1, count + 1))
    boxes = (
        full_box(b"hdlr", struct.pack(">4x4s13x", b"pict"))
        + full_box(b"pitm", struct.pack(">H", 1))
        + full_box(b"iinf", struct.pack(">H", len(entries) + bool(parts)) + b"".join(entries) + parts)
        + box(b"iprp", box(b"ipco", own + properties) + full_box(b"ipma", association))
        + (full_box(b"iref", links) if links else b"")
        + more
    )
    kind = box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(kind) + 12 + len(boxes) + 16 + 14 * len(items) + 8
    return kind + full_box(b"meta", boxes + _locations(items, start)) + box(b"mdat", b"".join(items))


def _locations(items: list[bytes], start: int) -> bytes:
    body = struct.pack(">BBH", 0x44, 0, len(items))
    for number, item in enumerate(items, start=1):
        body += struct.pack(">HHHII", number, 0, 1, start, len(item))
        start += len(item)
    return full_box(b"iloc", body)


def _count(properties: bytes) -> int:
    at = count = 0
    while at < len(properties):
        at += int.from_bytes(properties[at : at + 4], "big")
        count += 1
    return count
