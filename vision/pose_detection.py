"""People in a photo, from the tensors of mediapipe's pose_detection model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vision.affine import invert, transform_points
from vision.anchors import ssd_anchors
from vision.arrays import Box, Float32, Float64, Size
from vision.letterbox import letterbox_affine
from vision.nms import weighted_nms

INPUT_SIDE = 224
DECODED_SIDE = 448
"""Least side, in decoded pixels, of what is drawn into the input: twice INPUT_SIDE. Reduced further, a JPEG is
smoother than what mediapipe feeds the model, and landmarks and mask move by a few per cent."""
STRIDES = (8, 16, 32, 32, 32)
MIN_SCORE = 0.5
NMS_IOU = 0.3
"""Options of TensorsToDetectionsCalculator and NonMaxSuppressionCalculator in mediapipe 0.10's pose graph."""
WEAK_SCORE = 0.4
"""One of 12 COCO photos of people shows its person only at this score; at 0.28 a car passed for a person."""

ANCHORS = ssd_anchors(INPUT_SIDE, STRIDES)
ANCHORS.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A person found: face box, score, and four points 4×2: mid-hip, body circle, mid-shoulder, upper-body circle.

    All in source pixels. The circle about mid-hip through the second point holds the whole body.
    """

    box: Box
    score: float
    keypoints: Float64


def decode_detections(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode the model's raw boxes 2254×12 and score logits 2254×1 for a photo of `size`; best score first.

    A box row is x, y, width, height, then four points x, y: offsets from the anchor, in input pixels.
    Where nothing reaches MIN_SCORE, what reaches WEAK_SCORE is taken: the landmark model then tells who is a person.
    """
    return _decode(boxes, scores, size, MIN_SCORE) or _decode(boxes, scores, size, WEAK_SCORE)


def _decode(boxes: ArrayLike, scores: ArrayLike, size: Size, least: float) -> list[Detection]:
    logits = np.asarray(scores, dtype=np.float64).reshape(-1)
    passing = np.flatnonzero(logits >= np.log(least / (1 - least)))
    raw = np.asarray(boxes, dtype=np.float32).reshape(-1, 12)[passing]
    rows = _rows(raw, ANCHORS[passing])
    usable = np.isfinite(rows).all(axis=1) & (rows[:, 2:4] >= rows[:, :2]).all(axis=1)
    probabilities = 1 / (1 + np.exp(-np.minimum(logits[passing][usable], 100.0)))
    merged, best = weighted_nms(rows[usable], probabilities, NMS_IOU)
    to_source = invert(letterbox_affine(size, INPUT_SIDE))
    points = transform_points(merged.reshape(-1, 2), to_source).reshape(-1, 6, 2)
    return [_detection(found, float(score)) for found, score in zip(points, best, strict=True)]


def _rows(raw: Float32, anchors: Float32) -> Float64:
    """Corners and points N×12 in input pixels."""
    points = raw.reshape(-1, 6, 2).astype(np.float64)
    half_size = points[:, 1] / 2
    origin = anchors.astype(np.float64) * INPUT_SIDE
    center = points[:, 0] + origin
    corners = np.stack((center - half_size, center + half_size), axis=1)
    rows: Float64 = np.concatenate((corners, points[:, 2:] + origin[:, None]), axis=1)
    return rows.reshape(-1, 12)


def _detection(points: Float64, score: float) -> Detection:
    (x1, y1), (x2, y2) = points[0], points[1]
    return Detection((float(x1), float(y1), float(x2), float(y2)), score, points[2:])
