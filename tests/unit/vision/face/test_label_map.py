import io
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.vision.face.drawing import label_map
from vision.face.label_map import labels_in, read_label_map
from vision.face.options import FaceError

LABELS = label_map()
COLORS = [value for index in range(256) for value in (index * 7 % 256, 255 - index, index)]


def png(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette_image() -> Image.Image:
    image = Image.fromarray(LABELS).convert("P")
    image.putdata(LABELS.ravel().tolist())
    image.putpalette(COLORS)
    return image


GREY = Image.fromarray(LABELS)
FORMS = {
    "grey": png(GREY),
    "sixteen bits": png(Image.fromarray(LABELS.astype(np.uint16))),
    "equal colours": png(GREY.convert("RGB")),
    "equal colours and alpha": png(GREY.convert("RGBA")),
    "grey and alpha": png(GREY.convert("LA")),
    "palette": png(palette_image()),
    "palette of four bits": png(palette_image(), bits=4),
    "palette with transparency": png(palette_image(), transparency=0),
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_labels(data: bytes) -> None:
    read = read_label_map(data)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, LABELS)


def test_one_bit() -> None:
    np.testing.assert_array_equal(read_label_map(png(Image.fromarray(LABELS > 0))), (LABELS > 0).astype(np.uint8))


def test_labels_are_listed_without_the_background() -> None:
    assert labels_in(LABELS) == [1, 4, 5, 6, 7, 10]


RNG = np.random.default_rng(0)
REFUSED = [
    (png(GREY, "JPEG"), "label_map_lossy"),
    (png(GREY, "BMP"), "segmentation_unsupported"),
    (FORMS["grey"][:200], "label_map_unreadable"),
    (FORMS["grey"][:20], "label_map_unreadable"),
    (png(Image.fromarray(np.zeros((64, 64), np.uint8))), "label_map_empty"),
    (png(Image.fromarray(np.full((64, 64), 300, np.uint16))), "label_map_corrupt"),
    (png(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))), "label_map_corrupt"),
    (png(Image.fromarray(RNG.integers(0, 256, (64, 64), dtype=np.uint8))), "label_map_corrupt"),
    (png(Image.fromarray(RNG.integers(0, 2, (300, 300), dtype=np.uint8))), "label_map_corrupt"),
    (png(GREY.point(lambda value: value * 20).resize((800, 960), Image.Resampling.BICUBIC)), "label_map_corrupt"),
]


@pytest.mark.parametrize(("data", "code"), REFUSED)
def test_invalid_input_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(FaceError) as refused:
        read_label_map(data)
    assert refused.value.code == code


PILLOW = Image.Resampling
SMOOTHING = {
    "bilinear": lambda labels, size: cv2.resize(labels, size, interpolation=cv2.INTER_LINEAR),
    "bicubic": lambda labels, size: cv2.resize(labels, size, interpolation=cv2.INTER_CUBIC),
    "Lanczos": lambda labels, size: cv2.resize(labels, size, interpolation=cv2.INTER_LANCZOS4),
    "area": lambda labels, size: cv2.resize(labels, size, interpolation=cv2.INTER_AREA),
    "Pillow's bilinear": lambda labels, size: np.array(Image.fromarray(labels).resize(size, PILLOW.BILINEAR)),
    "Pillow's bicubic": lambda labels, size: np.array(Image.fromarray(labels).resize(size, PILLOW.BICUBIC)),
    "Pillow's Lanczos": lambda labels, size: np.array(Image.fromarray(labels).resize(size, PILLOW.LANCZOS)),
}
SPREAD = cv2.LUT(LABELS, np.array([0, 17, 0, 0, 2, 3, 11, 13, 0, 0, 1, *[0] * 245], np.uint8))
"""The same regions, numbered as CelebAMask-HQ does."""


def scaled(labels: np.ndarray, factor: float, smoothing: str) -> np.ndarray:
    height, width = labels.shape
    return SMOOTHING[smoothing](labels, (round(width * factor), round(height * factor)))


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("factor", [0.3, 0.5, 0.75, 0.9, 1.1, 1.5, 2.5, 3.7])
@pytest.mark.parametrize("labels", [LABELS, SPREAD], ids=["ours", "CelebA"])
def test_a_map_scaled_with_smoothing_is_refused(labels: np.ndarray, factor: float, smoothing: str) -> None:
    with pytest.raises(FaceError, match=r"label_map_lossy: .* scale it nearest"):
        read_label_map(png(Image.fromarray(scaled(labels, factor, smoothing))))


def smoothed_forms() -> dict[str, bytes]:
    smooth = scaled(LABELS, 1.5, "bilinear")
    grey, palette = Image.fromarray(smooth), Image.fromarray(smooth, "P")
    palette.putpalette(COLORS)
    jpeg = Image.open(io.BytesIO(png(GREY, "JPEG", quality=90)))
    return {
        "colours": png(grey.convert("RGB")),
        "sixteen bits": png(Image.fromarray(smooth.astype(np.uint16))),
        "palette": png(palette),
        "once a JPEG": png(jpeg),
    }


@pytest.mark.parametrize("data", smoothed_forms().values(), ids=smoothed_forms())
def test_a_smoothed_map_is_refused_in_every_form(data: bytes) -> None:
    with pytest.raises(FaceError, match="label_map_lossy"):
        read_label_map(data)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.integers(64, 400),
    highest=st.integers(6, 31),
    factor=st.sampled_from([0.3, 0.5, 0.77, 1.0, 1.5, 4.0]),
    lines=st.booleans(),
)
def test_true_maps_of_any_labels_are_read_however_thin_their_regions_and_scaled_nearest(
    seed: int, side: int, highest: int, factor: float, *, lines: bool
) -> None:
    random = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint8)
    labels[side // 2 :] = 1
    for label in random.integers(1, highest + 1, 12).tolist():
        start, end = random.integers(0, side, (2, 2)).tolist()
        if lines:
            cv2.line(labels, start, end, label, int(random.integers(1, 4)))
        else:
            cv2.ellipse(labels, start, (side // 6, side // 20), int(random.integers(0, 180)), 0, 360, label, cv2.FILLED)
    made = cv2.resize(labels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(read_label_map(png(Image.fromarray(made))), made)


@pytest.mark.parametrize("outline", [1, 3, 255])
def test_outlines_one_pixel_wide_are_no_smoothing(outline: int) -> None:
    drawn = LABELS.copy()
    edges = cv2.morphologyEx(LABELS, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    drawn[edges] = outline
    np.testing.assert_array_equal(read_label_map(png(Image.fromarray(drawn))), drawn)


@settings(max_examples=100, deadline=None)
@given(
    data=st.sampled_from(sorted(FORMS.values())),
    at=st.integers(0, 10_000),
    value=st.integers(0, 255),
    cut=st.booleans(),
)
def test_damaged_files_are_read_or_refused(data: bytes, at: int, value: int, *, cut: bool) -> None:
    place = at % len(data)
    damaged = data[:place] if cut else data[:place] + bytes([value]) + data[place + 1 :]
    with suppress(FaceError):
        assert read_label_map(damaged).ndim == 2
