import io

import numpy as np
import pytest
from PIL import Image

from vision.coding import Coding, coding_of
from vision.encoding import encode_photo
from vision.photo import decode, inspect

PHOTO = np.asarray(
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)).resize((160, 120), Image.BICUBIC)
)


def jpeg(quality: int = 90, sampling: str = "4:2:0", orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "JPEG", quality=quality, subsampling=sampling, exif=exif, **options)
    return buffer.getvalue()


def coding(data: bytes) -> Coding:
    return coding_of(data, inspect(data))


@pytest.mark.parametrize("quality", [*range(5, 100, 5), 1, 2, 99, 100])
def test_the_quality_is_that_of_the_encoder(quality: int) -> None:
    assert coding(jpeg(quality)).quality == quality
    assert coding(encode_photo(PHOTO, "jpeg", Coding(quality))).quality == quality


@pytest.mark.parametrize(("sampling", "code"), [("4:4:4", 0x111111), ("4:2:2", 0x211111), ("4:2:0", 0x221111)])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_sampling_is_that_of_the_encoder(sampling: str, code: int, progressive: bool) -> None:  # noqa: FBT001
    read = coding(jpeg(sampling=sampling, progressive=progressive))
    assert read == Coding(90, code)
    assert coding(encode_photo(PHOTO, "jpeg", read)) == read


def test_the_sampling_turns_with_the_photo() -> None:
    assert coding(jpeg(sampling="4:2:2", orientation=6)).sampling == 0x121111
    assert coding(jpeg(sampling="4:2:2", orientation=3)).sampling == 0x211111


def test_what_is_no_color_jpeg_gets_the_default() -> None:
    grey = io.BytesIO()
    Image.fromarray(PHOTO).convert("L").save(grey, "JPEG", quality=70)
    assert coding(grey.getvalue()) == Coding(70)
    assert coding(encode_photo(PHOTO, "png", Coding())) == Coding()


def moved(data: bytes, again: Coding) -> float:
    """Mean difference of a photo to itself coded again."""
    first = decode(data, inspect(data)).pixels
    second = encode_photo(first, "jpeg", again)
    return float(np.abs(decode(second, inspect(second)).pixels.astype(int) - first).mean())


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_pixels_that_did_not_change_hardly_move_when_coded_alike_again(quality: int) -> None:
    full, halved = jpeg(quality, "4:4:4"), jpeg(quality, "4:2:0")
    assert moved(full, coding(full)) < 0.1 < moved(full, Coding()) / 10
    assert moved(halved, coding(halved)) < 0.6 * moved(halved, Coding(quality - 10))
