import numpy as np
import pytest
from numpy.typing import NDArray

from vision.body.mask_types import Atr
from vision.body.masks import draw_arms


@pytest.fixture
def keypoints() -> NDArray[np.float64]:
    """A right arm straight down at x = 100; no left arm."""
    rows = np.zeros((18, 3))
    rows[[2, 3, 4]] = (100, 100, 1), (100, 200, 1), (100, 300, 1)
    return rows


def test_an_arm_is_a_band_with_a_disc_at_the_shoulder(keypoints: NDArray[np.float64]) -> None:
    arms, hands = draw_arms(np.zeros((512, 384), dtype=np.uint8), keypoints)
    rows, columns = np.nonzero(arms)
    assert columns.min() == pytest.approx(70, abs=1)
    assert columns.max() == pytest.approx(130, abs=1)
    assert rows.min() == pytest.approx(70, abs=1)  # the disc above the shoulder
    assert rows.max() == pytest.approx(320, abs=1)  # the wrist, 1.2 times as far from the elbow, cut straight
    assert arms[320 - 2, 72]
    assert not arms[72, 75]
    assert not hands.any()


def test_labelled_arm_pixels_outside_the_drawing_are_the_hand(keypoints: NDArray[np.float64]) -> None:
    label_map = np.zeros((512, 384), dtype=np.uint8)
    label_map[250:360, 90:110] = Atr.RIGHT_ARM
    arms, hands = draw_arms(label_map, keypoints)
    assert hands[340, 100]
    assert not hands[300, 100]
    assert not (arms & hands).any()


@pytest.mark.parametrize("joint", [2, 3, 4])
def test_a_missing_joint_takes_the_labelled_arm(keypoints: NDArray[np.float64], joint: int) -> None:
    keypoints[joint, 2] = 0
    label_map = np.zeros((512, 384), dtype=np.uint8)
    label_map[250:360, 90:110] = Atr.RIGHT_ARM
    label_map[50:60, 300:310] = Atr.LEFT_ARM
    arms, hands = draw_arms(label_map, keypoints)
    np.testing.assert_array_equal(arms > 0, label_map > 0)
    assert not hands.any()


def test_joints_far_away_or_in_one_place_do_not_fail(keypoints: NDArray[np.float64]) -> None:
    keypoints[4, :2] = 1e12, -1e12
    keypoints[[5, 6, 7]] = 200, 200, 1
    assert draw_arms(np.zeros((512, 384), dtype=np.uint8), keypoints)[0].any()
