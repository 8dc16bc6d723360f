import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vision.affine import transform_points
from vision.face.mesh import Face, decode_face, distinct, roi_of
from vision.ssd import Detection, Roi

UPRIGHT = Roi((500.0, 400.0), 384.0, 0.0)


def mesh(**rows: tuple[float, float, float]) -> NDArray[np.float32]:
    points = np.full((468, 3), 96, dtype=np.float32)
    for index, row in rows.items():
        points[int(index.removeprefix("at_"))] = row
    return points.ravel()


@given(
    right=st.tuples(st.floats(0, 900), st.floats(0, 900)),
    angle=st.floats(-math.pi, math.pi),
    between=st.floats(5, 500),
)
def test_the_eyes_are_level_in_the_crop(right: tuple[float, float], angle: float, between: float) -> None:
    left = right[0] + between * math.cos(angle), right[1] + between * math.sin(angle)
    eyes = np.array([right, left, (0, 0), (0, 0), (0, 0), (0, 0)])
    roi = roi_of(Detection((10.0, 20.0, 110.0, 100.0), 0.9, eyes))
    assert (roi.center, roi.side) == ((60.0, 60.0), 150.0)
    seen_right, seen_left = transform_points(np.array([(0.0, 50.0), (100.0, 50.0)]), roi.to_source(192))
    direction = (seen_left - seen_right) / np.linalg.norm(seen_left - seen_right)
    np.testing.assert_allclose(direction, np.array(left) / between - np.array(right) / between, atol=1e-6)


def test_landmarks_come_back_in_source_pixels() -> None:
    face = decode_face(mesh(at_3=(0, 192, -12), at_7=(144, 48, 3)), [2.0], UPRIGHT)
    assert face is not None
    assert face.score == pytest.approx(1 / (1 + math.exp(-2)))
    assert face.landmarks.shape == (468, 3)
    np.testing.assert_allclose(face.landmarks[[0, 3, 7]], [(500, 400, 192), (308, 592, -24), (596, 304, 6)])
    assert face.box == (308, 304, 596, 592)


def test_a_turned_crop_turns_its_landmarks_back() -> None:
    face = decode_face(mesh(at_0=(192, 96, 0)), [9.0], Roi((500.0, 400.0), 384.0, math.pi / 2))
    assert face is not None
    np.testing.assert_allclose(face.landmarks[0, :2], (500, 592))


@pytest.mark.parametrize(("logit", "found"), [(-0.01, False), (0.0, True), (1e9, True), (np.nan, False)])
def test_presence_decides(logit: float, *, found: bool) -> None:
    assert (decode_face(mesh(), [logit], UPRIGHT) is not None) is found


def test_a_mesh_that_is_not_finite_is_not_a_face() -> None:
    assert decode_face(mesh(at_9=(np.nan, 0, 0)), [9.0], UPRIGHT) is None


def test_the_first_mesh_of_each_face_is_kept_largest_face_first() -> None:
    def face(x: float, side: float, score: float) -> Face:
        return Face(np.zeros((468, 3)), score, (x, 0.0, x + side, side))

    small, again, large = face(0, 100, 0.6), face(20, 100, 0.9), face(300, 200, 0.7)
    assert distinct([small, again, large]) == [large, small]
    assert distinct([]) == []
