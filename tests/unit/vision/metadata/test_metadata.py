"""Metadata taken from one file and put into another, by Pillow's reading."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit.vision.metadata.test_exif import full_exif, read
from vision.coding import Coding
from vision.encoding import encode_photo
from vision.metadata.blocks import Blocks
from vision.metadata.exif import cleaned_exif
from vision.metadata.metadata import kept_metadata, with_metadata
from vision.photo_info import WrittenFormat

FORMATS: tuple[WrittenFormat, ...] = ("jpeg", "png", "webp")
EXIF = full_exif()
RGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def grown(profile: bytes, size: int) -> bytes:
    """The profile with zeros behind it, as long as its header says."""
    return struct.pack(">I", size) + profile[4:] + bytes(size - len(profile))


def source(file_format: WrittenFormat, icc: bytes = RGB_PROFILE) -> bytes:
    """A photo with everything, as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, file_format, exif=b"Exif\0\0" + EXIF, icc_profile=icc)
    return buffer.getvalue()


def written(file_format: WrittenFormat, blocks: Blocks) -> Image.Image:
    return Image.open(io.BytesIO(with_metadata(encode_photo(PIXELS, file_format, Coding()), file_format, blocks)))


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_pillow_wrote_is_found(file_format: WrittenFormat) -> None:
    blocks = kept_metadata(source(file_format), file_format, {"exif", "icc"})
    assert blocks == Blocks(cleaned_exif(EXIF), RGB_PROFILE)
    assert len(blocks.exif) > 100


@pytest.mark.parametrize("file_format", FORMATS)
def test_each_kind_is_kept_for_itself(file_format: WrittenFormat) -> None:
    data = source(file_format)
    assert kept_metadata(data, file_format, {"exif"}) == Blocks(exif=cleaned_exif(EXIF))
    assert kept_metadata(data, file_format, {"icc"}) == Blocks(icc=RGB_PROFILE)
    assert kept_metadata(data, file_format, ()) == Blocks()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("exif", [cleaned_exif(EXIF), b""])
@pytest.mark.parametrize("icc", [RGB_PROFILE, grown(RGB_PROFILE, 200_001), b""])
def test_pillow_finds_what_is_written_and_the_pixels_are_untouched(
    file_format: WrittenFormat, exif: bytes, icc: bytes
) -> None:
    image = written(file_format, Blocks(exif, icc))
    assert image.info.get("icc_profile", b"") == icc
    assert dict(image.getexif()) == dict(read(exif) if exif else {})
    np.testing.assert_array_equal(np.asarray(image), np.asarray(written(file_format, Blocks())))
    rewritten = with_metadata(encode_photo(PIXELS, file_format, Coding()), file_format, Blocks(exif, icc))
    assert kept_metadata(rewritten, file_format, {"exif", "icc"}) == Blocks(exif, icc)


@pytest.mark.parametrize(
    "icc",
    [LAB_PROFILE, RGB_PROFILE[:-1], RGB_PROFILE[:100], b"junk", RGB_PROFILE[:16] + b"CMYK" + RGB_PROFILE[20:]],
    ids=["lab", "short", "head", "junk", "cmyk"],  # a profile holds the time it was made: each process names it anew
)
def test_a_profile_that_does_not_fit_rgb_pixels_is_left_out(icc: bytes) -> None:
    assert kept_metadata(source("jpeg", icc), "jpeg", {"icc"}) == Blocks()


def test_a_profile_that_lacks_a_piece_is_left_out() -> None:
    data = source("jpeg", grown(RGB_PROFILE, 150_000))
    assert len(kept_metadata(data, "jpeg", {"icc"}).icc) == 150_000
    assert kept_metadata(data.replace(b"ICC_PROFILE\0\x02", b"ICC_PROFILE\0\x07"), "jpeg", {"icc"}) == Blocks()


def test_a_profile_larger_than_any_is_left_out() -> None:
    """A WebP holds one of any size, a JPEG at most 255 pieces."""
    for size, kept in ((4_000_000, 4_000_000), (4_000_001, 0)):
        file = with_metadata(encode_photo(PIXELS, "webp", Coding()), "webp", Blocks(icc=grown(RGB_PROFILE, size)))
        assert len(kept_metadata(file, "webp", {"icc"}).icc) == kept


def test_a_profile_that_cannot_be_unpacked_is_left_out() -> None:
    at = (data := source("png")).index(b"iCCP") + 20
    assert kept_metadata(data[:at] + bytes(20) + data[at + 20 :], "png", {"icc"}) == Blocks()


def test_transparency_of_a_webp_outlives_its_metadata() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.dstack((PIXELS, PIXELS[..., 0]))).save(buffer, "webp", lossless=True)
    image = Image.open(io.BytesIO(with_metadata(buffer.getvalue(), "webp", Blocks(icc=RGB_PROFILE))))
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(image)[..., 3], PIXELS[..., 0])
