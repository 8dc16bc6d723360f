"""People in a photo, from the tensors of mediapipe's pose_detection model."""

from numpy.typing import ArrayLike

from vision.arrays import Size
from vision.ssd import Detection, Detector, ssd_anchors

INPUT_SIDE = 224
DECODED_SIDE = 448
"""Least side, in decoded pixels, of what is drawn into the input: twice INPUT_SIDE. Reduced further, a JPEG is
smoother than what mediapipe feeds the model, and landmarks and mask move by a few per cent."""
STRIDES = (8, 16, 32, 32, 32)
MIN_SCORE = 0.5
"""Options of SsdAnchorsCalculator and TensorsToDetectionsCalculator in mediapipe 0.10's pose graph."""
WEAK_SCORE = 0.4
"""One of 12 COCO photos of people shows its person only at this score; at 0.28 a car passed for a person."""

ANCHORS = ssd_anchors(INPUT_SIDE, STRIDES)
ANCHORS.flags.writeable = False
_DETECTOR = Detector(INPUT_SIDE, ANCHORS)


def decode_detections(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode the model's raw boxes 2254×12 and score logits 2254×1 for a photo of `size`; best score first.

    A detection's box is the face's; its four points are mid-hip, body circle, mid-shoulder and upper-body circle. The
    circle about mid-hip through the second point holds the whole body. Where nothing reaches MIN_SCORE, what reaches
    WEAK_SCORE is taken: the landmark model then tells who is a person.
    """
    found = _DETECTOR.decode(boxes, scores, size, MIN_SCORE)
    return found or _DETECTOR.decode(boxes, scores, size, WEAK_SCORE)
