"""A person's pose: MediaPipe's landmarks and person mask, and the 18 COCO key points made from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vision import nms
from vision.affine import compose, of_indices, transform_points, warp
from vision.arrays import Affine, Box, Float32, Float64, Mask, Size
from vision.nms import area
from vision.ssd import Roi

Cells: TypeAlias = NDArray[np.int64]

KERNEL = 7
MIN_CONFIDENCE = 0.5
"""Options of mediapipe's RefineLandmarksFromHeatmapCalculator in the pose graph."""


def refine(points: Float64, heatmap: Float32) -> Float64:
    """Move points N×2 (fractions of the input) to the confidence-weighted mean of the cells around them.

    `heatmap` is H×W×N logits. A point is not moved if it lies outside, or its best cell is below MIN_CONFIDENCE.
    """
    height, width, count = heatmap.shape
    size = np.array([width, height])
    cells = np.trunc(points * size).astype(np.int64)
    inside = ((cells >= 0) & (cells < size)).all(axis=1)
    offsets = np.arange(KERNEL) - KERNEL // 2
    columns, rows = cells[:, :1] + offsets, cells[:, 1:] + offsets
    confidence = _windows(heatmap, rows, columns, np.arange(count))
    total = confidence.sum(axis=(1, 2))
    moved = inside & (confidence.max(axis=(1, 2)) >= MIN_CONFIDENCE)
    mean = (
        np.stack((np.einsum("nrc,nc->n", confidence, columns), np.einsum("nrc,nr->n", confidence, rows)), axis=1)
        / np.maximum(total, 1e-12)[:, None]
    )
    return np.where(moved[:, None], mean / size, points)


def _windows(heatmap: Float32, rows: Cells, columns: Cells, channels: Cells) -> Float64:
    """Confidences N×KERNEL×KERNEL around each point, 0 beyond the heatmap."""
    height, width, _ = heatmap.shape
    valid = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    logits = heatmap[
        np.clip(rows, 0, height - 1)[:, :, None],
        np.clip(columns, 0, width - 1)[:, None, :],
        channels[:, None, None],
    ].astype(np.float64)
    return np.where(valid, 1 / (1 + np.exp(-np.clip(logits, -30, 30))), 0.0)


POSE_SIDE = 256
POSE_DECODED_SIDE = 1024
"""Least side, in decoded pixels, of what is drawn into the input: four times POSE_SIDE. A JPEG reduced further is
smoother than the input that MediaPipe gives the model. At half of this, one photo in 7 missed its bar."""
MIN_PRESENCE = 0.5
"""ThresholdingCalculator in mediapipe's pose graph."""
MODEL_LANDMARKS, BODY_LANDMARKS = 39, 33
INSIDE = 128
"""Least mask probability, times 255, that counts as person."""
SAME_PERSON_IOU = 0.7
SPECK = 0.1
"""Regions of a mask smaller than this share of its largest one do not widen a person's box."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person: landmarks 33×5 (x, y, z in source pixels, visibility, presence), and the mask in its region.

    `mask` is 256×256 uint8, the probability times 255. `roi` says where in the photo it lies. `box` bounds the mask in
    source pixels and may extend beyond the photo.
    """

    landmarks: Float64
    score: float
    mask: NDArray[np.uint8]
    roi: Roi
    box: Box


def decode_pose(
    landmarks: ArrayLike, presence: ArrayLike, mask: ArrayLike, heatmap: ArrayLike, roi: Roi
) -> Pose | None:
    """Decode one person's tensors (195, 1, 256×256×1 logits, 64×64×39 logits). None where there is no person."""
    score = float(np.asarray(presence).reshape(()))
    if not score >= MIN_PRESENCE:
        return None
    probabilities = _probabilities(np.asarray(mask, dtype=np.float32).reshape(POSE_SIDE, POSE_SIDE))
    grid = np.asarray(heatmap, dtype=np.float32).reshape(64, 64, MODEL_LANDMARKS)
    raw = np.asarray(landmarks, dtype=np.float64).reshape(MODEL_LANDMARKS, 5)
    decoded = _landmarks(raw, grid, roi)[:BODY_LANDMARKS]
    return Pose(decoded, score, probabilities, roi, _box(probabilities, decoded, roi))


def distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Keep one pose per person, the person with the largest box first.

    Poses whose boxes overlap by more than SAME_PERSON_IOU belong to one person. The one with the best score is kept.
    """
    kept = nms.distinct(sorted(poses, key=lambda pose: -pose.score), SAME_PERSON_IOU)
    return sorted(kept, key=lambda pose: -area(pose.box))


def person_mask(pose: Pose, to_frame: Affine, size: Size) -> Mask:
    """Draw the person into a frame of `size`; `to_frame` maps source pixels to frame pixels."""
    affine = compose(of_indices(pose.roi.to_source(POSE_SIDE)), to_frame)
    probability = warp(pose.mask, affine, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.threshold(probability, INSIDE - 1, 255, cv2.THRESH_BINARY)[1], dtype=np.uint8)


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    scaled: NDArray[np.uint8] = np.rint(255 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.uint8)
    return scaled


def _landmarks(raw: Float64, heatmap: NDArray[np.float32], roi: Roi) -> Float64:
    points = refine(raw[:, :2] / POSE_SIDE, heatmap) * POSE_SIDE
    decoded = np.empty_like(raw)
    decoded[:, :2] = transform_points(points, roi.to_source(POSE_SIDE))
    decoded[:, 2] = raw[:, 2] * (roi.side / POSE_SIDE)
    decoded[:, 3:] = 1 / (1 + np.exp(-np.clip(raw[:, 3:], -30, 30)))
    return decoded


def _box(probabilities: NDArray[np.uint8], landmarks: Float64, roi: Roi) -> Box:
    """Bound the mask's larger regions, or the landmarks where there are none."""
    binary = cv2.threshold(probabilities, INSIDE - 1, 255, cv2.THRESH_BINARY)[1]
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = landmarks[:, :2]
    if contours:
        areas = [cv2.contourArea(contour) for contour in contours]
        large = [contour for contour, area in zip(contours, areas, strict=True) if area >= SPECK * max(areas)]
        pixels = np.concatenate(large).reshape(-1, 2).astype(np.float64)
        points = transform_points(pixels + 0.5, of_indices(roi.to_source(POSE_SIDE)))
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2


KEYPOINT_NAMES = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
NECK = KEYPOINT_NAMES.index("neck")

LANDMARK_OF_KEYPOINT = (0, 12, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""Index among MediaPipe's 33 landmarks. The neck's entry is a stand-in: its place is the middle of the shoulders."""
LEFT_SHOULDER, RIGHT_SHOULDER = 11, 12

MIN_SCORE = 0.1
"""Visibility × presence. Below it a joint counts as not found."""
OUTSIDE = 0.1
"""How far outside the photo a joint may lie and still count as found, as a share of the photo's longer side."""


def coco_keypoints(pose: Pose, size: Size) -> Float64:
    """List the key points 18×3: x, y in source pixels, and a score. Score 0 means that the joint was not found.

    The score is visibility × presence. `size` is that of the photo.
    """
    x, y, _, visibility, presence = pose.landmarks.T
    rows = np.stack((x, y, visibility * presence), axis=1)
    keypoints: Float64 = rows[list(LANDMARK_OF_KEYPOINT)]
    shoulders = rows[[LEFT_SHOULDER, RIGHT_SHOULDER]]
    keypoints[NECK] = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    margin = OUTSIDE * max(size)
    beyond = ((keypoints[:, :2] < -margin) | (keypoints[:, :2] > np.array(size) + margin)).any(axis=1)
    keypoints[beyond | (keypoints[:, 2] < MIN_SCORE), 2] = 0.0
    return keypoints


def keypoints_in(box: Box, people: Sequence[Float64]) -> Float64:
    """Choose the key points 18×3 of the person who fills a box best. Without anybody in it no joint is found."""
    boxes = np.array([_bounds(keypoints) for keypoints in people]).reshape(-1, 4)
    shares = nms.iou(np.array(box), boxes)
    if not shares.any():
        return np.zeros((len(KEYPOINT_NAMES), 3))
    return people[int(np.argmax(shares))]


def _bounds(keypoints: Float64) -> Float64:
    found = keypoints[keypoints[:, 2] > 0, :2]
    return np.concatenate((found.min(axis=0), found.max(axis=0))) if len(found) else np.zeros(4)


def transform_keypoints(keypoints: Float64, affine: Affine) -> Float64:
    """Move key points N×3 into another frame. Scores stay."""
    return np.column_stack((transform_points(keypoints[:, :2], affine), keypoints[:, 2]))
