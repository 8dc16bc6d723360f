import math

import cv2
import numpy as np
import pytest

from vision.affine import transform_points
from vision.face.contours import MARGIN, MAX_SIDE, Frame, covering, frame_about, levelling
from vision.photo import Photo

LEFT, RIGHT = np.array((120.0, 200.0)), np.array((220.0, 230.0))


@pytest.mark.parametrize("degrees", [0, 20, -20, 90, 135, 180, -179])
def test_eyes_come_level_and_the_right_way_up(degrees: float) -> None:
    angle = math.radians(degrees)
    right = LEFT + 100 * np.array((math.cos(angle), math.sin(angle)))
    left_level, right_level = transform_points(np.array([LEFT, right]), levelling(LEFT, right))
    np.testing.assert_allclose(right_level - left_level, (100, 0), atol=1e-9)


def test_levelling_keeps_lengths_and_handedness() -> None:
    linear = levelling(LEFT, RIGHT)[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-12)
    assert np.linalg.det(linear) > 0


def test_eyes_in_one_place_turn_nothing() -> None:
    np.testing.assert_allclose(levelling(LEFT, LEFT), np.eye(2, 3), atol=1e-12)


def test_a_frame_holds_the_face_with_its_margin() -> None:
    level = levelling(LEFT, RIGHT)
    source = np.array([(100.0, 100.0), (300.0, 150.0), (150.0, 400.0)])
    frame = frame_about(transform_points(source, level), level)
    inside = transform_points(source, frame.from_source)
    margin = MARGIN * np.ptp(inside, axis=0).max()
    np.testing.assert_allclose(inside.min(axis=0), margin)
    np.testing.assert_allclose(frame.size - inside.max(axis=0), margin, atol=1)
    assert frame.rotation == pytest.approx(-math.degrees(math.atan2(30, 100)))


def test_a_large_face_is_reduced() -> None:
    frame = frame_about(np.array([(0.0, 0.0), (9000.0, 3000.0)]), np.eye(2, 3))
    assert max(frame.size) == MAX_SIDE
    assert transform_points(np.array([(9000.0, 0.0)]), frame.from_source)[0, 0] < MAX_SIDE


def test_photo_and_label_map_land_in_the_same_place() -> None:
    labels = np.zeros((50, 80), dtype=np.uint8)
    labels[20:40, 30:60] = 7
    pixels = cv2.resize(labels, (160, 200), interpolation=cv2.INTER_NEAREST)
    photo = Photo(np.dstack([pixels] * 3), np.eye(2, 3))
    turn = levelling(np.array((60.0, 100.0)), np.array((100.0, 110.0)))
    frame = Frame(turn, (160, 200))
    drawn, mapped = frame.of_photo(photo)[:, :, 0], frame.of_labels(covering(labels, (160, 200)))
    assert ((drawn > 3) == (mapped == 7)).mean() > 0.999


def test_a_reduced_photo_fills_the_same_frame() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    large = cv2.resize(pixels, (64, 80), interpolation=cv2.INTER_NEAREST)
    frame = Frame(np.eye(2, 3) * 0.25, (16, 20))
    reduced = frame.of_photo(Photo(pixels, np.eye(2, 3) * 0.25))
    np.testing.assert_array_equal(reduced, pixels)
    np.testing.assert_array_equal(frame.of_photo(Photo(large, np.eye(2, 3))), pixels)
