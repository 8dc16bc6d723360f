"""What of a window is hidden, against the definitions of ellipse and box."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.privacy_blur import HEAD
from vision.arrays import Box, Float64, Size
from vision.redaction.redact import coverage
from vision.redaction.region import Region, Window
from vision.redaction.styles import Redaction, Shape, Target

SIZE: Size = (90, 70)
UPRIGHT = Shape.ELLIPSE, Shape.BOX
sides = st.floats(1, 60)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Boxes within the photo, across its border and beyond it."""
    x, y = draw(st.floats(-60, 100)), draw(st.floats(-60, 80))
    return x, y, x + draw(sides), y + draw(sides)


hidings = st.builds(
    Redaction, shape=st.sampled_from(UPRIGHT), grow=st.floats(0, 0.5), feather=st.sampled_from([0, 0.01, 0.05, 0.4])
)


def distances(box: Box, redaction: Redaction, window: Window) -> tuple[Float64, Float64]:
    """Of each pixel's centre from the centre of the box, in halves of the grown box."""
    x1, y1, x2, y2 = box
    grown = 1 + 2 * redaction.grow
    across = (np.arange(window.x1, window.x2) + 0.5 - (x1 + x2) / 2) / (grown * (x2 - x1) / 2)
    down = (np.arange(window.y1, window.y2) + 0.5 - (y1 + y2) / 2) / (grown * (y2 - y1) / 2)
    return np.abs(across)[None], np.abs(down)[:, None]


def inside(box: Box, redaction: Redaction, window: Window) -> np.ndarray:
    across, down = distances(box, redaction, window)
    if redaction.shape is Shape.BOX:
        return np.maximum(across, down) <= 1 - 1e-4
    return np.hypot(across, down) <= 1 - 1e-4


@given(boxes(), hidings)
def test_the_whole_grown_shape_is_hidden(box: Box, redaction: Redaction) -> None:
    region = Region.about(Target(box, redaction))
    window = region.window(SIZE)
    if not window.empty:
        assert (coverage(region, window)[inside(box, redaction, window)] == 255).all()


@given(boxes(), hidings)
def test_pixels_beyond_the_rim_are_unchanged(box: Box, redaction: Redaction) -> None:
    expect_nothing_beyond_the_window(Region.about(Target(box, redaction)))


def expect_nothing_beyond_the_window(region: Region) -> None:
    alpha = coverage(region, Window(0, 0, *SIZE))
    window = region.window(SIZE)
    if not window.empty:
        np.testing.assert_allclose(alpha[window.slices], coverage(region, window), atol=1)
        alpha[window.slices] = 0
    assert not alpha.any()


@given(boxes())
def test_hair_and_ears_are_hidden_whichever_way_a_face_looks(box: Box) -> None:
    """Of 46 faces the ears began within half of the box's longer side from its middle."""
    x1, y1, x2, y2 = box
    half = 0.6 * max(x2 - x1, y2 - y1)
    head = (x1 + x2) / 2 - half, (y1 + y2) / 2 - half, (x1 + x2) / 2 + half, (y1 + y2) / 2 + half
    expect_hidden(head, Region.about(Target(box, HEAD)))


@given(boxes())
def test_an_ellipse_about_a_face_covers_its_box(box: Box) -> None:
    expect_hidden(box, Region.about(Target(box, replace(HEAD, shape=Shape.ELLIPSE))))


def expect_hidden(box: Box, region: Region) -> None:
    window = Window.about((box[0] + 0.6, box[1] + 0.6, box[2] - 0.6, box[3] - 0.6), SIZE)
    if not window.empty:
        across, down = distances(box, Redaction(), window)
        assert (coverage(region, window)[np.maximum(across, down) <= 1] >= 254).all()


@pytest.mark.parametrize("shape", UPRIGHT)
def test_the_rim_falls_steadily_over_its_width(shape: Shape) -> None:
    redaction = Redaction(shape=shape, grow=0, feather=0.25)
    region = Region.about(Target((25, 15, 65, 55), redaction))
    row = coverage(region, Window(0, 0, *SIZE))[35].astype(int)
    assert region.rim == 10
    assert (row[25:65] == 255).all()
    assert (np.diff(row[15:26]) > 0).all()
    assert not row[:15].any()
    assert abs(row[20] - 127) < 45


@given(boxes(), hidings)
def test_a_window_holds_whole_pixels_of_the_photo(box: Box, redaction: Redaction) -> None:
    window = Region.about(Target(box, redaction)).window(SIZE)
    assert 0 <= window.x1 <= SIZE[0]
    assert 0 <= window.y2 <= SIZE[1]
    assert window.empty or np.zeros(SIZE[::-1])[window.slices].size == (window.x2 - window.x1) * (window.y2 - window.y1)
