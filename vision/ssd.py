"""MediaPipe's single-shot detectors of people and of faces, and the squares that they frame for the landmark models."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vision.affine import compose, invert, of_indices, scale_and_shift, transform_points, warp
from vision.arrays import RGB, Affine, Box, Float32, Float64, Size
from vision.nms import weighted_nms
from vision.photo import Photo


def ssd_anchors(side: int, strides: Sequence[int], per_cell: int = 2) -> Float32:
    """List the anchor centres (x, y) as fractions of a square input of `side` pixels.

    There is one grid for each run of equal strides, row by row, with `per_cell` anchors per cell and layer of the run.
    This is the order of MediaPipe's SsdAnchorsCalculator with fixed_anchor_size, offset 0.5 and one aspect ratio.
    """
    grids = [
        np.repeat(_centers(-(-side // stride)), per_cell * strides.count(stride), axis=0)
        for stride in dict.fromkeys(strides)
    ]
    return np.concatenate(grids).astype(np.float32)


def _centers(cells: int) -> Float32:
    ticks = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    x, y = np.meshgrid(ticks, ticks)
    centers: Float32 = np.stack((x.ravel(), y.ravel()), axis=1).astype(np.float32)
    return centers


def letterbox_affine(size: Size, side: int) -> Affine:
    """Map the pixels of a frame of `size` into a square of `side` pixels."""
    width, height = size
    scale = side / max(size)
    return scale_and_shift(scale, (side - width * scale) / 2, (side - height * scale) / 2)


def letterbox(photo: Photo, size: Size, side: int) -> RGB:
    """Draw a photo of `size` source pixels into side×side×3, bilinear.

    Pixel indices pass the map unshifted, as in MediaPipe's ImageToTensorCalculator. The detector's results depend on
    this half pixel.
    """
    affine = compose(invert(photo.from_source), of_indices(letterbox_affine(size, side)))
    return warp(photo.pixels, affine, (side, side), interpolation=cv2.INTER_LINEAR)


NMS_IOU = 0.3
"""Option of NonMaxSuppressionCalculator in MediaPipe 0.10's pose and face graphs."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A detected object: box, score, and key points K×2, all in source pixels."""

    box: Box
    score: float
    keypoints: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """A detector whose input is a letterboxed square of `side` pixels. `anchors` A×2 are fractions of it."""

    side: int
    anchors: Float32

    def decode(self, boxes: ArrayLike, scores: ArrayLike, size: Size, least: float) -> list[Detection]:
        """Decode raw boxes A×(4 + 2K) and score logits A for a photo of `size`. Best score first.

        A box row is x, y, width, height, then K points x, y: offsets from the anchor, in input pixels. Boxes that score
        less than `least` are left out, and overlapping ones are merged.
        """
        logits = np.asarray(scores, dtype=np.float64).reshape(-1)
        passing = np.flatnonzero(logits >= np.log(least / (1 - least)))
        raw = np.asarray(boxes, dtype=np.float32).reshape(len(self.anchors), -1)[passing]
        rows = self._rows(raw, self.anchors[passing])
        usable = np.isfinite(rows).all(axis=1) & (rows[:, 2:4] >= rows[:, :2]).all(axis=1)
        probabilities = 1 / (1 + np.exp(-np.minimum(logits[passing][usable], 100.0)))
        merged, best = weighted_nms(rows[usable], probabilities, NMS_IOU)
        to_source = invert(letterbox_affine(size, self.side))
        points = transform_points(merged.reshape(-1, 2), to_source).reshape(-1, raw.shape[1] // 2, 2)
        return [_detection(found, float(score)) for found, score in zip(points, best, strict=True)]

    def _rows(self, raw: Float32, anchors: Float32) -> Float64:
        """Corners and key points N×(4 + 2K) in input pixels."""
        points = raw.reshape(len(raw), raw.shape[1] // 2, 2).astype(np.float64)
        half_size = points[:, 1] / 2
        origin = anchors.astype(np.float64) * self.side
        center = points[:, 0] + origin
        corners = np.stack((center - half_size, center + half_size), axis=1)
        rows: Float64 = np.concatenate((corners, points[:, 2:] + origin[:, None]), axis=1)
        return rows.reshape(raw.shape)


def _detection(points: Float64, score: float) -> Detection:
    (x1, y1), (x2, y2) = points[0], points[1]
    return Detection((float(x1), float(y1), float(x2), float(y2)), score, points[2:])


PERSON_SIDE = 224
PERSON_DECODED_SIDE = 448
"""Least side, in decoded pixels, of what is drawn into the input: twice PERSON_SIDE. A JPEG reduced further is smoother
than the input that MediaPipe gives the model, and landmarks and mask move by a few per cent."""
MIN_SCORE = 0.5
"""Option of TensorsToDetectionsCalculator in MediaPipe 0.10's pose graph, and for both detectors of faces. MediaPipe's
own graph of the far one has 0.6. At 0.4 more faces in groups are found. On 5 of 180 cuts from photos of traffic, so are
numbers of buses and roads, which the landmark model also takes for faces."""
WEAK_SCORE = 0.4
"""The one person in one of 12 COCO photos is found only at this score. At 0.28 a car was taken for a person."""

PERSON_ANCHORS = ssd_anchors(PERSON_SIDE, (8, 16, 32, 32, 32))
PERSON_ANCHORS.flags.writeable = False
_PERSON = Detector(PERSON_SIDE, PERSON_ANCHORS)


def decode_pose_detections(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode the raw boxes 2254×12 and score logits 2254×1 of pose_detection for a photo of `size`. Best score first.

    A detection's box is that of the face. Its four points are mid-hip, body circle, mid-shoulder and upper-body circle.
    The circle about mid-hip through the second point holds the whole body. If no detection reaches MIN_SCORE, those
    that reach WEAK_SCORE are used: the landmark model then decides which of them are people.
    """
    found = _PERSON.decode(boxes, scores, size, MIN_SCORE)
    return found or _PERSON.decode(boxes, scores, size, WEAK_SCORE)


SHORT_SIDE, FULL_SIDE = 128, 192
"""Inputs of the detectors for faces within about 2 m and within about 5 m."""
FACE_DECODED_SIDE = 768
"""Least side, in decoded pixels, of what is drawn into both inputs: four times the larger. At half of this, the frame
of a face in profile moved so far that its landmarks were off by 3 % of its diagonal."""

SHORT_ANCHORS = ssd_anchors(SHORT_SIDE, (8, 16, 16, 16))
FULL_ANCHORS = ssd_anchors(FULL_SIDE, (4,), per_cell=1)
"""SsdAnchorsCalculator's options in MediaPipe 0.10's graphs: 896 and 2304 anchors."""

_SHORT = Detector(SHORT_SIDE, SHORT_ANCHORS)
_FULL = Detector(FULL_SIDE, FULL_ANCHORS)


def decode_short_range(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode raw boxes 896×16 and score logits 896×1 for a photo of `size`. Best score first.

    Key points of both detectors of faces: right eye, left eye (the subject's), nose tip, mouth, right and left ear.
    """
    return _SHORT.decode(boxes, scores, size, MIN_SCORE)


def decode_full_range(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode raw boxes 2304×16 and score logits 2304×1 for a photo of `size`. Best score first."""
    return _FULL.decode(boxes, scores, size, MIN_SCORE)


MARGIN = 1.25
"""RectTransformationCalculator's scale in mediapipe's pose graph."""


@dataclass(frozen=True, slots=True)
class Roi:
    """A square of `side` source pixels around `center`, turned clockwise by `rotation` radians."""

    center: tuple[float, float]
    side: float
    rotation: float

    def to_source(self, pixels: int) -> Affine:
        """Map the pixels of a crop of `pixels` a side to source pixels."""
        scale = self.side / pixels
        cos, sin = scale * math.cos(self.rotation), scale * math.sin(self.rotation)
        half = pixels / 2
        shift_x = self.center[0] - half * (cos - sin)
        shift_y = self.center[1] - half * (sin + cos)
        return np.array([[cos, -sin, shift_x], [sin, cos, shift_y]])


def roi_of(detection: Detection) -> Roi:
    """Frame the circle around mid-hip through the body point, turned so that this point lies straight up.

    This follows MediaPipe's AlignmentPointsRectsCalculator (target angle 90°) and RectTransformationCalculator.
    """
    (x, y), (top_x, top_y) = detection.keypoints[:2].tolist()
    radius = max(math.hypot(top_x - x, top_y - y), 1.0)
    rotation = math.remainder(math.pi / 2 - math.atan2(y - top_y, top_x - x), 2 * math.pi)
    return Roi((x, y), 2 * radius * MARGIN, rotation)


def crop(photo: Photo, roi: Roi, side: int) -> RGB:
    """Cut the region out as side×side×3, bilinear. Beyond the photo its edge is repeated.

    Pixel indices pass the map unshifted and the border is replicated, as in MediaPipe's ImageToTensorCalculator.
    """
    affine = compose(invert(photo.from_source), of_indices(invert(roi.to_source(side))))
    return warp(photo.pixels, affine, (side, side), interpolation=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE)
