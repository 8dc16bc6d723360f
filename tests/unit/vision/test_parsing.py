import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.parity.environment import SHARED
from vision.arrays import Box, LabelMap, Size
from vision.body.mask_types import Atr, MaskType
from vision.body.masks import garment_masks
from vision.body.parsing import (
    ATR,
    LABELS_OF,
    LARGE_HOLE,
    LIP,
    PASCAL,
    atr_labels,
    label_map,
    parser_input,
    window_about,
    with_neck,
    without_holes,
)

RECORDED = SHARED.parent / "reference" / "checkpoints" / "schp_pascal"
NOBODY = np.zeros((18, 3))
LIP_NAMES = (
    "background", "hat", "hair", "glove", "sunglasses", "upper_clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left_arm", "right_arm", "left_leg", "right_leg", "left_shoe", "right_shoe",
)  # fmt: skip


def test_labels_in_the_photo_are_those_of_the_original() -> None:
    if not RECORDED.exists():
        pytest.skip("the recorded outputs of SCHP are not on this machine")
    logits, expected = (np.load(RECORDED / f"output_{name}.npy") for name in ("fusion", "argmax_image"))
    height, width = expected.shape
    labels = label_map(logits[0], window_about((0, 0, width, height), 512), (width, height))
    assert (labels == expected).mean() >= 0.999


