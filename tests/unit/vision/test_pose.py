from dataclasses import replace

import numpy as np
import pytest

from vision.affine import scale_and_shift
from vision.body.pose import Pose, decode_pose, distinct, person_mask
from vision.ssd import Roi

UPRIGHT = Roi((500.0, 400.0), 512.0, 0.0)
FAINT = np.full((64, 64, 39), -9, dtype=np.float32)


def test_landmarks_and_mask_come_back_in_source_pixels() -> None:
    raw = np.zeros((39, 5), dtype=np.float32)
    raw[0] = 64, 128, 10, 0, 2
    mask = np.full((256, 256, 1), -9, dtype=np.float32)
    mask[100:120, 50:70] = 9
    pose = decode_pose(raw.ravel(), [0.8], mask, FAINT, UPRIGHT)
    assert pose is not None
    assert pose.score == pytest.approx(0.8)
    assert pose.landmarks.shape == (33, 5)
    np.testing.assert_allclose(pose.landmarks[0], [372, 400, 20, 0.5, 1 / (1 + np.exp(-2))])
    np.testing.assert_allclose(pose.box, (344.5, 344.5, 382.5, 382.5))


@pytest.mark.parametrize(("presence", "found"), [(0.49, False), (0.5, True), (np.nan, False)])
def test_presence_decides(presence: float, *, found: bool) -> None:
    pose = decode_pose(np.zeros(195), [presence], np.zeros((256, 256)), FAINT, UPRIGHT)
    assert (pose is not None) is found


def test_specks_do_not_widen_the_box() -> None:
    mask = np.full((256, 256), -9, dtype=np.float32)
    mask[100:150, 100:150] = mask[5:9, 5:9] = 9
    pose = decode_pose(np.zeros(195), [1], mask, FAINT, UPRIGHT)
    assert pose is not None
    assert pose.box == (444.5, 344.5, 542.5, 442.5)


def test_an_empty_mask_is_bounded_by_the_landmarks() -> None:
    raw = np.tile(np.array([(128.0, 128, 0, 0, 0)]), (39, 1))
    raw[5, :2] = 0, 10
    pose = decode_pose(raw, [1], np.full((256, 256), -9), FAINT, UPRIGHT)
    assert pose is not None
    assert pose.box == (244, 164, 500, 400)


def test_the_mask_lands_in_any_frame(pose: Pose) -> None:
    drawn = person_mask(pose, scale_and_shift(2.0, 10.0, 0.0), (530, 512))
    expected = np.zeros((512, 530), dtype=np.uint8)
    expected[20:500, 110:422] = 255
    np.testing.assert_array_equal(drawn, expected)


def test_mask_pixels_lie_at_their_indices(pose: Pose) -> None:
    coarse = replace(pose, roi=Roi((512.0, 512.0), 1024.0, 0.0))  # mask pixel i is source pixel 4i
    rows = np.flatnonzero(person_mask(coarse, np.eye(2, 3), (1024, 1024))[:, 500])
    assert abs(rows[0] - 38) <= 1
    assert abs(rows[-1] - 998) <= 1


def test_duplicates_are_dropped_and_the_largest_comes_first(pose: Pose) -> None:
    double = replace(pose, score=0.8, box=(52.0, 10.0, 206.0, 250.0))
    larger = replace(pose, score=0.6, box=(300.0, 0.0, 700.0, 700.0))
    assert distinct([double, pose, larger]) == [larger, pose]
    assert distinct([]) == []
