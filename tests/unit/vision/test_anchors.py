import numpy as np

from vision.anchors import ssd_anchors
from vision.pose_detection import ANCHORS


def test_pose_anchors_follow_a_plain_loop() -> None:
    expected = []
    for cells, repeats in ((28, 2), (14, 2), (7, 6)):
        for row in range(cells):
            for column in range(cells):
                expected += [((column + 0.5) / cells, (row + 0.5) / cells)] * repeats
    assert ANCHORS.shape == (2254, 2)
    np.testing.assert_allclose(ANCHORS, expected, atol=1e-6)


def test_a_side_that_no_stride_divides_rounds_up() -> None:
    assert len(ssd_anchors(100, (16,), per_cell=1)) == 49
