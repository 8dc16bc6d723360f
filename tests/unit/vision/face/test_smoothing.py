import cv2
import numpy as np

from vision.face.curves import SHIFT, TOLERANCE, knots, trace


def disc(radius: int) -> np.ndarray:
    side = 2 * radius + 21
    return cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), radius, 1, cv2.FILLED)


def test_a_disc_needs_few_knots_and_stays_round() -> None:
    (outline,) = trace(disc(80), 0)
    smooth = knots(outline)
    assert len(smooth.points) < len(outline.points) / 2
    np.testing.assert_allclose(np.hypot(*(smooth.points - 90.5).T), 80.3, atol=SHIFT + TOLERANCE)


def test_corners_are_kept() -> None:
    mask = np.zeros((120, 120), dtype=np.uint8)
    mask[10:110, 10:110] = 1
    smooth = knots(trace(mask, 0)[0])
    for corner in ((10, 10), (110, 10), (110, 110), (10, 110)):
        assert np.hypot(*(smooth.points - corner).T).min() <= SHIFT + 0.5


def test_slivers_stay_as_they_are() -> None:
    mask = np.zeros((20, 120), dtype=np.uint8)
    mask[9:11, 5:110] = 1
    (outline,) = trace(mask, 0)
    assert knots(outline) is outline


def test_a_hole_stays_a_hole() -> None:
    ring = disc(80) - np.pad(disc(40), 40)
    assert sorted(knots(outline).hole for outline in trace(ring, 0)) == [False, True]
