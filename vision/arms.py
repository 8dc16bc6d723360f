"""Arms drawn from keypoints, and the hands that they leave free."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float64, LabelMap, Mask
from vision.atr import Atr

ARM_WIDTH = 60
"""Pixels on the 384×512 canvas."""
WRIST_REACH = 1.2
"""The wrist is moved this many times its distance from the elbow."""
INSIDE = (255,)
LIMIT = 8192
"""Joints far outside the canvas are drawn no farther than this: OpenCV's rasteriser overflows beyond."""

ARMS = ((Atr.RIGHT_ARM, (2, 3, 4)), (Atr.LEFT_ARM, (5, 6, 7)))
"""Each arm's label and its keypoints: shoulder, elbow, wrist."""


def draw_arms(label_map: LabelMap, keypoints: Float64) -> tuple[Mask, Mask]:
    """Draw both arms; returns (arms, hands), where hands are the labelled arms that the drawing leaves out.

    An arm with a joint that was not found (score 0) is taken from the label map instead, and leaves no hand.
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
