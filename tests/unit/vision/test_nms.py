from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vision.nms import class_wise_nms, distinct, iou, weighted_nms

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Thing:
    box: tuple[float, float, float, float]


def test_iou_of_known_boxes() -> None:
    boxes = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (5, 5, 6, 6), (1, 1, 1, 1)], dtype=np.float64)
    np.testing.assert_allclose(iou(boxes[0], boxes), [1, 1 / 3, 0, 0])


def test_a_group_becomes_its_weighted_mean() -> None:
    rows = np.array([(0, 0, 10, 10, 1), (0, 0, 10, 8, 4), (50, 50, 60, 60, 9)], dtype=np.float64)
    merged, scores = weighted_nms(rows, np.array([0.6, 0.9, 0.7]), 0.3)
    np.testing.assert_allclose(merged, [(0, 0, 10, 8.8, 2.8), (50, 50, 60, 60, 9)])
    np.testing.assert_allclose(scores, [0.9, 0.7])


def test_an_empty_input_gives_an_empty_output() -> None:
    merged, scores = weighted_nms(np.empty((0, 12)), np.empty(0), 0.3)
    assert merged.shape == (0, 12)
    assert scores.size == 0


def test_the_first_of_overlapping_objects_is_kept() -> None:
    first, half = Thing((0, 0, 10, 10)), Thing((0, 0, 10, 5))
    nearly, apart = Thing((1, 0, 11, 10)), Thing((50, 0, 60, 10))
    assert distinct([first, half, nearly, apart], 0.5) == [first, half, apart]
    assert distinct([nearly, first], 0.5) == [nearly]
    assert distinct([], 0.5) == []


@given(
    st.lists(st.tuples(*[st.integers(0, 40)] * 4, st.integers(1, 10_000)), max_size=12, unique_by=lambda row: row[4])
)
def test_against_the_plain_algorithm(found: list[tuple[int, int, int, int, int]]) -> None:
    rows = np.array([(x, y, x + w + 1, y + h + 1) for x, y, w, h, _ in found], dtype=np.float64).reshape(-1, 4)
    scores = np.array([score / 10_000 for *_, score in found])
    merged, best = weighted_nms(rows, scores, 0.3)
    expected_rows, expected_scores = _slow(rows, scores)
    np.testing.assert_allclose(merged.reshape(-1, 4), expected_rows.reshape(-1, 4))
    np.testing.assert_allclose(best, expected_scores)


def _slow(rows: Rows, scores: Rows) -> tuple[Rows, list[float]]:
    remaining = sorted(range(len(rows)), key=lambda index: -scores[index])
    merged, best = [], []
    while remaining:
        first = remaining[0]
        group = [index for index in remaining if _overlap(rows[first], rows[index]) > 0.3]
        weight = sum(scores[index] for index in group)
        merged.append(sum(rows[index] * scores[index] for index in group) / weight)
        best.append(scores[first])
        remaining = [index for index in remaining if index not in group]
    return np.array(merged), best


def _overlap(a: Rows, b: Rows) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0) * max(height, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(inside / (areas - inside))


@given(
    st.lists(
        st.tuples(*[st.integers(0, 40)] * 4, st.integers(1, 10_000), st.integers(0, 2)),
        max_size=12,
        unique_by=lambda row: row[4],
    )
)
def test_class_wise_suppression_against_the_plain_algorithm(found: list[tuple[int, int, int, int, int, int]]) -> None:
    boxes = np.array([(x, y, x + w + 1, y + h + 1) for x, y, w, h, *_ in found], dtype=np.float64).reshape(-1, 4)
    scores = np.array([row[4] for row in found], np.float32)
    classes = np.array([row[5] for row in found], np.int64)
    expected: list[int] = []
    for index in sorted(range(len(found)), key=lambda index: -scores[index]):
        rivals = [other for other in expected if classes[other] == classes[index]]
        if all(_overlap(boxes[index], boxes[other]) <= 0.45 for other in rivals):
            expected.append(index)
    assert class_wise_nms(boxes, scores, classes, 0.45).tolist() == expected
