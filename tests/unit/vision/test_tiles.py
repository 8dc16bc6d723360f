import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.tiles import BORDER, OVERLAP, Tile, View, grid, windows_about

SIDES = st.integers(16, 9000)
SIZES = st.tuples(SIDES, SIDES)
QUARTERS = st.integers(0, 3)


@given(
    size=SIZES,
    scale=st.floats(0.02, 1),
    most=st.sampled_from([(768, 768), (512, 512)]),
    multiple=st.sampled_from([32, None]),
)
def test_tiles_cover_the_photo_and_an_object_no_larger_than_the_overlap_lies_whole_in_one(
    size: tuple[int, int], scale: float, most: tuple[int, int], multiple: int | None
) -> None:
    tiles = grid(size, scale, most, multiple)
    assert len({tile.input for tile in tiles}) == 1
    assert max(tiles[0].input) <= max(most)
    for axis in (0, 1):
        spans = sorted({(tile.origin[axis], tile.origin[axis] + tile.window[axis]) for tile in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] >= size[axis]
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert end - start >= OVERLAP / scale * 0.97 - 2


@given(size=SIZES, scale=st.sampled_from([1.0, 0.5]), seed=st.integers(0, 99), count=st.integers(0, 30))
def test_every_centre_lies_near_the_middle_of_a_window(
    size: tuple[int, int], scale: float, seed: int, count: int
) -> None:
    centers = np.random.default_rng(seed).uniform((0, 0), size, (count, 2))
    windows = list(windows_about(centers, scale, 128, 0.25, size))
    assert len(windows) <= count
    for x, y in centers:
        inside = [
            tile
            for tile in windows
            if tile.left <= x <= tile.left + tile.width and tile.top <= y <= tile.top + tile.height
        ]
        assert inside


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_view_is_the_photo_turned_clockwise(quarters: int) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    view = View(photo, quarters)
    turned = np.rot90(photo, -quarters)
    assert view.size == turned.shape[1::-1]
    np.testing.assert_array_equal(view.draw(Tile.whole(view.size, view.size)), turned)
    np.testing.assert_array_equal(view.draw(Tile(10, 5, 20, 24, (20, 24))), turned[5:29, 10:30])


@given(quarters=QUARTERS, size=st.tuples(st.integers(2, 50), st.integers(2, 50)), data=st.data())
def test_a_pixel_of_a_turned_view_is_found_where_it_is_in_the_photo(
    quarters: int, size: tuple[int, int], data: st.DataObject
) -> None:
    photo = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    photo[y, x] = 255
    (row, column, _), *_ = np.argwhere(np.rot90(photo, -quarters) == 255)
    box = np.array([[column, row, column + 1, row + 1]], np.float32)
    np.testing.assert_array_equal(View(photo, quarters).boxes_to_source(box), [[x, y, x + 1, y + 1]])


def test_a_window_that_leaves_the_photo_is_grey_outside() -> None:
    view = View(np.full((10, 10, 3), 200, np.uint8))
    drawn = view.draw(Tile(-5, -2, 20, 20, (20, 20)))
    assert (drawn[2:12, 5:15] == 200).all()
    assert (drawn == BORDER).all(axis=2).sum() == 400 - 100


def test_shrinking_takes_means_so_that_noise_makes_no_texture() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    drawn = View(noise).draw(Tile.whole((400, 400), (50, 50)))
    np.testing.assert_allclose(drawn, cv2.resize(noise, (50, 50), interpolation=cv2.INTER_AREA))
    assert drawn.std() < 20


@settings(max_examples=30)
@given(left=st.integers(0, 60), top=st.integers(0, 60), size=st.just((100, 100)))
def test_boxes_are_cut_at_seams_and_not_at_the_photos_own_edges(left: int, top: int, size: tuple[int, int]) -> None:
    tile = Tile(left, top, 40, 40, (40, 40))
    edge = np.array([[left, top, left + 10, top + 10], [left + 10, top + 10, left + 30, top + 30]], np.float32)
    assert tile.cuts(edge, size).tolist() == [left > 0 or top > 0, False]
