import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vision.affine import invert, transform_points
from vision.photo import Photo
from vision.ssd import letterbox, letterbox_affine

SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
IDENTITY = np.eye(2, 3)


@given(size=SIZES, side=st.integers(8, 512))
def test_the_photo_fits_and_is_centred(size: tuple[int, int], side: int) -> None:
    affine = letterbox_affine(size, side)
    (left, top), (right, bottom) = transform_points(np.array([(0.0, 0.0), size]), affine)
    np.testing.assert_allclose((left + right, top + bottom), side)
    np.testing.assert_allclose(max(right - left, bottom - top), side)
    np.testing.assert_allclose((right - left) * size[1], (bottom - top) * size[0], rtol=1e-9)


@given(size=SIZES, point=st.tuples(st.floats(-9e3, 9e3), st.floats(-9e3, 9e3)))
def test_the_inverse_leads_back(size: tuple[int, int], point: tuple[float, float]) -> None:
    affine = letterbox_affine(size, 224)
    there = transform_points(np.array([point]), affine)
    np.testing.assert_allclose(transform_points(there, invert(affine))[0], point, atol=1e-6)


def test_pixels_keep_their_place_and_the_rest_is_zero() -> None:
    pixels = np.full((4, 8, 3), 200, dtype=np.uint8)
    pixels[0, 0] = 10
    boxed = letterbox(Photo(pixels, IDENTITY), (8, 4), 8)
    np.testing.assert_array_equal(boxed[2:6], pixels)
    assert not boxed[:2].any()
    assert not boxed[6:].any()


def test_pixel_indices_are_not_shifted() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(letterbox(Photo(pixels, IDENTITY), (16, 16), 8), pixels[::2, ::2])


def test_a_reduced_photo_lands_where_the_full_one_does() -> None:
    x, y = np.meshgrid(np.arange(64.0), np.arange(48.0))
    full = np.dstack((4 * x, 5 * y, x + y)).astype(np.uint8)
    halved = full.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    expected = letterbox(Photo(full, IDENTITY), (64, 48), 16)
    drawn = letterbox(Photo(halved, IDENTITY / 2), (64, 48), 16)
    np.testing.assert_allclose(drawn[3:13, 1:].astype(int), expected[3:13, 1:].astype(int), atol=1)  # not the edges
