"""Body masks from a label map and key points on the 384×512 canvas. Arms are drawn from key points."""

from collections.abc import Collection, Iterable
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float64, LabelMap, Mask
from vision.body.mask_types import PLAIN_LABELS, Atr, BodyPart, MaskType, PartRule, part_rules

ARM_WIDTH = 60
"""Pixels on the 384×512 canvas."""
WRIST_REACH = 1.2
"""The wrist is moved this many times its distance from the elbow."""
INSIDE = (255,)
LIMIT = 8192
"""Joints far outside the canvas are drawn no farther away than this. OpenCV's rasteriser overflows beyond."""

ARMS = ((Atr.RIGHT_ARM, (2, 3, 4)), (Atr.LEFT_ARM, (5, 6, 7)))
"""Each arm's label and its keypoints: shoulder, elbow, wrist."""


def draw_arms(label_map: LabelMap, keypoints: Float64) -> tuple[Mask, Mask]:
    """Draw both arms. Returns (arms, hands): hands are pixels labelled as arm that the drawing does not cover.

    If a joint of an arm was not found (score 0), the arm comes from the label map instead and has no hand.
    """
    arms, hands = np.zeros_like(label_map), np.zeros_like(label_map)
    for label, joints in ARMS:
        parsed = np.where(label_map == label, np.uint8(255), np.uint8(0))
        shoulder, elbow, wrist = keypoints[list(joints)]
        found = min(shoulder[2], elbow[2], wrist[2]) > 0
        drawn = _draw(parsed.shape, shoulder[:2], elbow[:2], wrist[:2]) if found else parsed
        arms |= drawn
        hands |= parsed & ~drawn
    return arms, hands


def _draw(shape: tuple[int, ...], shoulder: Float64, elbow: Float64, wrist: Float64) -> Mask:
    drawn = np.zeros(shape, dtype=np.uint8)
    hand = elbow + WRIST_REACH * (wrist - elbow)
    for start, end in ((shoulder, elbow), (elbow, hand)):
        cv2.fillConvexPoly(drawn, _band(start, end), INSIDE)
    for joint in (shoulder, elbow):
        cv2.circle(drawn, _pixel(joint), ARM_WIDTH // 2, INSIDE, cv2.FILLED)
    return drawn


def _band(start: Float64, end: Float64) -> NDArray[np.int32]:
    direction = end - start
    length = max(float(np.hypot(*direction)), 1e-6)
    side = np.array([-direction[1], direction[0]]) * (ARM_WIDTH / 2 / length)
    corners = np.array([start + side, end + side, end - side, start - side])
    return np.rint(np.clip(corners - 0.5, -LIMIT, LIMIT)).astype(np.int32)


def _pixel(point: Float64) -> tuple[int, int]:
    x, y = np.rint(np.clip(point - 0.5, -LIMIT, LIMIT)).astype(int).tolist()
    return x, y


GARMENT_ITERATIONS = 5
ARM_KERNEL, ARM_ITERATIONS = 5, 4
NECK_SHARE = 0.4
"""How much of the neck's height, from below, an upper garment covers."""

HEAD = frozenset({Atr.HAT, Atr.SUNGLASSES, Atr.FACE})
SHOES = frozenset({Atr.LEFT_SHOE, Atr.RIGHT_SHOE})
FIXED = HEAD | {Atr.BAG}
FIXED_BY_PART = {
    BodyPart.UPPER: frozenset({Atr.SKIRT, Atr.PANTS}),
    BodyPart.LOWER: frozenset({Atr.UPPER_CLOTHES, Atr.LEFT_ARM, Atr.RIGHT_ARM}),
    BodyPart.DRESS: frozenset[Atr](),
}
GARMENT_BY_PART = {
    BodyPart.UPPER: frozenset({Atr.UPPER_CLOTHES, Atr.DRESS}),
    BodyPart.LOWER: frozenset({Atr.SKIRT, Atr.PANTS, Atr.LEFT_LEG, Atr.RIGHT_LEG}),
    BodyPart.DRESS: frozenset({Atr.UPPER_CLOTHES, Atr.SKIRT, Atr.PANTS, Atr.DRESS}),
}

_SMALL_ELLIPSE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_LARGE_ELLIPSE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))


