import numpy as np
import pytest

from vision.affine import transform_points
from vision.body.label_map import atr_label_map
from vision.body.label_map_limbs import Landmark
from vision.body.mask_types import Atr
from vision.body.pose import Pose, person_mask
from vision.body.silhouette import WORK_SIZE, Canvas, canvas_about

SIZE = (256, 256)

EXPECTED = [
    (Landmark.NOSE, Landmark.NOSE, Atr.FACE),
    (Landmark.LEFT_SHOULDER, Landmark.RIGHT_HIP, Atr.UPPER_CLOTHES),
    (Landmark.LEFT_ELBOW, Landmark.LEFT_WRIST, Atr.LEFT_ARM),
    (Landmark.RIGHT_ELBOW, Landmark.RIGHT_WRIST, Atr.RIGHT_ARM),
    (Landmark.LEFT_INDEX, Landmark.LEFT_PINKY, Atr.LEFT_ARM),
    (Landmark.LEFT_HIP, Landmark.LEFT_KNEE, Atr.PANTS),
    (Landmark.RIGHT_KNEE, Landmark.RIGHT_ANKLE, Atr.PANTS),
    (Landmark.LEFT_TOE, Landmark.LEFT_TOE, Atr.LEFT_SHOE),
    (Landmark.RIGHT_TOE, Landmark.RIGHT_TOE, Atr.RIGHT_SHOE),
]


def canvas_of(pose: Pose) -> Canvas:
    return canvas_about(pose.box, SIZE)


def label_at(pose: Pose, x: float, y: float) -> int:
    canvas = canvas_of(pose)
    ((column, row),) = transform_points(np.array([(x, y)]), canvas.to_work).astype(int)
    return int(atr_label_map(pose, canvas, SIZE)[row, column])


@pytest.mark.parametrize(("start", "end", "label"), EXPECTED)
def test_limbs_have_their_labels(pose: Pose, start: Landmark, end: Landmark, label: Atr) -> None:
    x, y = pose.landmarks[[start, end], :2].mean(axis=0)
    assert label_at(pose, x, y) == label


@pytest.mark.parametrize(("y", "label"), [(18, Atr.HAIR), (66, Atr.NECK), (80, Atr.UPPER_CLOTHES)])
def test_the_midline_from_the_crown_down(pose: Pose, y: float, label: Atr) -> None:
    assert label_at(pose, 128, y) == label


def test_the_person_and_nothing_else_is_labelled(pose: Pose) -> None:
    canvas = canvas_of(pose)
    label_map = atr_label_map(pose, canvas, SIZE)
    assert label_map.shape == (512, 384)
    assert label_map.dtype == np.uint8
    np.testing.assert_array_equal(label_map > 0, person_mask(pose, canvas.to_work, WORK_SIZE) > 0)


def test_nothing_outside_the_photo_is_labelled(pose: Pose) -> None:
    canvas = canvas_of(pose)
    label_map = atr_label_map(pose, canvas, (256, 120))
    rows = np.flatnonzero(label_map.any(axis=1))
    ((_, bottom),) = transform_points(np.array([(0.0, 120.0)]), canvas.to_work)
    assert rows[-1] == round(bottom) - 1


def test_hidden_hips_have_no_trousers(pose: Pose) -> None:
    pose.landmarks[[Landmark.LEFT_HIP, Landmark.RIGHT_HIP], 3] = 0.1
    labels = set(np.unique(atr_label_map(pose, canvas_of(pose), SIZE)))
    assert not labels & {Atr.PANTS, Atr.LEFT_SHOE, Atr.RIGHT_SHOE}
    assert {Atr.UPPER_CLOTHES, Atr.LEFT_ARM, Atr.FACE} <= labels


def test_a_head_seen_from_behind_has_no_face(pose: Pose) -> None:
    pose.landmarks[[Landmark.LEFT_EAR, Landmark.RIGHT_EAR]] = pose.landmarks[[Landmark.RIGHT_EAR, Landmark.LEFT_EAR]]
    assert Atr.FACE not in np.unique(atr_label_map(pose, canvas_of(pose), SIZE))


def test_an_arm_before_the_torso_shows(pose: Pose) -> None:
    pose.landmarks[Landmark.LEFT_WRIST, :2] = 118, 110
    assert label_at(pose, 145, 108) == Atr.LEFT_ARM


def test_a_collapsed_pose_does_not_fail(pose: Pose) -> None:
    pose.landmarks[:, :3] = 100
    assert atr_label_map(pose, canvas_of(pose), SIZE).any()