@pytest.mark.parametrize("side", [473, 512])
@pytest.mark.parametrize("size", [(384, 512), (640, 427), (1, 1), (5, 700)])
def test_a_photo_fills_the_input_in_its_middle_on_black(size: Size, side: int) -> None:
    pixels = np.full((size[1], size[0], 3), 200, np.uint8)
    drawn = parser_input(pixels, window_about((0, 0, *size), side))
    rows, columns = (np.flatnonzero(drawn.max(axis=(axis, 2)) > 100) for axis in (1, 0))
    covered = np.array(((len(columns) - 1) or 1, (len(rows) - 1) or 1)) / (side - 1)
    expected = np.maximum(np.array(size) - 1, 1e-9) / max(max(size) - 1, 1)
    np.testing.assert_allclose(covered, expected, atol=0.01 if max(size) > 1 else 1)
    assert abs(rows[0] + rows[-1] - (side - 1)) <= 1
    assert abs(columns[0] + columns[-1] - (side - 1)) <= 1


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(20, 300),
    height=st.integers(20, 300),
    shares=st.tuples(*[st.floats(0, 0.4)] * 2, *[st.floats(0.6, 1)] * 2),
    side=st.sampled_from((473, 512)),
)
def test_labels_lead_back_to_where_the_photo_shows_them(
    width: int, height: int, shares: tuple[float, ...], side: int
) -> None:
    """A photo of two halves is drawn into the input, its own colours are the logits, and the labels are the halves."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0], pixels[:, width // 2 :, 1] = 200, 200
    box: Box = (shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height)
    window = window_about(box, side)
    seen = cv2.resize(parser_input(pixels, window), (side // 4 + 1,) * 2, interpolation=cv2.INTER_AREA)
    logits = np.stack((np.full(seen.shape[:2], 20), *np.moveaxis(seen[..., :2], 2, 0))).astype(np.float32)
    labels = label_map(logits, window, (width, height))
    x1, y1, x2, y2 = (round(value) for value in box)
    margin = 3 + round(8 * window.extent / side)
    inside = labels[y1 + margin : y2 - margin, x1 + margin : x2 - margin]
    expected = np.where(np.arange(width) < width // 2, 1, 2)[x1 + margin : x2 - margin]
    certain = np.abs(np.arange(width) - width // 2)[x1 + margin : x2 - margin] > margin
    assert (inside[:, certain] == expected[certain]).all()


@pytest.mark.parametrize("size", [(640, 427), (3000, 400)])
def test_bands_of_a_photo_have_the_labels_of_a_whole(size: Size) -> None:
    logits = np.random.default_rng(3).normal(size=(7, 128, 128)).astype(np.float32)
    window = window_about((0, 0, *size), 512)
    place = np.arange(512) * 127 / 511
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(128)), 0)
    planes = [
        cv2.warpAffine(
            (weights @ channel @ weights.T).astype(np.float32),
            window.to_network,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        for channel in logits
    ]
    assert (label_map(logits, window, size) == np.argmax(planes, axis=0)).mean() > 0.9999


def test_twelve_megapixels_take_little_memory_beside_their_labels() -> None:
    size = (4000, 3000)
    logits = np.zeros((7, 128, 128), np.float32)
    logits[4, 40:80, 40:80] = 1
    tracemalloc.start()
    labels = label_map(logits, window_about((0, 0, *size), 512), size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert labels[1500, 2000] == 4
    assert labels[10, 10] == 0
    assert peak < 64e6 < 4 * labels.size * 4


def test_outside_the_window_is_background() -> None:
    logits = np.stack((np.zeros((119, 119)), np.ones((119, 119)))).astype(np.float32)
    labels = label_map(logits, window_about((50, 50, 100, 100), 473), (150, 150))
    assert labels[50:100, 50:100].all()
    assert labels.sum() == 50 * 50


@given(arrays.arrays(np.uint8, (9, 7), elements=st.sampled_from((0, 4, 11))), st.data())
def test_the_neck_is_face_to_atr_and_not_to_lip(atr: LabelMap, data: st.DataObject) -> None:
    lip = data.draw(arrays.arrays(np.uint8, (9, 7), elements=st.sampled_from((0, 5, 13))))
    necked = with_neck(atr, lip)
    for before, other, after in zip(atr.flat, lip.flat, necked.flat, strict=True):
        assert after == (Atr.NECK if before == Atr.FACE and other != 13 else before)


def test_a_small_hole_in_the_clothes_is_filled_and_a_large_one_stays() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[20:180, 20:180] = Atr.UPPER_CLOTHES
    labels[30:150, 100:110] = Atr.LEFT_ARM
    labels[40:50, 40:50] = Atr.BAG
    labels[60:110, 30:90] = Atr.PANTS
    labels[60:70, 110:120] = Atr.BACKGROUND  # between arm and clothes
    labels[90:110, 170:180] = Atr.SKIRT  # open to the side
    filled = without_holes(labels)
    assert LARGE_HOLE < 50 * 60
    expected = labels.copy()
    expected[40:50, 40:50] = expected[60:70, 110:120] = Atr.UPPER_CLOTHES
    np.testing.assert_array_equal(filled, expected)


def test_holes_reach_the_frame_and_corners_do_not_open_them() -> None:
    labels = np.full((20, 20), Atr.UPPER_CLOTHES, np.uint8)
    labels[5, 5] = labels[0, 10] = 0
    labels[8, 8] = labels[9, 9] = 0  # touch at a corner
    expected = np.full((20, 20), Atr.UPPER_CLOTHES, np.uint8)
    expected[0, 10] = 0
    np.testing.assert_array_equal(without_holes(labels), expected)


def test_each_parser_is_known_by_its_channels() -> None:
    assert {
        count: labels is LABELS_OF[count] for count, labels in ((18, ATR), (20, LIP), (7, PASCAL))
    } == dict.fromkeys((18, 20, 7), True)


def test_lip_labels_become_atr_labels_of_the_same_name() -> None:
    renamed = {
        "glove": "left_arm", "coat": "upper_clothes", "socks": "left_leg", "jumpsuits": "dress",
    }  # fmt: skip
    for label, name in enumerate(LIP_NAMES):
        (turned,) = atr_labels(np.array([[label]], np.uint8), LIP, NOBODY).ravel()
        assert Atr(turned).name.lower() == renamed.get(name, name)


def test_atr_labels_stay() -> None:
    labels = np.arange(18, dtype=np.uint8)[np.newaxis]
    np.testing.assert_array_equal(atr_labels(labels, ATR, NOBODY), labels)


def arms(*, left: bool = True) -> np.ndarray:
    """The right arm hangs at x = 30, the left one at x = 90."""
    keypoints = np.zeros((18, 3))
    keypoints[2:5] = [(30, 20, 1), (30, 60, 1), (30, 100, 1)]
    if left:
        keypoints[5:8] = [(90, 20, 1), (90, 60, 1), (90, 100, 1)]
    return keypoints


def test_pascal_arms_get_the_side_of_the_nearer_bones() -> None:
    labels = np.zeros((128, 128), np.uint8)
    labels[20:110, 20:40], labels[20:110, 80:100] = 3, 4
    turned = atr_labels(labels, PASCAL, arms())
    assert set(np.unique(turned[:, :60])) == {0, Atr.RIGHT_ARM}
    assert set(np.unique(turned[:, 60:])) == {0, Atr.LEFT_ARM}
    alone = atr_labels(labels, PASCAL, arms(left=False))
    assert set(np.unique(alone)) == {0, Atr.RIGHT_ARM}
    assert set(np.unique(atr_labels(labels, PASCAL, NOBODY))) == {0, Atr.LEFT_ARM}


@pytest.mark.parametrize(("scheme", "top", "head"), [(PASCAL, 2, 1), (LIP, 7, 13), (ATR, 4, 11)])
def test_the_mask_rules_cover_the_top_and_keep_the_head_of_every_parser(scheme: object, top: int, head: int) -> None:
    labels = np.zeros((512, 384), np.uint8)
    labels[40:100, 160:224], labels[110:300, 120:264] = head, top
    turned = atr_labels(labels, scheme, NOBODY)
    mask = garment_masks(turned, NOBODY, [MaskType.UPPER_BODY], "M")[MaskType.UPPER_BODY]
    assert (mask[120:290, 130:254] == 255).all()
    assert not mask[40:100].any()
