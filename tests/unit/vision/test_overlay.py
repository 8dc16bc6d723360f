import numpy as np

from vision.body.mask_types import MaskType
from vision.body.overlay import MASK_COLORS, PersonLayer, draw_overlay

PIXELS = np.full((120, 90, 3), 100, dtype=np.uint8)
NOBODY = np.zeros((18, 3))


def test_every_mask_type_has_its_own_color() -> None:
    assert set(MASK_COLORS) == set(MaskType)
    assert len(set(MASK_COLORS.values())) == len(MaskType)


def test_a_mask_tints_only_its_inside_and_its_edge() -> None:
    mask = np.zeros((120, 90), dtype=np.uint8)
    mask[20:60, 20:60] = 255
    drawn = draw_overlay(PIXELS, [PersonLayer([(MaskType.DRESS, mask)], NOBODY)])
    np.testing.assert_allclose(drawn[40, 40], 0.6 * 100 + 0.4 * np.array(MASK_COLORS[MaskType.DRESS]), atol=1)
    changed = np.argwhere((drawn != PIXELS).any(axis=2))
    assert changed.min() >= 18
    assert changed.max() <= 61


def test_found_joints_are_drawn_and_others_are_not() -> None:
    keypoints = NOBODY.copy()
    keypoints[2] = 30, 30, 0.9
    keypoints[3] = 60, 90, 0.0
    drawn = draw_overlay(PIXELS, [PersonLayer([], keypoints)])
    assert (drawn[30, 30] != PIXELS[30, 30]).any()
    np.testing.assert_array_equal(drawn[60:], PIXELS[60:])


def test_the_photo_is_left_alone_and_empty_masks_are_fine() -> None:
    before = PIXELS.copy()
    keypoints = np.full((18, 3), 1e9)
    nothing = (MaskType.DRESS, np.zeros((120, 90), dtype=np.uint8))
    drawn = draw_overlay(PIXELS, [PersonLayer([nothing], keypoints)])
    np.testing.assert_array_equal(PIXELS, before)
    assert drawn.shape == PIXELS.shape
