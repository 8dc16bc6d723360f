"""Photos written back, held against Pillow and exiftool."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unit.vision.test_photo import encoded, opened, oriented, picture
from vision.arrays import RGB
from vision.photo import PhotoError, decode, inspect
from vision.photo_info import WrittenFormat
from vision.rewrite import Form, rewrite

EVERYTHING = Form(metadata=frozenset({"exif", "icc"}))
EXIFTOOL = shutil.which("exiftool")
SECRETS = {
    "JPEG": ("-XMP:City=Bern", "-IPTC:City=Bern", "-Comment=Bern", "-Photoshop:PhotoshopThumbnail<={thumbnail}"),
    "PNG": ("-XMP:City=Bern", "-PNG:Comment=Bern"),
    "WEBP": ("-XMP:City=Bern",),
}


def again(data: bytes, form: Form = EVERYTHING) -> bytes:
    info = inspect(data)
    return rewrite(data, info, decode(data, info).pixels, form)


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
    [("BMP", None, "png"), ("PNG", "jpeg", "jpeg"), ("JPEG", "webp", "webp"), ("WEBP", "png", "png")],
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
def test_a_webp_without_loss_stays_so_unless_a_quality_is_asked_for(exif: bytes) -> None:
    data = encoded(picture(), "WEBP", lossless=True, exif=exif)
    assert np.array_equal(pixels(again(data)), pixels(data))
    assert not np.array_equal(pixels(again(data, Form(quality=50))), pixels(data))
    lossy = encoded(picture(), "WEBP", quality=90)
    assert not np.array_equal(pixels(again(lossy)), pixels(lossy))


def test_metadata_that_cannot_be_walked_is_refused() -> None:
    data = again(encoded(picture(), "WEBP"))
    endless = data[:4] + (len(data) + 8 * 70_000 - 8).to_bytes(4, "little") + data[8:] + bytes(8 * 70_000)
    with pytest.raises(PhotoError, match="image_corrupt"):
        again(endless)


def test_a_photo_too_wide_for_a_webp_is_refused() -> None:
    data = encoded(picture(16_384, 16), "PNG")
    with pytest.raises(PhotoError, match="image_too_large: the image has 16384×16 pixels; a WebP has at most 16383"):
        again(data, Form("webp"))
    assert inspect(again(data, Form("jpeg"))).size == (16_384, 16)


@pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not here (Debian: libimage-exiftool-perl)")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("form", [Form(), EVERYTHING])
def test_exiftool_finds_no_position_no_thumbnail_and_no_word(tmp_path: Path, file_format: str, form: Form) -> None:
    path, thumbnail = tmp_path / f"photo.{file_format.lower()}", tmp_path / "thumbnail.jpg"
    thumbnail.write_bytes(encoded(picture(16, 12), "JPEG"))
    path.write_bytes(encoded(picture(), file_format))
    secrets = (option.format(thumbnail=thumbnail) for option in SECRETS[file_format])
    position = ("-GPSLatitude=46.95", "-GPSLongitude=7.44", "-XMP:GPSLatitude=46.95")
    camera = ("-Make=Canon", "-DateTimeOriginal=2024:05:06 07:08:09", "-SerialNumber=4711", "-UserComment=Bern")
    exiftool("-overwrite_original", *position, *camera, *secrets, f"-ThumbnailImage<={thumbnail}", str(path))
    before = tags(path)
    assert {"GPSLatitude", "City", "SerialNumber", "ThumbnailImage"} <= before.keys()
    path.write_bytes(again(path.read_bytes() + b"Bern behind the image" * (file_format == "JPEG"), form))
    after = tags(path)
    assert not {name for name in after if "GPS" in name or "Thumbnail" in name or "Serial" in name}
    assert not [value for value in after.values() if "Bern" in str(value)]
    assert ("Make" in after) == ("exif" in form.metadata)
    assert "Warning" not in after
    assert "Error" not in after
    assert b"Bern" not in path.read_bytes()


def exiftool(*arguments: str) -> str:
    assert EXIFTOOL is not None
    return subprocess.run([EXIFTOOL, *arguments], check=True, capture_output=True, text=True).stdout


def tags(path: Path) -> dict[str, object]:
    (found,) = json.loads(exiftool("-json", str(path)))
    return {name: value for name, value in found.items() if name not in {"SourceFile", "Directory"}}
