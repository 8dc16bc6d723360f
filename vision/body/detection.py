"""People in a photo, from the tensors of MediaPipe's pose_detection model."""

from numpy.typing import ArrayLike

from vision.arrays import Size
from vision.ssd import Detection, Detector, ssd_anchors

INPUT_SIDE = 224
DECODED_SIDE = 448
"""Least side, in decoded pixels, of what is drawn into the input: twice INPUT_SIDE. A JPEG reduced further is smoother
than the input that MediaPipe gives the model, and landmarks and mask move by a few per cent."""
STRIDES = (8, 16, 32, 32, 32)
MIN_SCORE = 0.5
"""Options of SsdAnchorsCalculator and TensorsToDetectionsCalculator in mediapipe 0.10's pose graph."""
WEAK_SCORE = 0.4
"""The one person in one of 12 COCO photos is found only at this score. At 0.28 a car was taken for a person."""

ANCHORS = ssd_anchors(INPUT_SIDE, STRIDES)
ANCHORS.flags.writeable = False
_DETECTOR = Detector(INPUT_SIDE, ANCHORS)


def decode_detections(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode the model's raw boxes 2254×12 and score logits 2254×1 for a photo of `size`. Best score first.

    A detection's box is that of the face. Its four points are mid-hip, body circle, mid-shoulder and upper-body circle.
    The circle about mid-hip through the second point holds the whole body. If no detection reaches MIN_SCORE, those
    that reach WEAK_SCORE are used: the landmark model then decides which of them are people.
    """
    found = _DETECTOR.decode(boxes, scores, size, MIN_SCORE)
    return found or _DETECTOR.decode(boxes, scores, size, WEAK_SCORE)
