"""A face's landmarks, from the tensors of MediaPipe's face_landmark model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vision import nms
from vision.affine import transform_points
from vision.arrays import Box, Float64
from vision.nms import area
from vision.ssd import Detection, Roi

MESH_SIDE = 192
MESH_DECODED_SIDE = 384
"""Least side, in decoded pixels, of what is drawn into the input: twice MESH_SIDE. More pixels moved no face's
landmarks by 0.1 % of its diagonal."""
LANDMARKS = 468
MARGIN = 1.5
"""RectTransformationCalculator's scale in mediapipe's face mesh graph."""
MIN_PRESENCE = 0.5
"""ThresholdingCalculator in mediapipe's face mesh graph."""
SAME_FACE_IOU = 0.3
"""The same value as for the detectors' boxes."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face: landmarks 468×3 (x, y, z in source pixels, z towards the camera negative), and the box around them."""

    landmarks: Float64
    score: float
    box: Box


def roi_of(detection: Detection) -> Roi:
    """Frame a detected face with a margin, turned so that its eyes are level.

    As mediapipe's DetectionsToRectsCalculator (key points 0 and 1, target angle 0°) and RectTransformationCalculator.
    """
    x1, y1, x2, y2 = detection.box
    (right_x, right_y), (left_x, left_y) = detection.keypoints[:2].tolist()
    side = max(x2 - x1, y2 - y1, 1.0) * MARGIN
    return Roi(((x1 + x2) / 2, (y1 + y2) / 2), side, math.atan2(left_y - right_y, left_x - right_x))


def decode_face(landmarks: ArrayLike, presence: ArrayLike, roi: Roi) -> Face | None:
    """Decode one face's tensors (1404, 1 logit). None if there is no face, or its landmarks are not finite."""
    score = 1 / (1 + math.exp(-np.clip(float(np.asarray(presence).reshape(())), -30, 30)))
    raw = np.asarray(landmarks, dtype=np.float64).reshape(LANDMARKS, 3)
    if not (score >= MIN_PRESENCE and np.isfinite(raw).all()):
        return None
    points = transform_points(raw[:, :2], roi.to_source(MESH_SIDE))
    depth = raw[:, 2:] * (roi.side / MESH_SIDE)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(np.hstack((points, depth)), score, (x1, y1, x2, y2))


def distinct(faces: Iterable[Face]) -> list[Face]:
    """Keep one mesh per face: the first of those whose boxes overlap by more than SAME_FACE_IOU. Largest face first."""
    return sorted(nms.distinct(faces, SAME_FACE_IOU), key=lambda face: -area(face.box))
