"""A face as a face parser (BiSeNet) sees it, and the label map that the contours take from its labels.

Facts: zllrunning/face-parsing.PyTorch. The parser knows the 19 labels of CelebAMask-HQ and was trained on that set's
photos, which are all cut and turned alike about a face.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from typing_extensions import override

from vision.affine import of_indices
from vision.arrays import RGB, Affine, Float64, LabelMap
from vision.face.segmentation import BACKGROUND, CONTOURS
from vision.face.topology import Topology
from vision.ssd import Roi

PARSER_SIDE = 512
PARSER_DECODED_SIDE = 1024
"""Least side, in decoded pixels, of what is drawn into the input: twice PARSER_SIDE."""
EYES_SHARE, MOUTH_SHARE, LOWERED = 4.0, 3.6, 0.1
"""CelebA-HQ's square (Karras et al., Progressive Growing of GANs, 2018, appendix C): its side in distances between the
eyes and from the eyes to the mouth, and how far its middle lies below the eyes, on the way to the mouth."""

HAIR = CONTOURS.names.index("hair")


def parser_roi(landmarks: Float64, topology: Topology) -> Roi:
    """Frame a face as the photos of CelebAMask-HQ are framed, from landmarks N×2 in source pixels."""
    left, right = (landmarks[list(eye)].mean(axis=0) for eye in topology.eyes)
    lips = [*topology.rings["upper_lip"], *topology.rings["lower_lip"]]
    eyes, mouth = (left + right) / 2, landmarks[lips].mean(axis=0)
    across, down = right - left, mouth - eyes
    x, y = (eyes + LOWERED * down).tolist()
    side = max(EYES_SHARE * math.hypot(*across), MOUTH_SHARE * math.hypot(*down), 1.0)
    upright = across + np.array((down[1], -down[0]))
    return Roi((x, y), side, math.atan2(upright[1], upright[0]))


def parser_input(pixels: RGB) -> RGB:
    """Resize a whole photo H×W×3 to the parser's square, not keeping its aspect, as the original does."""
    resized = Image.fromarray(pixels).resize((PARSER_SIDE, PARSER_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedLabels:
    """A label map of any size, and the map from its pixels to those of the photo."""

    labels: LabelMap
    to_source: Affine

    @property
    def framed(self) -> LabelMap:
        """The labels that a crop around the face should show."""
        return self.labels


class ParsedLabels(PlacedLabels):
    """A face parser's, in the labels of contours. They show where the hairline is. A crop need not show the hair."""

    __slots__ = ()

    @property
    @override
    def framed(self) -> LabelMap:
        return np.where(self.labels < HAIR, self.labels, np.uint8(BACKGROUND))


_TABLE = np.zeros(256, dtype=np.uint8)
_TABLE[:19] = (0, 1, 2, 3, 4, 5, 1, 0, 0, 0, 6, 8, 7, 9, 0, 0, 0, 10, 0)
"""The label in `segmentation.CONTOURS` of each in `segmentation.CELEBAMASK_HQ`."""
_SIDES = ((2, 3), (4, 5))
"""Brows and eyes. Contours name them as the viewer sees them, and the data set does not say how it does."""


def contour_labels(labels: LabelMap, roi: Roi) -> ParsedLabels:
    """Turn CelebAMask-HQ's labels in the crop of `roi` into the eleven that contours have, placed in the photo.

    Glasses become skin. Ears, neck, clothes and hats become background.
    """
    turned = np.asarray(cv2.LUT(labels, _TABLE), dtype=np.uint8)
    for left, right in _SIDES:
        _order(turned, left, right)
    return ParsedLabels(turned, of_indices(roi.to_source(labels.shape[0])))


def _order(labels: LabelMap, left: int, right: int) -> None:
    """Give the label `left` to the one that the viewer sees on the left."""
    places = [np.flatnonzero((labels == label).any(axis=0)) for label in (left, right)]
    if all(map(len, places)) and places[0].mean() > places[1].mean():
        swapped = np.arange(256, dtype=np.uint8)
        swapped[[left, right]] = right, left
        labels[:] = cv2.LUT(labels, swapped)
