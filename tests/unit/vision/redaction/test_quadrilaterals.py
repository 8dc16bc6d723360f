"""The four corners of a plate: what of a window is hidden, against their hull, and what is where they are none."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.vision.redaction.test_coverage import SIZE, boxes, expect_nothing_beyond_the_window
from vision.arrays import Box, Corners
from vision.redaction.redact import coverage, redact
from vision.redaction.region import Region, Window
from vision.redaction.styles import Redaction, Shape, Style, Target

BOX: Box = (20, 20, 70, 45)
ASKEW: Corners = ((22, 30), (66, 20), (69, 35), (24, 44))
"""In BOX."""
WHOLE = Window(0, 0, *SIZE)
places = st.tuples(st.floats(-40, 130), st.floats(-40, 110))
quadrilaterals = st.tuples(places, places, places, places)
hidings = st.builds(
    Redaction, shape=st.just(Shape.QUADRILATERAL), grow=st.floats(0, 0.5), feather=st.sampled_from([0, 0.05, 0.4])
)


def region(corners: Corners | None, box: Box = BOX, grow: float = 0.0, feather: float = 0.0) -> Region:
    return Region.about(Target(box, Redaction(shape=Shape.QUADRILATERAL, grow=grow, feather=feather), corners))


def in_hull(corners: Corners) -> np.ndarray:
    """H×W: the pixels whose middles lie in a triangle of three of the corners; those triangles are the hull."""
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    covered = np.zeros(SIZE[::-1], bool)
    for triangle in itertools.combinations(corners, 3):
        sides = [
            (x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)
            for (x1, y1), (x2, y2) in zip(triangle, (*triangle[1:], triangle[0]), strict=True)
        ]
        covered |= (np.min(sides, axis=0) > 1e-6) | (np.max(sides, axis=0) < -1e-6)
    return covered


@given(boxes(), quadrilaterals, hidings)
@example(BOX, ((20, 20), (70, 45), (70, 20), (20, 45)), Redaction(shape=Shape.QUADRILATERAL, grow=0))
@example(BOX, ((20, 20), (45, 32), (70, 45), (57, 38)), Redaction(shape=Shape.QUADRILATERAL, grow=0))
def test_never_less_is_hidden_than_the_hull_of_the_corners(box: Box, corners: Corners, redaction: Redaction) -> None:
    alpha = coverage(Region.about(Target(box, redaction, corners)), WHOLE)
    assert (alpha[in_hull(corners)] == 255).all()


@given(boxes(), quadrilaterals, hidings)
def test_pixels_beyond_the_rim_of_a_quadrilateral_are_unchanged(
    box: Box, corners: Corners, redaction: Redaction
) -> None:
    expect_nothing_beyond_the_window(Region.about(Target(box, redaction, corners)))


@given(st.permutations(ASKEW))
def test_the_order_of_the_corners_does_not_matter(corners: list[tuple[float, float]]) -> None:
    np.testing.assert_allclose(coverage(region(tuple(corners)), WHOLE), coverage(region(ASKEW), WHOLE), atol=1)


def test_the_box_corners_of_an_askew_plate_stay_visible() -> None:
    alpha = coverage(region(ASKEW), WHOLE)
    assert (alpha[[21, 43], [21, 68]] == 0).all()
    assert (alpha > 0).sum() < 1.3 * in_hull(ASKEW).sum()


def test_it_grows_about_its_middle_by_a_share_of_its_sides() -> None:
    alpha = coverage(region(((20, 20), (60, 20), (60, 40), (20, 40)), grow=0.25), WHOLE)
    rows, columns = np.nonzero(alpha == 255)
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (10, 70, 15, 45)


def test_its_rim_falls_steadily_over_its_width() -> None:
    alpha = coverage(region(((20, 30), (45, 5), (70, 30), (45, 55)), feather=0.2), WHOLE).astype(int)
    outward = np.diagonal(alpha, offset=0)[32:]  # from its lower right side, one pixel of the diagonal is √2 away
    falling = outward[(outward > 0) & (outward < 255)]
    assert (np.diff(falling) < 0).all()
    assert len(falling) == pytest.approx(10 / 2**0.5, abs=2)


OUTSIDE = float("nan"), float("inf"), -float("inf"), 1e7, -1e300


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize("place", range(4))
def test_invalid_corners_are_ignored_and_the_box_is_hidden(value: float, place: int) -> None:
    corners = [*ASKEW]
    corners[place] = (value, 30.0)
    assert region(tuple(corners)) == region(None)
    assert region(None).shape is Shape.BOX


@pytest.mark.parametrize(
    "corners",
    [
        ((45, 30),) * 4,
        ((20, 20), (70, 45), (45, 32.5), (20, 20)),
        ((21, 30), (69, 30), (69, 31), (21, 31)),
        ((5, 5), (15, 5), (15, 15), (5, 15)),
    ],
    ids=["one point", "one line", "a sliver", "another place"],
)
def test_where_corners_do_not_span_the_plate_the_box_is_hidden_with_them(corners: Corners) -> None:
    alpha = coverage(region(corners), WHOLE)
    assert (alpha[20:45, 20:70] == 255).all()
    assert (alpha[in_hull(corners)] == 255).all()


def test_a_requested_shape_overrides_the_corners() -> None:
    for shape in (Shape.BOX, Shape.ELLIPSE):
        assert Region.about(Target(BOX, Redaction(shape=shape), ASKEW)) == Region.about(
            Target(BOX, Redaction(shape=shape))
        )


def test_a_plate_is_painted_over_between_its_corners_and_not_beside_them() -> None:
    before = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    after = before.copy()
    redact(after, [Target(BOX, Redaction(Style.SOLID, shape=Shape.QUADRILATERAL, grow=0, feather=0), ASKEW)])
    assert (after[in_hull(ASKEW)] == 0).all()
    changed = (before != after).any(axis=2)
    assert changed.sum() < 1.3 * in_hull(ASKEW).sum()
