import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.affine import transform_points
from vision.body.silhouette import (
    MARGIN,
    Canvas,
    canvas_about,
    canvas_about_centre,
    canvas_pixels,
    to_output,
    to_source,
)
from vision.photo import Photo

COORDINATE = st.floats(-500, 2500)


@given(x=st.tuples(COORDINATE, COORDINATE), y=st.tuples(COORDINATE, COORDINATE))
def test_the_person_fits_with_its_margin(x: tuple[float, float], y: tuple[float, float]) -> None:
    box = min(x), min(y), max(x), max(y)
    canvas = canvas_about(box, (2000, 1500))
    clipped = np.clip(np.array(box).reshape(2, 2), 0, (2000, 1500))
    (left, top), (right, bottom) = transform_points(clipped, canvas.to_work)
    margin = MARGIN * max(right - left, bottom - top)
    assert min(left, top, 384 - right, 512 - bottom) >= margin - 1e-6
    np.testing.assert_allclose((left + right, top + bottom), (384, 512), atol=1e-6)
    np.testing.assert_allclose(2 * canvas.to_work, canvas.to_output)


def test_a_mask_returns_to_its_place_in_the_photo() -> None:
    canvas = Canvas(-10.0, 20.0, 192.0)
    mask = np.zeros((512, 384), dtype=np.uint8)
    mask[100:200, 60:120] = 255
    expected = np.zeros((150, 100), dtype=np.uint8)
    expected[70:120, 20:50] = 255
    np.testing.assert_array_equal(to_source(mask, canvas, (100, 150)), expected)


@pytest.mark.parametrize("value", [1, 255])
def test_the_output_canvas_doubles_every_pixel(value: int) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (512, 384), dtype=np.uint8) * np.uint8(value)
    np.testing.assert_array_equal(to_output(mask), mask.repeat(2, axis=0).repeat(2, axis=1))


@given(width=st.integers(1, 4000), height=st.integers(1, 4000))
def test_the_window_about_the_middle_is_the_largest_in_the_photo(width: int, height: int) -> None:
    canvas = canvas_about_centre((width, height))
    tall = canvas.width / 0.75
    assert canvas.width == pytest.approx(width) or tall == pytest.approx(height)
    assert canvas.width <= width + 1e-9
    assert tall <= height + 1e-9
    assert (2 * canvas.x + canvas.width, 2 * canvas.y + tall) == pytest.approx((width, height))


@pytest.mark.parametrize("reduction", [1, 2])
def test_networks_see_the_window_whatever_the_photo_was_reduced_by(reduction: int) -> None:
    pixels = np.zeros((1200, 1600, 3), np.uint8)
    pixels[200:600, 400:700] = 200, 100, 50
    canvas = Canvas(-100.0, -200.0, 1152.0)
    photo = Photo(pixels[::reduction, ::reduction], np.array([[1 / reduction, 0, 0], [0, 1 / reduction, 0]]))
    drawn = canvas_pixels(photo, canvas)
    assert drawn.shape == (512, 384, 3)
    left, top, right, bottom = (round(side / 3) for side in (500, 400, 800, 800))
    assert drawn[top + 2 : bottom - 2, left + 2 : right - 2].reshape(-1, 3).tolist() == [[200, 100, 50]] * (
        (bottom - top - 4) * (right - left - 4)
    )
    drawn[top - 2 : bottom + 2, left - 2 : right + 2] = 0
    assert not drawn.any()
