import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.affine import transform_points
from vision.photo import Photo
from vision.ssd import Detection, Roi, crop, roi_of


def detection(hip: tuple[float, float], top: tuple[float, float]) -> Detection:
    return Detection((0, 0, 1, 1), 0.9, np.array([hip, top, (0, 0), (0, 0)], dtype=np.float64))


@given(
    hip=st.tuples(st.floats(0, 900), st.floats(0, 900)), angle=st.floats(-math.pi, math.pi), radius=st.floats(5, 500)
)
def test_the_body_point_lies_straight_above_the_centre(hip: tuple[float, float], angle: float, radius: float) -> None:
    top = hip[0] + radius * math.sin(angle), hip[1] - radius * math.cos(angle)
    roi = roi_of(detection(hip, top))
    assert roi.side == pytest.approx(2.5 * radius)
    center, above = transform_points(np.array([(128.0, 128.0), (128.0, 128 - 256 / 2.5)]), roi.to_source(256))
    np.testing.assert_allclose(center, hip, atol=1e-6)
    np.testing.assert_allclose(above, top, atol=1e-6)


def test_an_upright_person_is_not_turned() -> None:
    roi = roi_of(detection((50, 80), (50, 30)))
    assert (roi.center, roi.side) == ((50, 80), 125)
    assert roi.rotation == pytest.approx(0)


def test_a_crop_repeats_the_edge_beyond_the_photo() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)[:, :, None].repeat(3, axis=2)
    cut = crop(Photo(pixels, np.eye(2, 3)), Roi((4.0, 0.0), 8.0, 0.0), 8)
    np.testing.assert_array_equal(cut[4:], pixels[:4])
    np.testing.assert_array_equal(cut[:4], pixels[:1].repeat(4, axis=0))


def test_a_turned_crop_turns_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    cut = crop(Photo(pixels, np.eye(2, 3)), Roi((4.0, 4.0), 8.0, math.pi / 2), 8)
    np.testing.assert_array_equal(cut[1:, :], np.rot90(pixels)[:-1, :])  # pixel indices turn about index 4, not 3.5
