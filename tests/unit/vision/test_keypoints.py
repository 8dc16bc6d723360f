import numpy as np
import pytest

from vision.affine import scale_and_shift
from vision.body.label_map_limbs import Landmark
from vision.body.pose import KEYPOINT_NAMES, Pose, coco_keypoints, keypoints_in, transform_keypoints

SIZE = (256, 256)


@pytest.mark.parametrize("name", [name for name in KEYPOINT_NAMES if name != "neck"])
def test_every_joint_is_the_landmark_of_its_name(pose: Pose, name: str) -> None:
    keypoints = coco_keypoints(pose, SIZE)
    expected = pose.landmarks[Landmark[name.upper()], :2]
    np.testing.assert_array_equal(keypoints[KEYPOINT_NAMES.index(name)], [*expected, 1])


def test_the_neck_is_between_the_shoulders_and_as_sure_as_the_less_sure(pose: Pose) -> None:
    pose.landmarks[Landmark.LEFT_SHOULDER, 3:] = 0.8, 0.5
    np.testing.assert_allclose(coco_keypoints(pose, SIZE)[1], [128, 75, 0.4])


@pytest.mark.parametrize(("x", "found"), [(-20, True), (-30, False), (280, True), (290, False)])
def test_a_joint_far_outside_the_photo_is_not_found(pose: Pose, x: float, *, found: bool) -> None:
    pose.landmarks[Landmark.NOSE, 0] = x
    assert (coco_keypoints(pose, SIZE)[0, 2] > 0) is np.bool_(found)


def test_a_faint_joint_is_not_found(pose: Pose) -> None:
    pose.landmarks[Landmark.NOSE, 3:] = 0.3, 0.3
    assert coco_keypoints(pose, SIZE)[0, 2] == 0


def test_transform_moves_the_place_and_keeps_the_score() -> None:
    moved = transform_keypoints(np.array([(1.0, 2.0, 0.3)]), scale_and_shift(2, 10, 20))
    np.testing.assert_allclose(moved, [(12, 24, 0.3)])


def person(x: float, y: float, *, found: bool = True) -> np.ndarray:
    """Joints in 40×90 pixels from (x, y) on."""
    places = np.column_stack((np.linspace(x, x + 40, 18), np.linspace(y, y + 90, 18)))
    return np.column_stack((places, np.full(18, 0.8 if found else 0)))


def test_the_key_points_of_a_box_are_those_of_the_person_who_fills_it_best() -> None:
    people = [person(0, 0), person(70, 10), person(100, 10), person(95, 5, found=False)]
    people[2][0, :2], people[2][0, 2] = 0, 0  # a joint that was not found widens nothing
    np.testing.assert_array_equal(keypoints_in((95, 5, 145, 105), people), people[2])


def test_without_anybody_in_the_box_no_joint_is_found() -> None:
    for people in ([], [person(0, 0)], [person(95, 5, found=False)]):
        np.testing.assert_array_equal(keypoints_in((95, 5, 145, 105), people), np.zeros((18, 3)))
