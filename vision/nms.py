"""Non-maximum suppression."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.arrays import Box, Float32, Float64


class Boxed(Protocol):
    """Something found in a photo."""

    @property
    def box(self) -> Box:
        """Its place in the photo."""


Found = TypeVar("Found", bound=Boxed)
Boxes = TypeVar("Boxes", Float32, Float64)


def area(box: Box) -> float:
    """Square pixels inside a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(box: Float64, boxes: Float64) -> Float64:
    """Intersection over union of one box (4) with each of N×4; boxes x1, y1, x2, y2."""
    shares: Float64 = ious(box[np.newaxis], boxes)[0]
    return shares


def weighted_nms(rows: Float64, scores: Float64, threshold: float) -> tuple[Float64, Float64]:
    """Merge overlapping detections into their mean, weighted by score. The group gets its best score.

    `rows` N×M start with the box (x1, y1, x2, y2). Further columns are averaged too. Returns rows and scores, best
    first. The method is that of MediaPipe's NonMaxSuppressionCalculator, algorithm WEIGHTED.
    """
    order = np.argsort(-scores, kind="stable")
    merged: list[Float64] = []
    best: list[float] = []
    while order.size:
        overlaps = iou(rows[order[0], :4], rows[order, :4]) > threshold
        overlaps[0] = True
        group = order[overlaps]
        merged.append(np.average(rows[group], axis=0, weights=scores[group]))
        best.append(float(scores[order[0]]))
        order = order[~overlaps]
    return np.array(merged).reshape(-1, rows.shape[1]), np.array(best)


def covered_shares(boxes: Boxes, others: Boxes) -> Boxes:
    """N×M: the share of each of the boxes N×4 that each of the others M×4 covers."""
    return _share(_common(boxes, others), _areas(boxes)[:, np.newaxis])


def ious(boxes: Boxes, others: Boxes) -> Boxes:
    """N×M: intersection over union of each of the boxes N×4 with each of the others M×4."""
    common = _common(boxes, others)
    return _share(common, _areas(boxes)[:, np.newaxis] + _areas(others) - common)


def class_wise_nms(boxes: Float32, scores: Float32, classes: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Indices of the boxes N×4 that no better box of their class overlaps by more than `threshold`, best first."""
    corners_and_sizes = np.hstack((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]))
    kept = cv2.dnn.NMSBoxesBatched(corners_and_sizes.tolist(), scores.tolist(), classes.tolist(), 0.0, threshold)
    return np.asarray(kept, dtype=np.int64).reshape(-1)


def distinct(found: Iterable[Found], threshold: float) -> list[Found]:
    """Keep the first of each group of boxes that overlap by more than `threshold` (IoU)."""
    kept: list[Found] = []
    for one in found:
        boxes = np.array([other.box for other in kept], dtype=np.float64).reshape(-1, 4)
        if (iou(np.array(one.box, dtype=np.float64), boxes) <= threshold).all():
            kept.append(one)
    return kept


def _common(boxes: Boxes, others: Boxes) -> Boxes:
    top_left = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    bottom_right = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    common: Boxes = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    return common


def _areas(boxes: Boxes) -> Boxes:
    areas: Boxes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def _share(part: Boxes, whole: Boxes) -> Boxes:
    shares: Boxes = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return shares
