import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.vision.face.drawing import label_map
from vision.face.errors import FaceError
from vision.face.label_map import labels_in, read_label_map

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
def test_what_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(FaceError) as refused:
        read_label_map(data)
    assert refused.value.code == code


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
