"""Faces in a photo, from the tensors of MediaPipe's two face detectors.

A detection's key points are those of the detectors: right eye, left eye (the subject's), nose tip, mouth, right and
left ear.
"""

from numpy.typing import ArrayLike

from vision.arrays import Size
from vision.ssd import Detection, Detector, ssd_anchors

SHORT_SIDE, FULL_SIDE = 128, 192
"""Inputs of the detectors for faces within about 2 m and within about 5 m."""
DECODED_SIDE = 768
"""Least side, in decoded pixels, of what is drawn into both inputs: four times the larger. At half of this, the frame
of a face in profile moved so far that its landmarks were off by 3 % of its diagonal."""
MIN_SCORE = 0.5
"""For both. MediaPipe's own graph for the full range has 0.6. At 0.4 more faces in groups are found. On 5 of 180 cuts
from photos of traffic, so are numbers of buses and roads, which the landmark model also takes for faces."""

SHORT_ANCHORS = ssd_anchors(SHORT_SIDE, (8, 16, 16, 16))
FULL_ANCHORS = ssd_anchors(FULL_SIDE, (4,), per_cell=1)

"""SsdAnchorsCalculator's options in mediapipe 0.10's graphs: 896 and 2304 anchors."""

_SHORT = Detector(SHORT_SIDE, SHORT_ANCHORS)
_FULL = Detector(FULL_SIDE, FULL_ANCHORS)


def decode_short_range(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode raw boxes 896×16 and score logits 896×1 for a photo of `size`. Best score first."""
    return _SHORT.decode(boxes, scores, size, MIN_SCORE)


def decode_full_range(boxes: ArrayLike, scores: ArrayLike, size: Size) -> list[Detection]:
    """Decode raw boxes 2304×16 and score logits 2304×1 for a photo of `size`. Best score first."""
    return _FULL.decode(boxes, scores, size, MIN_SCORE)
