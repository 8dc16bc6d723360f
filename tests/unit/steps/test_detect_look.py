"""Large photos of squares, and a network that sees squares of 20 to 300 pixels: no smaller, no larger ones."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from steps.detector_windows import Draw, Looker
from vision.arrays import Float32
from vision.nms import ious
from vision.object_detector import ObjectDetector, Scout
from vision.tiles import Fit, View

MOST_PIXELS = 768 * 768


class Squares:
    """Finds white squares on black; what touches a border is seen as far as it is there."""

    def __init__(self, smallest: float, sure: float) -> None:
        self.smallest, self.sure = smallest, sure
        self.shown: list[tuple[int, ...]] = []

    def __call__(self, draws: Sequence[Draw]) -> Sequence[Float32]:
        return [self._shown(draw()) for draw in draws]

    def _shown(self, image: NDArray[np.uint8]) -> Float32:
        self.shown.append(image.shape)
        return self._rows(image)

    def _rows(self, image: NDArray[np.uint8]) -> Float32:
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 127).astype(np.uint8))
        rows = [(x, y, x + w, y + h, self._score(w), 0) for x, y, w, h, _ in stats[1:] if self._score(w)]
        return np.array(rows, np.float32).reshape(-1, 6)

    def _score(self, width: float) -> float:
        return 0.9 if self.sure <= width <= 300 else 0.1 if self.smallest <= width < self.sure else 0.0


def detector(scout: Scout | None) -> ObjectDetector:
    return ObjectDetector("squares", ("face",), Fit.STRETCH, (640, 480), 0.3, 32, smallest=20, scout=scout)


def scene(size: tuple[int, int], squares: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    photo = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y, side in squares:
        photo[y : y + side, x : x + side] = 255
    return photo


def seen(photo: NDArray[np.uint8], squares: Sequence[tuple[int, int, int]], quarters: int, *, scouting: bool) -> int:
    """Look, and hold what was found against what is there; returns how many tiles that took."""
    network, scout = Squares(8, 18), Squares(8, 18)
    scouted = Scout("scout", 0.05) if scouting else None
    looked = Looker(detector(scouted), network, scout if scouting else None).look(View(photo, quarters), 20, 0.2)
    expected = np.array([(x, y, x + side, y + side) for x, y, side in squares], np.float32).reshape(-1, 4)
    overlaps = ious(expected, looked.found.boxes)
    assert (overlaps.max(axis=1, initial=0) > 0.6).all(), "one was not found"
    assert len(looked.found) == len(squares), "one was found twice"
    for shape in (*network.shown, *scout.shown):
        assert np.prod(shape[:2]) <= MOST_PIXELS
    return looked.tiles


@pytest.mark.parametrize("scouting", [True, False])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from([(640, 480), (3000, 2000), (2000, 3000), (7000, 1200)]),
    quarters=st.integers(0, 3),
    seed=st.integers(0, 999),
)
def test_squares_of_every_size_and_place_are_found_once(
    scouting: bool,  # noqa: FBT001 a parameter of the test
    size: tuple[int, int],
    quarters: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    squares: list[tuple[int, int, int]] = []
    for side in (24, 26, 40, 70, 150, 400 if min(size) > 1000 else 60):
        x, y = (int(random.integers(0, length - side)) for length in size)
        if all(abs(x - a) > side + b + 20 or abs(y - c) > side + b + 20 for a, c, b in squares):
            squares.append((x, y, side))
    seen(scene(size, squares), squares, quarters, scouting=scouting)


def test_a_photo_that_fits_into_one_input_is_searched_once() -> None:
    squares = [(100, 100, 60), (500, 300, 150)]
    assert seen(scene((1024, 768), squares), squares, 0, scouting=True) == 1


def test_squares_on_seams_are_found_once() -> None:
    squares = [(x, y, 36) for x in range(300, 2600, 47) for y in (500, 690, 1000)]
    seen(scene((3000, 2000), squares), squares, 0, scouting=False)
    seen(scene((3000, 2000), squares), squares, 0, scouting=True)


def test_noise_costs_no_more_than_searching_all_tiles() -> None:
    """A scout that suspects everything: tiles over all of the photo are fewer pixels than a window about each."""
    network = Squares(1e9, 1e9)

    def suspicious(draws: Sequence[Draw]) -> Sequence[Float32]:
        x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, 700, 16.0), np.arange(0, 700, 16.0)))
        rows = np.stack((x, y, x + 14, y + 14, np.full(x.size, 0.2), np.zeros(x.size)), axis=1).astype(np.float32)
        return [rows for _ in draws]

    looker = Looker(detector(Scout("scout", 0.05)), network, suspicious)
    looker.look(View(np.zeros((2000, 3000, 3), np.uint8)), 20, 0.2)
    assert sum(np.prod(shape[:2]) for shape in network.shown) < 1.5 * 3000 * 2000


def test_larger_smallest_objects_take_fewer_tiles() -> None:
    view = View(np.zeros((3000, 4000, 3), np.uint8))
    tiles = [Looker(detector(None), Squares(8, 18), None).look(view, size, 0.2).tiles for size in (20, 40, 80, 400)]
    assert tiles == sorted(tiles, reverse=True)
    assert tiles[-1] == 1
