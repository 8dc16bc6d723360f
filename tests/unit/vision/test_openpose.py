import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parity.environment import SHARED
from tests.unit.vision.openpose_maps import draw, drawn_crowd, slow_decoding
from vision.arrays import Float64, Size
from vision.body.heatmaps import HZZONE, OOTD, PARTS, Maps, Resizing, network_input
from vision.body.openpose import People, decode_people
from vision.body.pose import KEYPOINT_NAMES

RECORDED = SHARED.parent / "reference" / "checkpoints" / "openpose_decode"
STYLES = {"hzzone": HZZONE, "ootd": OOTD}
CANVAS: Size = (384, 512)


def assert_same(found: People, candidates: Float64, subset: Float64) -> None:
    np.testing.assert_array_equal(found.candidates[:, [0, 1, 3]], candidates[:, [0, 1, 3]])
    np.testing.assert_allclose(found.candidates[:, 2], candidates[:, 2], atol=1e-5)
    np.testing.assert_array_equal(found.subset[:, [*range(PARTS), -1]], subset[:, [*range(PARTS), -1]])
    np.testing.assert_allclose(found.subset[:, PARTS], subset[:, PARTS], atol=1e-4)


@pytest.mark.parametrize("name", ["one_hzzone", "one_ootd", "none_hzzone"])
def test_people_are_those_of_the_original_decoder(name: str) -> None:
    if not RECORDED.exists():
        pytest.skip("the recorded decodings are not on this machine")
    with np.load(RECORDED / f"{name}.npz") as case:
        heatmap, paf = (case[key].astype(np.float32).transpose(1, 2, 0) for key in ("heatmap", "paf"))
        height, width = case["image_hw"].tolist()
        candidates, subset = case["candidate"].reshape(-1, 4), case["subset"]
    assert_same(decode_people(Maps(heatmap, paf, (width, height), STYLES[name.partition("_")[2]])), candidates, subset)


@pytest.mark.parametrize("resizing", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize(("people", "size"), [(20, CANVAS), (5, (301, 203)), (1, (170, 120))])
def test_crowds_are_those_of_the_slow_decoder(people: int, size: Size, resizing: Resizing) -> None:
    maps = drawn_crowd(people, size, resizing, seed=people)
    candidates, subset = slow_decoding(*maps, size, resizing)
    assert len(subset) > people / 2
    assert_same(decode_people(Maps(*maps, size, resizing)), candidates, subset)


@pytest.mark.parametrize("resizing", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("size", [CANVAS, (200, 184), (300, 300), (181, 97)])
def test_equal_neighbours_are_peaks_where_they_are_to_the_slow_decoder(size: Size, resizing: Resizing) -> None:
    """A lone cell, two equal ones, and cells in the very middle: most have their maximum between two pixels."""
    width, height = (-(-side // 8) for side in resizing.drawn(size))
    heatmap, paf = np.zeros((height, width, 19), np.float32), np.zeros((height, width, 38), np.float32)
    for part in range(PARTS):
        heatmap[height // 2, (width // 2 + part) % width, part] = 0.8
        heatmap[(height // 2 + part) % height, width // 2, part] = 0.8
    found = decode_people(Maps(heatmap, paf, size, resizing))
    candidates, _ = slow_decoding(heatmap, paf, size, resizing)
    np.testing.assert_array_equal(found.candidates[:, :2], candidates[:, :2])


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), people=st.integers(0, 8), size=st.tuples(st.integers(60, 260), st.integers(60, 260))
)
def test_any_crowd_is_that_of_the_slow_decoder(seed: int, people: int, size: Size) -> None:
    resizing = OOTD if seed % 2 else HZZONE
    maps = drawn_crowd(people, size, resizing, seed)
    assert_same(decode_people(Maps(*maps, size, resizing)), *slow_decoding(*maps, size, resizing))


def test_keypoints_are_named_in_order_and_lie_on_pixel_centres() -> None:
    width, height = HZZONE.drawn(CANVAS)
    heatmap, paf = np.zeros((23, 18, 19), np.float32), np.zeros((23, 18, 38), np.float32)
    joints = np.column_stack((np.linspace(0.2, 0.8, 18) * width, np.linspace(0.8, 0.2, 18) * height))
    seen = np.arange(18) != KEYPOINT_NAMES.index("left_wrist")
    draw(heatmap, paf, joints, seen, np.full(18, 0.9))
    (person,) = decode_people(Maps(heatmap, paf, CANVAS, HZZONE)).keypoints()
    assert person.shape == (18, 3)
    assert not person[KEYPOINT_NAMES.index("left_wrist")].any()
    np.testing.assert_allclose(person[seen, :2], joints[seen] * 512 / height, atol=6)
    assert (person[seen, :2] % 1 == 0.5).all()


@pytest.mark.parametrize(
    ("size", "resizing", "drawn"),
    [
        (CANVAS, HZZONE, (138, 184)),
        ((640, 427), HZZONE, (276, 184)),
        ((640, 427), OOTD, (275, 184)),
        ((300, 300), OOTD, (184, 184)),
        ((4, 3000), HZZONE, (1, 184)),
    ],
)
def test_a_photo_is_drawn_184_pixels_high_and_padded_with_grey(size: Size, resizing: Resizing, drawn: Size) -> None:
    pixels = np.full((size[1], size[0], 3), 7, np.uint8)
    image = network_input(pixels, resizing)
    assert resizing.drawn(size) == drawn
    assert image.shape == (184, -(-drawn[0] // 8) * 8, 3)
    assert (image[:, : drawn[0]] == 7).all()
    assert (image[:, drawn[0] :] == 128).all()


def test_maps_of_another_photo_are_refused_with_the_cells_it_has() -> None:
    heatmap, paf = np.zeros((23, 17, 19), np.float32), np.zeros((23, 17, 38), np.float32)
    with pytest.raises(ValueError, match=r"\(23, 18\) cells"):
        decode_people(Maps(heatmap, paf, CANVAS, HZZONE))


def test_a_flat_map_shows_nobody() -> None:
    heatmap, paf = np.full((23, 18, 19), 0.5, np.float32), np.full((23, 18, 38), 0.5, np.float32)
    found = decode_people(Maps(heatmap, paf, CANVAS, HZZONE))
    assert found.candidates.shape == (0, 4)
    assert found.subset.shape == (0, 20)


def test_parts_that_lie_on_one_another_are_no_limb() -> None:
    """The first decoders divided by their distance."""
    heatmap, paf = np.zeros((23, 18, 19), np.float32), np.full((23, 18, 38), 0.9, np.float32)
    heatmap[11, 8, :18] = 1
    found = decode_people(Maps(heatmap, paf, CANVAS, HZZONE))
    assert len(found.candidates) == PARTS
    assert len(found.subset) == 0


def test_noise_takes_little_memory() -> None:
    random = np.random.default_rng(0)
    heatmap, paf = (random.uniform(-1, 1, (23, 18, count)).astype(np.float32) for count in (19, 38))
    tracemalloc.start()
    found = decode_people(Maps(heatmap, paf, CANVAS, HZZONE))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.candidates) > 18 * 80
    assert peak < 10e6
