import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vision.body.pose import refine


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_against_the_plain_algorithm(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.uniform(-0.2, 1.2, (39, 2))
    heatmap = random.normal(-2, 2.5, (64, 64, 39)).astype(np.float32)
    np.testing.assert_allclose(refine(points, heatmap), _slow(points, heatmap), atol=1e-6)


def _slow(points: NDArray[np.float64], heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    refined = points.copy()
    for index, (x, y) in enumerate(points):
        column, row = int(x * 64), int(y * 64)
        if not (0 <= column < 64 and 0 <= row < 64):
            continue
        total = column_sum = row_sum = peak = 0.0
        for r in range(max(0, row - 3), min(64, row + 4)):
            for c in range(max(0, column - 3), min(64, column + 4)):
                confidence = 1 / (1 + math.exp(-heatmap[r, c, index]))
                total, peak = total + confidence, max(peak, confidence)
                column_sum, row_sum = column_sum + c * confidence, row_sum + r * confidence
        if peak >= 0.5:
            refined[index] = column_sum / 64 / total, row_sum / 64 / total
    return refined


def test_a_peak_draws_the_point() -> None:
    heatmap = np.full((64, 64, 1), -60, dtype=np.float32)
    heatmap[20, 30, 0] = 5
    np.testing.assert_allclose(refine(np.array([(0.5, 0.3)]), heatmap), [(30 / 64, 20 / 64)], atol=1e-6)


def test_a_score_of_one_half_is_enough() -> None:
    heatmap = np.full((64, 64, 1), -60, dtype=np.float32)
    heatmap[20, 30, 0] = 0
    np.testing.assert_allclose(refine(np.array([(0.5, 0.3)]), heatmap), [(30 / 64, 20 / 64)], atol=1e-6)


def test_a_weak_heatmap_leaves_the_point() -> None:
    points = np.array([(0.5, 0.3)])
    np.testing.assert_array_equal(refine(points, np.full((64, 64, 1), -1, dtype=np.float32)), points)
