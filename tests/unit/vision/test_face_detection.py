from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from vision.ssd import FULL_ANCHORS, SHORT_ANCHORS, Detection, decode_full_range, decode_short_range

Decode = Callable[..., list[Detection]]

POINTS = [(-6, -4), (6, -4), (0, 2), (0, 7), (-12, 0), (12, 0)]
DETECTORS = [(decode_short_range, SHORT_ANCHORS, 128), (decode_full_range, FULL_ANCHORS, 192)]


def raw(count: int, index: int, logit: float, offsets: Sequence[float]) -> tuple[NDArray[np.float32], ...]:
    boxes, scores = np.zeros((count, 16), dtype=np.float32), np.full((count, 1), -50, dtype=np.float32)
    boxes[index], scores[index] = offsets, logit
    return boxes, scores


@pytest.mark.parametrize(("decode", "anchors", "side"), DETECTORS)
def test_a_face_comes_back_in_source_pixels(decode: Decode, anchors: NDArray[np.float32], side: int) -> None:
    anchor = anchors[700] * side
    boxes, scores = raw(len(anchors), 700, 2.0, [4, -6, 20, 40, *np.ravel(POINTS)])
    (found,) = decode(boxes, scores, (side * 4, side * 2))  # the photo fills the middle half of the input
    x, y = (anchor + np.array((4, -6))).tolist()
    margin = side / 4
    np.testing.assert_allclose(found.box, np.array([x - 10, y - 20 - margin, x + 10, y + 20 - margin]) * 4, atol=1e-3)
    np.testing.assert_allclose(found.keypoints, (anchor + POINTS - (0, margin)) * 4, atol=1e-3)
    assert found.score == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize(("decode", "anchors", "side"), DETECTORS)
@pytest.mark.parametrize(("logit", "count"), [(-0.01, 0), (0.0, 1), (1e9, 1), (np.nan, 0)])
def test_the_score_threshold(decode: Decode, anchors: NDArray[np.float32], side: int, logit: float, count: int) -> None:
    boxes, scores = raw(len(anchors), 5, logit, [0, 0, 9, 9] + [0] * 12)
    assert len(decode(boxes, scores, (side, side))) == count


def test_nothing_is_found_in_empty_tensors() -> None:
    assert decode_short_range(np.zeros((896, 16)), np.full((896, 1), -9.0), (640, 480)) == []
