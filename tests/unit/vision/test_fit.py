import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.affine import invert, transform_points
from vision.object_detector import ObjectDetector
from vision.tiles import BORDER, Fit, View, fit_affine, size_within

SIDES = st.integers(1, 4000)


def drawn_whole(photo: np.ndarray, target: tuple[int, int], fit: Fit) -> np.ndarray:
    """A whole photo in a detector's input."""
    detector, view = ObjectDetector("any", (), fit, target, 0.5), View(photo)
    return detector.draw(view, detector.whole(view.size))


SIZES = st.tuples(SIDES, SIDES)
TARGETS = st.tuples(st.integers(8, 640), st.integers(8, 640))


@given(size=SIZES, target=TARGETS, fit=st.sampled_from(Fit))
def test_the_photo_lies_within_the_input_and_the_way_back_leads_back(
    size: tuple[int, int], target: tuple[int, int], fit: Fit
) -> None:
    affine = fit_affine(size, target, fit)
    corners = np.array([(0.0, 0.0), size])
    placed = transform_points(corners, affine)
    assert (placed >= 0).all()
    assert (placed <= np.array(target) + 1e-9).all()
    assert np.abs(placed[1] - placed[0] - target).min() <= 0.5 + 1e-9
    np.testing.assert_allclose(transform_points(placed, invert(affine)), corners, atol=1e-6)


@pytest.mark.parametrize(
    ("fit", "corners"),
    [
        (Fit.LETTERBOX, [(0, 8), (32, 24)]),
        (Fit.CORNER, [(0, 0), (32, 16)]),
        (Fit.STRETCH, [(0, 0), (32, 32)]),
    ],
)
def test_where_a_wide_photo_lies(fit: Fit, corners: list[tuple[int, int]]) -> None:
    photo = np.full((10, 20, 3), 200, np.uint8)
    boxed = drawn_whole(photo, (32, 32), fit)
    (left, top), (right, bottom) = corners
    assert (boxed[top:bottom, left:right] == 200).all()
    outside = np.ones((32, 32), bool)
    outside[top:bottom, left:right] = False
    assert (boxed[outside] == BORDER).all()
    placed = transform_points(np.array([(0.0, 0.0), (20.0, 10.0)]), fit_affine((20, 10), (32, 32), fit))
    np.testing.assert_array_equal(placed, corners)


@pytest.mark.parametrize(
    ("size", "target", "drawn"),
    [
        ((640, 426), 416, (416, 276)),
        ((426, 640), 416, (276, 416)),
        ((1023, 767), 640, (640, 479)),
        ((90, 50), 416, (415, 231)),
    ],
)
def test_in_the_corner_sides_are_cut_and_boxes_go_back_by_the_one_ratio_of_yolox(
    size: tuple[int, int], target: int, drawn: tuple[int, int]
) -> None:
    ratio = min(target / size[0], target / size[1])
    assert drawn == (int(size[0] * ratio), int(size[1] * ratio))
    boxed = drawn_whole(np.full((size[1], size[0], 3), 200, np.uint8), (target, target), Fit.CORNER)
    assert (boxed[: drawn[1], : drawn[0]] == 200).all()
    assert (boxed[drawn[1] :] == BORDER).all()
    assert (boxed[:, drawn[0] :] == BORDER).all()
    boxes = np.array([(10.0, 20.0), (200.5, 230.25)])
    back = transform_points(boxes, invert(fit_affine(size, (target, target), Fit.CORNER)))
    np.testing.assert_allclose(back, boxes / ratio)


@given(size=SIZES, target=TARGETS)
def test_the_letterbox_is_that_of_ultralytics(size: tuple[int, int], target: tuple[int, int]) -> None:
    ratio = min(target[1] / size[1], target[0] / size[0])
    inner = [max(round(side * ratio), 1) for side in size]
    left, top = (round((whole - side) / 2 - 0.1) for whole, side in zip(target, inner, strict=True))
    np.testing.assert_array_equal(fit_affine(size, target, Fit.LETTERBOX), [[ratio, 0, left], [0, ratio, top]])
    photo = np.full((size[1], size[0], 3), 200, np.uint8)
    rows, columns = (drawn_whole(photo, target, Fit.LETTERBOX) != BORDER).any(axis=2).nonzero()
    assert (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1) == (left, top, *inner)


def test_a_tall_photo_is_centred_too() -> None:
    boxed = drawn_whole(np.full((20, 10, 3), 200, np.uint8), (32, 32), Fit.LETTERBOX)
    assert (boxed[:, 8:24] == 200).all()
    assert (boxed[:, :8] == BORDER).all()


def test_a_smaller_photo_lands_where_the_large_one_does() -> None:
    x, y = np.meshgrid(np.arange(64.0), np.arange(48.0))
    full = np.dstack((4 * x, 5 * y, x + y)).astype(np.uint8)
    halved = full.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    one, other = (drawn_whole(pixels, (16, 16), Fit.LETTERBOX) for pixels in (full, halved))
    np.testing.assert_allclose(one[3:13, 1:15].astype(int), other[3:13, 1:15].astype(int), atol=2)


@given(size=SIZES)
def test_a_size_within_bounds_keeps_the_aspect_but_for_rounding(size: tuple[int, int]) -> None:
    width, height = size_within(size, (640, 480), 32)
    assert width % 32 == height % 32 == 0
    assert min(width, height) >= 32
    assert (max(width, height), min(width, height)) <= (640, 480)
    scale = min(640 / max(size), 480 / min(size))
    assert abs(width - size[0] * scale) < 32.5 or width == 32
    assert abs(height - size[1] * scale) < 32.5 or height == 32


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 768), (640, 480)), ((768, 1024), (480, 640)), ((640, 427), (640, 448)), ((4000, 20), (640, 32))],
)
def test_sizes_of_usual_photos(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert size_within(size, (640, 480), 32) == expected
