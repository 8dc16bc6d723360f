"""Cleaned EXIF, read back by Pillow."""

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, TiffImagePlugin

from vision.tiff import EXIF_TAGS, IMAGE_TAGS, bounded, cleaned_exif, orientation_of, read_exif

GPS_POSITION = (46.0, 57.0, 8.76)
PRIVATE = {
    ExifTags.Base.ImageDescription: "Anna at home",
    ExifTags.Base.XPComment: "Anna".encode("utf-16-le"),
    ExifTags.Base.Artist: "Anna",
    ExifTags.Base.Copyright: "Anna",
}
PRIVATE_DETAIL = {
    ExifTags.Base.MakerNote: b"FACE" * 100,
    ExifTags.Base.UserComment: b"ASCII\0\0\0Anna",
    ExifTags.Base.BodySerialNumber: "SN-4711",
    ExifTags.Base.CameraOwnerName: "Anna",
    ExifTags.Base.ImageUniqueID: "0123456789abcdef",
}
SHOT = {
    ExifTags.Base.ExposureTime: TiffImagePlugin.IFDRational(1, 125),
    ExifTags.Base.DateTimeOriginal: "2024:05:06 07:08:09",
    ExifTags.Base.ISOSpeedRatings: 400,
    ExifTags.Base.LensModel: "EF50mm f/1.8",
}
CAMERA = {ExifTags.Base.Make: "Canon", ExifTags.Base.Model: "EOS"}


def full_exif(endian: str = "<") -> bytes:
    """As a camera writes it, with orientation 6 and a position, from the TIFF header on."""
    exif = Image.Exif()
    exif.endian = endian
    exif.update({**CAMERA, **PRIVATE, ExifTags.Base.Orientation: 6})
    exif.get_ifd(ExifTags.IFD.Exif).update({**SHOT, **PRIVATE_DETAIL})
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: GPS_POSITION, 3: "E", 4: GPS_POSITION})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def cleaned_of(block: bytes) -> bytes:
    return cleaned_exif(read_exif(block))


def read(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    return exif


@pytest.mark.parametrize("endian", ["<", ">"])
def test_how_and_when_a_photo_was_taken_is_kept_and_nothing_else(endian: str) -> None:
    block = full_exif(endian)
    cleaned = cleaned_of(block)
    exif = read(cleaned)
    assert {tag: value for tag, value in exif.items() if tag != ExifTags.IFD.Exif} == CAMERA
    assert exif.get_ifd(ExifTags.IFD.Exif) == SHOT
    assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {}
    for word in (b"Anna", b"SN-4711", b"FACE", b"cdef"):
        assert word in block.replace(b"\0", b"")
        assert word not in cleaned.replace(b"\0", b"")
    assert orientation_of(read_exif(block)) == 6
    assert orientation_of(read_exif(cleaned)) == 1


def test_cleaning_twice_changes_nothing() -> None:
    once = cleaned_of(b"Exif\0\0" + full_exif())
    assert once
    assert cleaned_of(once) == once


def directory(entries: list[tuple[int, int, int, bytes]], following: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)


def test_the_thumbnails_directory_is_left_out() -> None:
    first = directory([(0x010F, 2, 4, b"Cam\0")], following=26)
    thumbnail = b"\xff\xd8THUMBNAIL\xff\xd9"
    second = directory([(0x0201, 4, 1, struct.pack("<I", 56)), (0x0202, 4, 1, struct.pack("<I", len(thumbnail)))])
    block = b"II*\0" + struct.pack("<I", 8) + first + second + thumbnail
    assert orientation_of(read_exif(block)) == 1
    cleaned = cleaned_of(block)
    assert dict(read(cleaned)) == {0x010F: "Cam"}
    assert b"THUMB" not in cleaned


@pytest.mark.parametrize(
    "entry",
    [
        (0x0131, 2, 2000, struct.pack("<I", 0)),  # larger than any of these needs
        (0x0131, 2, 30, struct.pack("<I", 9000)),  # beyond the end
        (0x0131, 99, 1, b"abcd"),  # of no type
        (0x9999, 2, 4, b"abcd"),
    ],
)
def test_a_tag_that_cannot_be_kept_is_left_out(entry: tuple[int, int, int, bytes]) -> None:
    assert cleaned_of(b"II*\0" + struct.pack("<I", 8) + directory([entry]) + bytes(3000)) == b""


def test_a_result_too_large_to_cache_is_not_copied() -> None:
    """Each of many entries may claim the whole of a file of many megabytes."""
    size = 1_000_000
    entries = [(tag, 7, size, struct.pack("<I", 0)) for tag in (0x010F, 0x0110)]
    block = b"II*\0" + struct.pack("<I", 8) + directory(entries) + bytes(size)
    tracemalloc.start()
    try:
        assert cleaned_of(block) == b""
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b"", b"Exif\0\0II*\0\x08\0\0\0"]))
def test_any_bytes_give_a_block_of_allowed_tags_or_none(body: bytes, start: bytes) -> None:
    cleaned = cleaned_of(start + body)
    if cleaned:
        exif = read(cleaned)
        assert {*exif} - {ExifTags.IFD.Exif} <= IMAGE_TAGS
        assert {*exif.get_ifd(ExifTags.IFD.Exif)} <= EXIF_TAGS


@given(st.data())
def test_a_damaged_block_raises_nothing(data: st.DataObject) -> None:
    block = bytearray(full_exif())
    for _ in range(data.draw(st.integers(1, 5))):
        block[data.draw(st.integers(4, len(block) - 1))] = data.draw(st.integers(0, 255))
    cleaned_of(bytes(block[: data.draw(st.integers(0, len(block)))]))


@pytest.mark.parametrize("kind", [3, 7, 16])
def test_a_pointer_of_another_type_is_not_followed(kind: int) -> None:
    """Pillow and we could take it for different places."""
    pointer = (ExifTags.IFD.Exif, kind, 1, struct.pack("<I", 8))
    assert not bounded(b"II*\0" + struct.pack("<I", 8) + directory([pointer]) + bytes(100))
    plain = (ExifTags.IFD.Exif, 4, 1, struct.pack("<I", 26))
    assert bounded(b"II*\0" + struct.pack("<I", 8) + directory([plain]) + directory([(0x9000, 7, 4, b"0230")]))
