import numpy as np
import pytest
from numpy.typing import NDArray

from vision.ssd import FULL_ANCHORS, PERSON_ANCHORS, SHORT_ANCHORS, ssd_anchors


@pytest.mark.parametrize(
    ("anchors", "grids"),
    [
        (PERSON_ANCHORS, ((28, 2), (14, 2), (7, 6))),
        (SHORT_ANCHORS, ((16, 2), (8, 6))),
        (FULL_ANCHORS, ((48, 1),)),
    ],
)
def test_anchors_follow_a_plain_loop(anchors: NDArray[np.float32], grids: tuple[tuple[int, int], ...]) -> None:
    expected = []
    for cells, repeats in grids:
        for row in range(cells):
            for column in range(cells):
                expected += [((column + 0.5) / cells, (row + 0.5) / cells)] * repeats
    np.testing.assert_allclose(anchors, expected, atol=1e-6)


def test_a_side_that_no_stride_divides_rounds_up() -> None:
    assert len(ssd_anchors(100, (16,), per_cell=1)) == 49
