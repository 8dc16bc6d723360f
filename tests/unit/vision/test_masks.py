"""Masks against the rules written out again, slowly, in plain set language."""

from collections import deque

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vision.body.mask_types import Atr, MaskType, PartRule, part_rules
from vision.body.masks import draw_arms, garment_masks, plain_masks

Image = NDArray[np.uint8]
Bits = NDArray[np.bool_]

SHAPE = (96, 72)
NOBODY = np.zeros((18, 3))


def slow_dilate(bits: Bits, side: int, times: int) -> Bits:
    """A pixel is set where any of the side×side pixels about it is; an even square leans up and left."""
    for _ in range(times):
        grown = np.zeros_like(bits)
        for down in range(-(side // 2), side - side // 2):
            for right in range(-(side // 2), side - side // 2):
                grown |= shifted(bits, -down, -right)
        bits = grown
    return bits


def shifted(bits: Bits, down: int, right: int) -> Bits:
    moved = np.zeros_like(bits)
    height, width = bits.shape
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = bits[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved


def regions(bits: Bits, neighbours: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    seen, found = np.zeros_like(bits), []
    for start in zip(*np.nonzero(bits), strict=True):
        if seen[start]:
            continue
        region, queue = [], deque([start])
        seen[start] = True
        while queue:
            row, column = queue.popleft()
            region.append((row, column))
            for down, right in neighbours:
                there = row + down, column + right
                if 0 <= there[0] < bits.shape[0] and 0 <= there[1] < bits.shape[1] and bits[there] and not seen[there]:
                    seen[there] = True
                    queue.append(there)
        found.append(region)
    return found


FOUR = [(0, 1), (1, 0), (0, -1), (-1, 0)]
EIGHT = [*FOUR, (1, 1), (1, -1), (-1, 1), (-1, -1)]


def slow_fill_and_keep_largest(bits: Bits) -> list[Bits]:
    """All regions that tie for the largest, each with its holes filled."""
    framed = np.pad(~bits, 1, constant_values=True)
    outside = np.zeros_like(framed)
    outside[tuple(zip(*next(r for r in regions(framed, FOUR) if (0, 0) in r), strict=True))] = True
    filled = ~outside[1:-1, 1:-1]
    found = regions(filled, EIGHT)
    largest = max((len(region) for region in found), default=0)
    kept = []
    for region in found:
        if len(region) == largest:
            alone = np.zeros_like(bits)
            alone[tuple(zip(*region, strict=True))] = True
            kept.append(alone)
    return kept or [np.zeros_like(bits)]


def slow_part(label_map: Image, rule: PartRule, arms: Bits, hands: Bits) -> list[Bits]:
    part, radius, shoes = rule.part.value, rule.radius, rule.shoes
    head = {1, 3, 11}
    fixed = {1, 3, 16} | (set() if shoes else {9, 10}) | head
    fixed |= {"upper": {5, 6}, "lower": {4, 14, 15}, "dress": set()}[part]
    garment = {"upper": {4, 7}, "lower": {5, 6, 12, 13} | ({9, 10} if shoes else set()), "dress": {4, 5, 6, 7}}[part]
    changeable = np.isin(label_map, list(set(range(19)) - fixed))
    frozen = np.isin(label_map, list(fixed))
    wanted = slow_dilate(np.isin(label_map, list(garment)), radius, 5)
    if part != "lower":
        wanted |= slow_dilate(arms, 5, 4)
        rows = np.flatnonzero((label_map == 18).any(axis=1))
        neck = label_map == 18
        if rows.size:
            neck[: rows[-1] + 1 - round(0.4 * (rows[-1] + 1 - rows[0]))] = False
        wanted |= slow_dilate(neck, radius, 1) & ~np.isin(label_map, list(head))
        frozen = frozen | hands
    return slow_fill_and_keep_largest(~((changeable & ~wanted) | frozen))


def cleaned(bits: Bits) -> Image:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(bits.astype(np.uint8) * 255, cv2.MORPH_CLOSE, kernel, iterations=2)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel), dtype=np.uint8)


def slow_masks(label_map: Image, keypoints: NDArray[np.float64], mask_type: MaskType, gender: str) -> list[Image]:
    arms, hands = (image > 0 for image in draw_arms(label_map, keypoints))
    unions = [np.zeros(label_map.shape, dtype=np.uint8)]
    rules = part_rules(mask_type, gender)
    for rule in rules:
        parts = slow_part(label_map, rule, arms, hands)
        unions = [union | cleaned(part) for union in unions for part in parts]
    if len(rules) > 1:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
        unions = [np.asarray(cv2.morphologyEx(u, cv2.MORPH_CLOSE, kernel, iterations=3), np.uint8) for u in unions]
    return unions


def stamped(stamps: list[tuple[int, int, int, int, int]]) -> Image:
    label_map = np.zeros(SHAPE, dtype=np.uint8)
    for label, row, column, height, width in stamps:
        label_map[row : row + height, column : column + width] = label
    return label_map


STAMP = st.tuples(st.integers(0, 18), st.integers(0, 90), st.integers(0, 66), st.integers(1, 50), st.integers(1, 40))


@settings(max_examples=40, deadline=None)
@given(
    stamps=st.lists(STAMP, max_size=9),
    mask_type=st.sampled_from(list(MaskType)),
    gender=st.sampled_from(["M", "F"]),
    arm=st.lists(st.tuples(st.integers(0, 71), st.integers(0, 95)), min_size=3, max_size=3),
    drawn=st.booleans(),
)
def test_against_the_rules_written_out(
    stamps: list[tuple[int, int, int, int, int]],
    mask_type: MaskType,
    gender: str,
    arm: list[tuple[int, int]],
    *,
    drawn: bool,
) -> None:
    label_map, keypoints = stamped(stamps), NOBODY.copy()
    if drawn:
        keypoints[[2, 3, 4]] = [(x, y, 1) for x, y in arm]
    made = garment_masks(label_map, keypoints, [mask_type], gender)[mask_type]
    assert any(np.array_equal(made, allowed) for allowed in slow_masks(label_map, keypoints, mask_type, gender))


def person() -> Image:
    """Hair, face, neck, top, trousers and shoes, one below the other, with arms beside the top."""
    head = [(2, 2, 28, 4, 16), (11, 6, 28, 10, 16), (18, 16, 32, 5, 8)]
    top = [(4, 21, 22, 25, 28), (14, 21, 50, 25, 6), (15, 21, 16, 25, 6)]
    legs = [(6, 46, 24, 34, 24), (9, 80, 40, 6, 8), (10, 80, 24, 6, 8)]
    return stamped(head + top + legs)


def test_a_lower_mask_by_hand() -> None:
    label_map = np.zeros((512, 384), dtype=np.uint8)
    label_map[100:200, 100:200] = Atr.UPPER_CLOTHES
    label_map[200:400, 100:200] = Atr.PANTS
    label_map[400:430, 90:140] = Atr.RIGHT_SHOE
    made = garment_masks(label_map, NOBODY, [MaskType.LOWER_BODY], "M")[MaskType.LOWER_BODY]
    # A 2×2 kernel grows five pixels down and right, none up and left; top and shoe stay visible.
    assert np.flatnonzero(made[:, 180]).tolist() == list(range(200, 405))
    assert np.flatnonzero(made[300]).tolist() == list(range(100, 205))
    assert np.flatnonzero(made[:, 120]).tolist() == list(range(200, 400))


def test_the_low_neck_by_hand() -> None:
    label_map = np.zeros((512, 384), dtype=np.uint8)
    label_map[100:200, 100:200] = Atr.NECK
    made = garment_masks(label_map, NOBODY, [MaskType.UPPER_BODY], "M")[MaskType.UPPER_BODY]
    assert np.flatnonzero(made[:, 150]).tolist() == list(range(160, 201))


def test_a_hollow_region_counts_with_its_hole() -> None:
    label_map = np.zeros((512, 384), dtype=np.uint8)
    label_map[100:140, 100:140] = Atr.DRESS
    label_map[106:134, 106:134] = Atr.BACKGROUND
    label_map[200:230, 100:130] = Atr.DRESS
    made = garment_masks(label_map, NOBODY, [MaskType.ETHNIC_COMBINED], "M")[MaskType.ETHNIC_COMBINED]
    assert made[120, 120]
    assert not made[215, 115]


def test_shoes_belong_to_baggy_trousers() -> None:
    made = garment_masks(person(), NOBODY, [MaskType.BAGGY_LOWER], "M")[MaskType.BAGGY_LOWER]
    assert made[82, 44]
    assert made[82, 28]


def test_an_upper_mask_keeps_the_head_and_takes_the_low_neck() -> None:
    made = garment_masks(person(), NOBODY, [MaskType.UPPER_BODY], "M")[MaskType.UPPER_BODY]
    assert made[20, 36]
    assert not made[10, 36]
    assert not made[60, 36]


def test_the_whole_set_at_once_equals_one_by_one() -> None:
    together = garment_masks(person(), NOBODY, list(MaskType), "F")
    assert list(together) == list(MaskType)
    for mask_type, made in together.items():
        np.testing.assert_array_equal(made, garment_masks(person(), NOBODY, [mask_type], "F")[mask_type])


@pytest.mark.parametrize("mask_type", list(MaskType))
def test_an_empty_label_map_gives_zeros(mask_type: MaskType) -> None:
    empty = np.zeros((512, 384), dtype=np.uint8)
    assert not garment_masks(empty, NOBODY, [mask_type], "F")[mask_type].any()
    assert not plain_masks(empty, [mask_type])[mask_type].any()


def test_a_photo_that_ends_at_the_waist_has_no_lower_mask() -> None:
    label_map = person()
    label_map[46:] = 0
    assert not garment_masks(label_map, NOBODY, [MaskType.LOWER_BODY], "F")[MaskType.LOWER_BODY].any()


PLAIN = {
    MaskType.UPPER_BODY: {4, 7},
    MaskType.UPPER_BODY_TSHIRTS: {4, 7},
    MaskType.UPPER_BODY_COAT: {4, 7},
    MaskType.LOWER_BODY: {5, 6, 7},
    MaskType.ETHNIC_COMBINED: {4, 5, 6, 7},
    MaskType.BAGGY_LOWER: {5, 6, 7, 9, 10},
    MaskType.DRESS: {4, 5, 6, 7},
}


@pytest.mark.parametrize(("mask_type", "labels"), PLAIN.items())
def test_plain_masks_are_their_labels(mask_type: MaskType, labels: set[int]) -> None:
    label_map = np.arange(len(Atr), dtype=np.uint8).reshape(1, -1)
    expected = [[255 if label in labels else 0 for label in range(19)]]
    np.testing.assert_array_equal(plain_masks(label_map, [mask_type])[mask_type], expected)


def test_inputs_are_left_alone() -> None:
    label_map = person()
    garment_masks(label_map, NOBODY, list(MaskType), "F")
    np.testing.assert_array_equal(label_map, person())
