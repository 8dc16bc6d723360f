import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vision.encoding import (
    FULL,
    HALF_ACROSS,
    HALF_BOTH,
    Coding,
    KeptMetadata,
    coding_of,
    encode_jpeg,
    encode_photo,
    encode_png,
)
from vision.photo import decode, inspect
from vision.photo_header import open_photo
from vision.photo_stripping import photo_file

PHOTO = np.asarray(
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)).resize(
        (160, 120), Image.Resampling.BICUBIC
    )
)


def jpeg(quality: int = 90, sampling: str = "4:2:0", orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    options = options if "qtables" in options else {"quality": quality, **options}
    Image.fromarray(PHOTO).save(buffer, "JPEG", subsampling=sampling, exif=exif, **options)
    return buffer.getvalue()


def coding(data: bytes) -> Coding:
    return coding_of(open_photo(photo_file(data)), inspect(data))


def tables(data: bytes) -> dict[int, list[int]]:
    image = JpegImageFile(io.BytesIO(data))
    return {number: list(table) for number, table in image.quantization.items()}


def coded(data: bytes) -> bytes:
    return encode_photo(decode(data, inspect(data)).pixels, "jpeg", coding(data), KeptMetadata())


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_pillow_reads_back_the_same_pixels(image: NDArray[np.uint8]) -> None:
    opened = Image.open(io.BytesIO(encode_png(image)))
    assert opened.mode == "L"
    np.testing.assert_array_equal(np.asarray(opened), image)


def test_a_view_of_a_larger_array_is_encoded_as_it_looks() -> None:
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)[::2, ::-3]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)


def test_color_order_is_kept() -> None:
    pixels = np.full((16, 16, 3), (250, 100, 10), dtype=np.uint8)
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(encode_jpeg(pixels)))), pixels, atol=3)


@pytest.mark.parametrize("quality", [1, 30, 75, 90, 100])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_quantised_as_its_source_was(quality: int, progressive: bool) -> None:  # noqa: FBT001
    data = jpeg(quality, progressive=progressive)
    assert tables(coded(data)) == tables(data)


def test_nonstandard_quantisation_tables_are_kept_too() -> None:
    rng = np.random.default_rng(2)
    own = [rng.integers(1, 60, 64).tolist(), rng.integers(1, 90, 64).tolist()]
    data = jpeg(qtables=own)
    assert list(tables(coded(data)).values()) == own


def test_tables_turn_with_the_photo() -> None:
    data = jpeg(50, orientation=6)
    for number, table in tables(data).items():
        assert tables(coded(data))[number] == np.reshape(table, (8, 8)).T.ravel().tolist()


@pytest.mark.parametrize(
    ("sampling", "orientation", "expected"),
    [
        ("4:4:4", 1, FULL),
        ("4:2:2", 1, HALF_ACROSS),
        ("4:2:0", 1, HALF_BOTH),
        ("4:2:2", 3, HALF_ACROSS),
        ("4:2:2", 6, FULL),
        ("4:2:0", 6, HALF_BOTH),
    ],
)
def test_chrominance_is_never_sampled_more_coarsely(sampling: str, orientation: int, expected: int) -> None:
    assert coding(jpeg(sampling=sampling, orientation=orientation)).sampling == expected


def test_other_formats_get_the_default_quality() -> None:
    assert coding(encode_photo(PHOTO, "png", Coding(), KeptMetadata())) == Coding()
    grey = io.BytesIO()
    Image.fromarray(PHOTO).convert("L").save(grey, "JPEG", quality=70)
    assert coding(grey.getvalue()).sampling == HALF_BOTH
    assert tables(coded(grey.getvalue()))[0] == tables(grey.getvalue())[0]


def moved(data: bytes, again: Coding) -> float:
    """Mean difference of a photo to itself coded again."""
    first = decode(data, inspect(data)).pixels
    second = encode_photo(first, "jpeg", again, KeptMetadata())
    return float(np.abs(decode(second, inspect(second)).pixels.astype(int) - first).mean())


@pytest.mark.parametrize("quality", [60, 80, 95])
def test_pixels_that_did_not_change_hardly_move_when_coded_alike_again(quality: int) -> None:
    full, halved = jpeg(quality, "4:4:4"), jpeg(quality, "4:2:0")
    assert moved(full, coding(full)) < 0.1 < moved(full, Coding()) / 10
    assert moved(halved, coding(halved)) < 0.6 * moved(halved, Coding(quality - 10))
