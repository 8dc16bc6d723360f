from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from vision.ssd import PERSON_ANCHORS, decode_pose_detections


def raw(index: int, logit: float, offsets: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    boxes, scores = np.zeros((2254, 12), dtype=np.float32), np.full((2254, 1), -50, dtype=np.float32)
    boxes[index], scores[index] = offsets, logit
    return boxes, scores


def test_a_detection_comes_back_in_source_pixels() -> None:
    anchor = PERSON_ANCHORS[1000] * 224
    boxes, scores = raw(1000, 2.0, [4, -6, 20, 40, 1, 2, 3, 4, 5, 6, 7, 8])
    (found,) = decode_pose_detections(boxes, scores, (448, 224))
    x, y = anchor + np.array((4, -6))
    np.testing.assert_allclose(found.box, np.array([x - 10, y - 20 - 56, x + 10, y + 20 - 56]) * 2, atol=1e-3)
    expected = (anchor + np.array([(1, 2), (3, 4), (5, 6), (7, 8)]) - (0, 56)) * 2
    np.testing.assert_allclose(found.keypoints, expected, atol=1e-3)
    assert found.score == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize(("logit", "count"), [(-0.42, 0), (-0.39, 1), (0.0, 1), (1e9, 1), (np.nan, 0)])
def test_the_score_threshold(logit: float, count: int) -> None:
    assert len(decode_pose_detections(*raw(5, logit, [0, 0, 9, 9] + [0] * 8), (224, 224))) == count


@pytest.mark.parametrize(("logit", "count"), [(-0.01, 1), (0.0, 2)])
def test_a_weak_candidate_is_used_only_without_a_better_one(logit: float, count: int) -> None:
    boxes, scores = raw(0, 1.0, [0, 0, 9, 9] + [0] * 8)
    boxes[2000], scores[2000] = boxes[0], logit
    assert len(decode_pose_detections(boxes, scores, (224, 224))) == count


@pytest.mark.parametrize("offsets", [[0, 0, -9, 9], [0, 0, 9, np.inf], [np.nan, 0, 9, 9]])
def test_impossible_boxes_are_dropped(offsets: list[float]) -> None:
    assert decode_pose_detections(*raw(5, 3.0, offsets + [0] * 8), (224, 224)) == []


def test_the_best_comes_first() -> None:
    boxes, scores = raw(0, 1.0, [0, 0, 9, 9] + [0] * 8)
    boxes[2000], scores[2000] = boxes[0], 2.0
    found = decode_pose_detections(boxes, scores, (224, 224))
    assert [round(detection.score, 3) for detection in found] == [0.881, 0.731]
