"""How much of a photo is hidden for each face, and how much of the face beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steps.detect import FACE
from steps.privacy_blur import PrivacyBlurParameters
from vision.arrays import RGB, Box, Mask, Size
from vision.nms import area
from vision.redaction.redact import coverage
from vision.redaction.region import Region, Window
from vision.redaction.styles import Target


@dataclass(frozen=True)
class Tightness:
    """Of one face: the pixels that change for it and those wholly hidden, in areas of its box.

    `of_neighbour` is the share of the nearest face's box that is hidden with it, where the gap between the two boxes
    is less than the longer side of this one; None where no face is so near.
    """

    touched: float
    covered: float
    of_neighbour: float | None


def tightness(faces: Sequence[Box], pixels: RGB) -> tuple[Tightness, ...]:
    """Each face of a photo, hidden as it is by default."""
    size = pixels.shape[1], pixels.shape[0]
    return tuple(_of(face, [other for other in faces if other != face], size) for face in faces)


def _of(face: Box, others: Sequence[Box], size: Size) -> Tightness:
    region = Region.about(Target(face, PrivacyBlurParameters().redaction(FACE)))
    around = Window(*(round(side) for side in _grown(face)))  # beyond the photo as well: a face at its border is whole
    alpha = coverage(region, around)
    near = [other for other in others if _gap(face, other) < max(face[2] - face[0], face[3] - face[1])]
    nearest = min(near, key=lambda other: _gap(face, other), default=None)
    hidden = None if nearest is None else _share(coverage(region, Window.about(nearest, size)))
    return Tightness((alpha > 0).sum() / area(face), (alpha == np.uint8(255)).sum() / area(face), hidden)


def _grown(box: Box) -> Box:
    x1, y1, x2, y2 = box
    side = 2 * max(x2 - x1, y2 - y1)
    return x1 - side, y1 - side, x2 + side, y2 + side


def _gap(one: Box, other: Box) -> float:
    across = max(one[0] - other[2], other[0] - one[2], 0)
    down = max(one[1] - other[3], other[1] - one[3], 0)
    return float(np.hypot(across, down))


def _share(alpha: Mask) -> float:
    return float(alpha.mean()) / 255 if alpha.size else 0.0
