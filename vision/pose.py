"""A person's pose: landmarks and body mask, from the tensors of mediapipe's pose_landmark_full model."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vision import nms
from vision.affine import compose, of_indices, transform_points, warp
from vision.arrays import Affine, Box, Float64, Mask, Size
from vision.heatmap import refine
from vision.nms import area
from vision.roi import Roi

INPUT_SIDE = 256
DECODED_SIDE = 1024
"""Least side, in decoded pixels, of what is drawn into the input: four times INPUT_SIDE. Reduced further, a JPEG is
smoother than what mediapipe feeds the model: at half of this one photo in 7 missed its bar."""
MIN_PRESENCE = 0.5
"""ThresholdingCalculator in mediapipe's pose graph."""
MODEL_LANDMARKS, BODY_LANDMARKS = 39, 33
INSIDE = 128
"""Least mask probability, times 255, that counts as the person."""
SAME_PERSON_IOU = 0.7
SPECK = 0.1
"""Regions of a mask below this share of its largest one do not widen a person's box."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person: landmarks 33×5 (x, y, z in source pixels, visibility, presence), and the mask in its region.

    `mask` is 256×256 uint8, the probability times 255; `roi` says where in the photo it lies; `box` bounds the
    mask in source pixels and may leave the photo.
    """

    landmarks: Float64
    score: float
    mask: NDArray[np.uint8]
    roi: Roi
    box: Box


def decode_pose(
    landmarks: ArrayLike, presence: ArrayLike, mask: ArrayLike, heatmap: ArrayLike, roi: Roi
) -> Pose | None:
    """Decode one person's tensors (195, 1, 256×256×1 logits, 64×64×39 logits); None where nobody is there."""
    score = float(np.asarray(presence).reshape(()))
    if not score >= MIN_PRESENCE:
        return None
    probabilities = _probabilities(np.asarray(mask, dtype=np.float32).reshape(INPUT_SIDE, INPUT_SIDE))
    grid = np.asarray(heatmap, dtype=np.float32).reshape(64, 64, MODEL_LANDMARKS)
    raw = np.asarray(landmarks, dtype=np.float64).reshape(MODEL_LANDMARKS, 5)
    decoded = _landmarks(raw, grid, roi)[:BODY_LANDMARKS]
    return Pose(decoded, score, probabilities, roi, _box(probabilities, decoded, roi))


def distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Keep one pose a person, the person with the largest box first.

    Poses whose boxes overlap by more than SAME_PERSON_IOU are one person; the one with the best score is kept.
    """
    kept = nms.distinct(sorted(poses, key=lambda pose: -pose.score), SAME_PERSON_IOU)
    return sorted(kept, key=lambda pose: -area(pose.box))


def person_mask(pose: Pose, to_frame: Affine, size: Size) -> Mask:
    """Draw the person into a frame of `size`; `to_frame` maps source pixels to frame pixels."""
    affine = compose(of_indices(pose.roi.to_source(INPUT_SIDE)), to_frame)
    probability = warp(pose.mask, affine, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.threshold(probability, INSIDE - 1, 255, cv2.THRESH_BINARY)[1], dtype=np.uint8)


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    scaled: NDArray[np.uint8] = np.rint(255 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)
    return scaled


def _landmarks(raw: Float64, heatmap: NDArray[np.float32], roi: Roi) -> Float64:
    points = refine(raw[:, :2] / INPUT_SIDE, heatmap) * INPUT_SIDE
    decoded = np.empty_like(raw)
    decoded[:, :2] = transform_points(points, roi.to_source(INPUT_SIDE))
    decoded[:, 2] = raw[:, 2] * (roi.side / INPUT_SIDE)
    decoded[:, 3:] = 1 / (1 + np.exp(-np.clip(raw[:, 3:], -30, 30)))
    return decoded


def _box(probabilities: NDArray[np.uint8], landmarks: Float64, roi: Roi) -> Box:
    """Bound the mask's larger regions; without any, the landmarks."""
    binary = cv2.threshold(probabilities, INSIDE - 1, 255, cv2.THRESH_BINARY)[1]
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = landmarks[:, :2]
    if contours:
        areas = [cv2.contourArea(contour) for contour in contours]
        large = [contour for contour, area in zip(contours, areas, strict=True) if area >= SPECK * max(areas)]
        pixels = np.concatenate(large).reshape(-1, 2).astype(np.float64)
        points = transform_points(pixels + 0.5, of_indices(roi.to_source(INPUT_SIDE)))
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2
