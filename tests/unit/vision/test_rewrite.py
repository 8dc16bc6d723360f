"""Photos written back, held against Pillow and exiftool."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.vision.heic import heic
from tests.unit.vision.test_color import with_tags
from tests.unit.vision.test_photo import encoded, opened, oriented, picture, read
from vision.arrays import RGB
from vision.color import profile_of_codes
from vision.encoding import Form, rewrite
from vision.photo import PhotoError, decode_own, inspect
from vision.photo_info import WrittenFormat

EVERYTHING = Form(metadata=frozenset({"exif", "icc"}))
EXIFTOOL = shutil.which("exiftool")
FORMS = [Form(), EVERYTHING, Form(metadata=frozenset({"exif"})), Form(metadata=frozenset())]
SECRETS = {
    "JPEG": ("-XMP:City=Bern", "-IPTC:City=Bern", "-Comment=Bern", "-Photoshop:PhotoshopThumbnail<={thumbnail}"),
    "PNG": ("-XMP:City=Bern", "-PNG:Comment=Bern"),
    "WEBP": ("-XMP:City=Bern",),
    "TIFF": ("-XMP:City=Bern", "-IPTC:City=Bern"),
    "AVIF": ("-XMP:City=Bern",),
    "HEIC": ("-XMP:City=Bern",),
}
NAMES = ("Artist", "Copyright", "OwnerName", "CameraOwnerName", "UserComment", "ImageDescription", "HostComputer")
PROFILE_FACTS = ("ProfileDescription", "ProfileCopyright", "DeviceModelDesc", "DeviceMfgDesc")


def again(data: bytes, form: Form = EVERYTHING) -> bytes:
    info = inspect(data)
    return rewrite(data, info, decode_own(data, info).pixels, form)


def pixels(data: bytes) -> RGB:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_comes_back_upright_once(file_format: str, orientation: int) -> None:
    data = oriented(picture(), file_format, orientation)
    rewritten = again(data)
    assert inspect(rewritten).orientation == 1
    assert inspect(rewritten).format == file_format.lower()
    assert opened(rewritten).shape == pixels(rewritten).shape
    assert np.abs(pixels(rewritten).astype(int) - opened(data)).mean() < 3


@pytest.mark.parametrize(
    ("source", "asked", "written"),
    [
        ("BMP", None, "png"),
        ("TIFF", None, "png"),
        ("GIF", None, "png"),
        ("AVIF", None, "jpeg"),
        ("AVIF", "png", "png"),
        ("PNG", "jpeg", "jpeg"),
        ("JPEG", "webp", "webp"),
        ("WEBP", "png", "png"),
    ],
)
def test_the_format_is_the_sources_or_the_one_asked_for(
    source: str, asked: WrittenFormat | None, written: WrittenFormat
) -> None:
    data = encoded(picture(), source)
    rewritten = again(data, Form(asked))
    assert inspect(rewritten).format == written
    assert np.abs(pixels(rewritten).astype(int) - opened(data)).mean() < 3


def test_the_quality_is_the_sources_or_the_one_asked_for() -> None:
    data = encoded(picture(200, 150), "JPEG", quality=50)
    sizes = [len(again(data, Form(quality=quality))) for quality in (20, None, 95)]
    assert sizes == sorted(set(sizes))
    assert abs(sizes[1] - len(data)) < 0.1 * len(data)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0II*\0"])
def test_a_lossless_webp_stays_lossless_unless_a_quality_is_given(exif: bytes) -> None:
    data = encoded(picture(), "WEBP", lossless=True, exif=exif)
    assert np.array_equal(pixels(again(data)), pixels(data))
    assert not np.array_equal(pixels(again(data, Form(quality=50))), pixels(data))
    lossy = encoded(picture(), "WEBP", quality=90)
    assert not np.array_equal(pixels(again(lossy)), pixels(lossy))


def test_a_heic_becomes_a_jpeg() -> None:
    assert inspect(again(heic())).format == "jpeg"
    assert inspect(again(heic(), Form("png"))).format == "png"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("form", FORMS)
def test_dots_an_inch_stay(file_format: str, form: Form) -> None:
    copy = Image.open(io.BytesIO(again(encoded(picture(), file_format, dpi=(300, 150)), form)))
    assert copy.info["dpi"] == pytest.approx((300, 150), abs=0.1)


def test_dots_an_inch_turn_with_the_photo() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    copy = Image.open(io.BytesIO(again(encoded(picture(), "JPEG", dpi=(300, 150), exif=exif))))
    assert copy.info["dpi"] == (150, 300)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_copy_keeps_its_pixels_and_a_profile_or_is_turned_to_srgb(file_format: str) -> None:
    lossless = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(picture(), file_format, icc_profile=P3, **lossless)
    kept, turned = again(data), again(data, Form(metadata=frozenset()))
    assert Image.open(io.BytesIO(kept)).info["icc_profile"] == P3
    assert "icc_profile" not in Image.open(io.BytesIO(turned)).info
    assert np.abs(pixels(kept).astype(int) - pixels(data)).mean() < 0.5
    assert np.abs(pixels(turned).astype(int) - read(data)).mean() < 2
    assert np.abs(pixels(turned).astype(int) - pixels(kept)).mean() > 2


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_a_lossless_photo_keeps_every_pixel(file_format: str) -> None:
    data = encoded(picture(), file_format)
    np.testing.assert_array_equal(pixels(again(data)), opened(data))


def test_a_photo_too_wide_for_a_webp_is_refused() -> None:
    data = encoded(picture(16_384, 16), "PNG")
    with pytest.raises(PhotoError, match="image_too_large: the image has 16384×16 pixels; a WebP has at most 16383"):
        again(data, Form("webp"))
    assert inspect(again(data, Form("jpeg"))).size == (16_384, 16)


@pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not here (Debian: libimage-exiftool-perl)")
@pytest.mark.parametrize("file_format", SECRETS)
def test_exiftool_finds_no_position_no_thumbnail_and_no_word(tmp_path: Path, file_format: str) -> None:
    path, thumbnail = tmp_path / f"photo.{file_format.lower()}", tmp_path / "thumbnail.jpg"
    thumbnail.write_bytes(encoded(picture(16, 12), "JPEG"))
    path.write_bytes(heic() if file_format == "HEIC" else encoded(picture(), file_format, icc_profile=SIGNED))
    secrets = (option.format(thumbnail=thumbnail) for option in SECRETS[file_format])
    position = ("-GPSLatitude=46.95", "-GPSLongitude=7.44", "-XMP:GPSLatitude=46.95")
    camera = (
        "-Make=Canon",
        "-DateTimeOriginal=2024:05:06 07:08:09",
        "-EXIF:SerialNumber=4711",
        "-LensSerialNumber=4711",
    )
    names = (f"-EXIF:{name}=Bern" for name in NAMES)
    # exiftool writes no thumbnail into a TIFF or a HEIC
    preview = (f"-ThumbnailImage<={thumbnail}",) if file_format in {"JPEG", "PNG", "WEBP"} else ()
    exiftool("-overwrite_original", *position, *camera, *names, *secrets, *preview, str(path))
    (before,) = tags(path)
    assert {"GPSLatitude", "City", "SerialNumber", "Artist", "Copyright"} <= before.keys()
    assert file_format == "HEIC" or before["ProfileCopyright"] == "Bern"
    copies = [tmp_path / f"{number}.copy" for number in range(len(FORMS))]
    for form, copy in zip(FORMS, copies, strict=True):
        copy.write_bytes(again(path.read_bytes() + b"Bern behind the image" * (file_format == "JPEG"), form))
    for form, copy, after in zip(FORMS, copies, tags(*copies), strict=True):
        assert_clean(after, form)
        assert ("ProfileConnectionSpace" in after) == ("icc" in form.metadata and file_format != "HEIC")
        assert b"Bern" not in copy.read_bytes()


def assert_clean(after: dict[str, object], form: Form) -> None:
    assert not {name for name in after if "GPS" in name or "Thumbnail" in name or "Serial" in name}
    assert not [value for value in after.values() if "Bern" in str(value)]
    assert not {*NAMES, "Orientation", "MakerNotes", "Warning", "Error"} & after.keys()
    assert not {str(after.get(name, "")) for name in PROFILE_FACTS} - {"", "Photo", "None"}
    assert ("Make" in after) == ("DateTimeOriginal" in after) == ("exif" in form.metadata)


P3 = profile_of_codes(12, 13)
SIGNED = with_tags(P3, cprt=b"text\0\0\0\0Bern\0", mmod=b"text\0\0\0\0Bern 4711\0")
"""A profile that says whose it is."""


def exiftool(*arguments: str) -> str:
    assert EXIFTOOL is not None
    return subprocess.run([EXIFTOOL, *arguments], check=True, capture_output=True, text=True).stdout


def tags(*paths: Path) -> list[dict[str, object]]:
    found = json.loads(exiftool("-json", *map(str, paths)))
    return [{name: value for name, value in one.items() if name not in {"SourceFile", "Directory"}} for one in found]
