import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.unit.vision.face.raster import fill
from vision.face.curves import trace


@settings(max_examples=200, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 255])))
def test_outlines_hold_exactly_the_masks_pixels(mask: np.ndarray) -> None:
    height, width = mask.shape
    filled = fill([outline.points for outline in trace(mask, 0)], (width, height))
    np.testing.assert_array_equal(filled, mask > 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 9))
def test_outlines_of_large_shapes_hold_exactly_the_masks_pixels(seed: int, grain: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 2, (12, 12), dtype=np.uint8)
    ys, xs = np.mgrid[0:90, 0:80]
    mask = coarse[((ys + xs // 3) // grain) % 12, ((xs + ys // 5) // grain) % 12]
    np.testing.assert_array_equal(fill([outline.points for outline in trace(mask, 0)], (80, 90)), mask > 0)


def test_holes_are_rings_of_their_own() -> None:
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[5:35, 5:35] = 1
    mask[10:20, 10:20] = 0
    mask[13:17, 13:17] = 1
    outlines = trace(mask, 0)
    assert sorted((outline.hole, round(np.ptp(outline.points[:, 0]))) for outline in outlines) == [
        (False, 4),
        (False, 30),
        (True, 10),
    ]


def test_small_pieces_and_small_holes_are_left_out() -> None:
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[5:35, 5:35] = 1
    mask[20, 20] = 0
    mask[0, 0] = 1
    (outline,) = trace(mask, 2)
    np.testing.assert_allclose(outline.points.min(axis=0), 5)
    np.testing.assert_allclose(outline.points.max(axis=0), 35)


def test_a_diagonal_is_one_region() -> None:
    assert len(trace(np.eye(9, dtype=np.uint8), 0)) == 1


def test_an_empty_mask_has_no_outline() -> None:
    assert trace(np.zeros((4, 5), dtype=np.uint8), 0) == []
