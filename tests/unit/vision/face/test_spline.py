import re

import numpy as np
import pytest

from vision.face.curves import SAMPLES, Outline, controls, flatten, path_data

ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = np.column_stack((np.cos(ANGLES), np.sin(ANGLES))) * 50 + 60
SQUARE = np.array([(10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0)])


def drawn(data: str) -> np.ndarray:
    """The knots of path data of one relative `c`, whose points all count from where their stretch begins."""
    start, steps = re.fullmatch(r"M([^c]*)c([^z]*)z", data).groups()
    first, stretches = (
        np.array([float(number) for number in re.findall(r"-?\d*\.?\d+", text)]) for text in (start, steps)
    )
    ends = stretches.reshape(-1, 3, 2)[:, 2]
    return first + np.vstack((np.zeros((1, 2)), np.cumsum(ends, axis=0)))


def test_the_curve_runs_through_its_knots() -> None:
    np.testing.assert_allclose(flatten(CIRCLE)[::SAMPLES], CIRCLE)


def test_a_curve_through_a_circle_is_round() -> None:
    radii = np.hypot(*(flatten(CIRCLE) - 60).T)
    np.testing.assert_allclose(radii, 50, atol=0.1)


def test_tangents_are_those_of_the_circle_through_uneven_knots() -> None:
    uneven = CIRCLE[[0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16, 18, 19, 21, 22]]
    for control in controls(uneven):
        np.testing.assert_allclose(((control - uneven) * (uneven - 60)).sum(axis=1), 0, atol=1e-9)


def test_a_long_straight_beside_short_steps_stays_straight() -> None:
    top = np.array(
        [(0.0, 0.0), (40.0, 0.0), (42.0, 1.0), (44.0, 2.4), (44.0, 60.0), (-4.0, 60.0), (-4.0, 2.0), (-2.0, 1.0)]
    )
    flat = flatten(top)
    assert np.abs(flat[(flat[:, 0] > 0) & (flat[:, 0] < 40) & (flat[:, 1] < 30), 1]).max() < 0.3


def test_sharp_corners_stay_sharp() -> None:
    flat = flatten(SQUARE)
    on_side = np.isclose(flat, 10).any(axis=1) | np.isclose(flat, 50).any(axis=1)
    assert on_side.all()


def test_path_data_is_closed_and_follows_the_knots() -> None:
    knots = drawn(path_data([Outline(CIRCLE)]))
    np.testing.assert_allclose(knots[:-1], CIRCLE, atol=0.051)
    np.testing.assert_allclose(knots[-1], knots[0], atol=1e-9)


def test_rings_are_subpaths() -> None:
    assert path_data([Outline(CIRCLE), Outline(SQUARE, hole=True)]).count("z") == 2


@pytest.mark.parametrize("offset", [0.0, -75.03, 1e5])
def test_numbers_are_short_and_finite(offset: float) -> None:
    data = path_data([Outline(CIRCLE + offset)])
    assert not re.search(r"nan|inf|e|\.0|-0[^.\d]|\d\.\d\d", data)


def test_repeated_knots_do_no_harm() -> None:
    assert np.isfinite(flatten(np.repeat(SQUARE, 3, axis=0))).all()
    assert np.isfinite(flatten(np.full((4, 2), 7.0))).all()
