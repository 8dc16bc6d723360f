"""Draw the masks and the skeleton of each person over the photo."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vision.arrays import RGB, Float64, Mask
from vision.body.mask_types import MaskType

MASK_COLORS = {
    MaskType.UPPER_BODY: (46, 134, 222),
    MaskType.UPPER_BODY_TSHIRTS: (16, 172, 132),
    MaskType.UPPER_BODY_COAT: (95, 39, 205),
    MaskType.LOWER_BODY: (255, 159, 67),
    MaskType.ETHNIC_COMBINED: (238, 82, 83),
    MaskType.BAGGY_LOWER: (254, 202, 87),
    MaskType.DRESS: (243, 104, 224),
}
OPACITY = 0.4

LIMBS = (
    (0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Pairs of COCO-18 keypoints."""
LIMB_COLOR = (255, 255, 255)
SHADOW_COLOR = (34, 47, 62)
LEFT_COLOR, RIGHT_COLOR, MIDDLE_COLOR = (255, 107, 129), (46, 213, 115), (255, 234, 167)
RIGHT_KEYPOINTS = frozenset({2, 3, 4, 8, 9, 10, 14, 16})
MIDDLE_KEYPOINTS = frozenset({0, 1})

FRACTION_BITS = 4
"""OpenCV draws at sixteenths of a pixel."""
LIMIT = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class PersonLayer:
    """What is drawn of one person: masks H×W in the photo's frame, lowest first, and key points 18×3 in its pixels.

    The masks are made one at a time. All masks of a large photo would not fit into memory beside it.
    """

    masks: Iterable[tuple[MaskType, Mask]]
    keypoints: Float64


def draw_overlay(pixels: RGB, people: Sequence[PersonLayer]) -> RGB:
    """Draw masks, then skeletons, over a copy of the photo H×W×3."""
    drawn = pixels.copy()
    for person in people:
        for mask_type, mask in person.masks:
            _tint(drawn, mask, MASK_COLORS[mask_type])
    for person in people:
        _draw_skeleton(drawn, person.keypoints)
    return drawn


def _thickness(image: RGB) -> int:
    height, width, _ = image.shape
    return max(1, round(int(max(height, width)) / 400))


def _tint(image: RGB, mask: Mask, color: tuple[int, int, int]) -> None:
    """Blend the colour in within the mask's bounds, and draw the mask's outline."""
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return
    window = image[y : y + height, x : x + width]
    inside = np.ascontiguousarray(mask[y : y + height, x : x + width])
    tinted = cv2.addWeighted(window, 1 - OPACITY, np.full_like(window, color), OPACITY, 0)
    cv2.copyTo(tinted, inside, window)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, color, _thickness(image), cv2.LINE_AA, offset=(x, y))


def _draw_skeleton(image: RGB, keypoints: Float64) -> None:
    thickness = _thickness(image)
    found = {index: _fixed_point(row) for index, row in enumerate(keypoints) if row[2] > 0}
    limbs = [(found[start], found[end]) for start, end in LIMBS if start in found and end in found]
    for color, width in ((SHADOW_COLOR, thickness + 2), (LIMB_COLOR, thickness)):
        for start, end in limbs:
            cv2.line(image, start, end, color, width, cv2.LINE_AA, FRACTION_BITS)
    for index, point in found.items():
        for color, radius in ((SHADOW_COLOR, 1.6 * thickness + 1), (_joint_color(index), 1.6 * thickness)):
            cv2.circle(image, point, round(radius * 2**FRACTION_BITS), color, cv2.FILLED, cv2.LINE_AA, FRACTION_BITS)


def _joint_color(index: int) -> tuple[int, int, int]:
    if index in MIDDLE_KEYPOINTS:
        return MIDDLE_COLOR
    return RIGHT_COLOR if index in RIGHT_KEYPOINTS else LEFT_COLOR


def _fixed_point(keypoint: Float64) -> tuple[int, int]:
    x, y = np.rint((np.clip(keypoint[:2], -LIMIT, LIMIT) - 0.5) * 2**FRACTION_BITS).astype(int).tolist()
    return x, y