def garment_masks(
    label_map: LabelMap, keypoints: Float64, mask_types: Iterable[MaskType], gender: str
) -> dict[MaskType, Mask]:
    """Make each mask where a garment of its type may lie. A body part that is not in the label map gives zeros.

    `keypoints` 18×3 are on the canvas. A part that several mask types share is made only once.
    """
    rules = {mask_type: part_rules(mask_type, gender) for mask_type in mask_types}
    arms = draw_arms(label_map, keypoints)
    wanted = dict.fromkeys(rule for group in rules.values() for rule in group)
    parts = {rule: _part_mask(label_map, arms, rule) for rule in wanted}
    return {mask_type: _union([parts[rule] for rule in group]) for mask_type, group in rules.items()}


def plain_masks(label_map: LabelMap, mask_types: Iterable[MaskType]) -> dict[MaskType, Mask]:
    """Make each mask from its labels only."""
    return {mask_type: _labelled(label_map, PLAIN_LABELS[mask_type]) for mask_type in mask_types}


def _part_mask(label_map: LabelMap, arms_and_hands: tuple[Mask, Mask], rule: PartRule) -> Mask:
    """Cover the garment, grown by the rule's radius, without the parts that stay visible.

    Every label is either fixed or may change, so NOT((changeable AND NOT garment) OR fixed) equals garment AND NOT
    fixed.
    """
    shoes: frozenset[Atr] = SHOES if rule.shoes else frozenset()
    kernel = np.ones((rule.radius, rule.radius), dtype=np.uint8)
    fixed = _labelled(label_map, (FIXED | SHOES | FIXED_BY_PART[rule.part]) - shoes)
    mask = _labelled(label_map, GARMENT_BY_PART[rule.part] | shoes)
    mask = _mask(cv2.dilate(mask, kernel, iterations=GARMENT_ITERATIONS))
    if rule.part is not BodyPart.LOWER:
        arms, hands = arms_and_hands
        arm_kernel = np.ones((ARM_KERNEL, ARM_KERNEL), dtype=np.uint8)
        mask |= _mask(cv2.dilate(arms, arm_kernel, iterations=ARM_ITERATIONS))
        mask |= _mask(cv2.dilate(_low_neck(label_map), kernel)) & ~_labelled(label_map, HEAD)
        fixed |= hands
    return _clean(mask & ~fixed)


def _low_neck(label_map: LabelMap) -> Mask:
    neck = _labelled(label_map, {Atr.NECK})
    rows = np.flatnonzero(neck.any(axis=1))
    if rows.size:
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        neck[: bottom - round(NECK_SHARE * (bottom - top))] = 0
    return neck


def _clean(mask: Mask) -> Mask:
    mask = _largest_region(_fill_holes(mask))
    mask = _mask(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _SMALL_ELLIPSE, iterations=2))
    return _mask(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _SMALL_ELLIPSE))


def _fill_holes(mask: Mask) -> Mask:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return _mask(cv2.drawContours(np.zeros_like(mask), contours, -1, (255,), cv2.FILLED))


def _largest_region(mask: Mask) -> Mask:
    count, regions, statistics, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)
    if count == 1:
        return mask
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    return np.where(regions == largest, np.uint8(255), np.uint8(0))


def _union(parts: list[Mask]) -> Mask:
    if len(parts) == 1:
        return parts[0]
    union = reduce(np.bitwise_or, parts)
    return _mask(cv2.morphologyEx(union, cv2.MORPH_CLOSE, _LARGE_ELLIPSE, iterations=3))


def _labelled(label_map: LabelMap, labels: Collection[Atr]) -> Mask:
    table = np.zeros(256, dtype=np.uint8)
    table[list(labels)] = 255
    return _mask(cv2.LUT(label_map, table))


def _mask(image: object) -> Mask:
    """Give OpenCV's result its type."""
    return np.asarray(image, dtype=np.uint8)
