"""A nearer look at hidden faces: three networks, on cut-outs about each at several scales."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from exporters.catalogue import DEFAULT_PATHS
from steps.onnx_session import OnnxSession, SessionOptions
from tests.detecting import LoadedDetector
from vision.affine import scale_and_shift, warp
from vision.arrays import RGB, Box, Float64
from vision.ssd import FULL_SIDE, SHORT_SIDE, decode_full_range, decode_short_range

CENTERFACE = ((2.0, 128), (3.0, 288), (4.0, 192))
SHORT = (1.7, 2.5, 4.0)
FULL = (2.5, 5.0, 8.0)
"""Sides of the cut-outs, in longer sides of the face; of CenterFace with the pixels of its input."""
THRESHOLD = 0.2
"""Of CenterFace; that of the two others is MediaPipe's."""
LIKE = (0.4, 2.5)
"""A find counts whose longer side is within these shares of the hidden face's."""


class NearerLook:
    """CenterFace, and MediaPipe's face detectors for the short and the full range."""

    def __init__(self, centerface: LoadedDetector) -> None:
        self._centerface = centerface
        self._short, self._full = (
            OnnxSession(DEFAULT_PATHS.model_repository / name / "1" / "model.onnx", SessionOptions(2))
            for name in ("face_detection_short_range", "face_detection_full_range")
        )

    def found(self, pixels: RGB, faces: Sequence[Box]) -> int:
        """How many of the faces, boxes in `pixels` H×W×3, any of the networks finds."""
        return sum(any(_like(find) for find in self._finds(pixels, face)) for face in faces)

    def _finds(self, pixels: RGB, face: Box) -> Iterator[Float64]:
        """Boxes in longer sides of the face, from its middle."""
        for sides, width in CENTERFACE:
            rows = self._centerface.rows(_cut_out(pixels, face, sides, width))
            yield from ((row[:4] / width - 0.5) * sides for row in rows if row[4] >= THRESHOLD)
        for session, decode, width, scales in (
            (self._short, decode_short_range, SHORT_SIDE, SHORT),
            (self._full, decode_full_range, FULL_SIDE, FULL),
        ):
            for sides in scales:
                image = _cut_out(pixels, face, sides, width)[np.newaxis]
                boxes, scores = session.run({"image": image}, ["boxes", "scores"])
                for one in decode(boxes[0], scores[0], (width, width)):
                    yield (np.array(one.box) / width - 0.5) * sides


def _cut_out(pixels: RGB, face: Box, sides: float, width: int) -> RGB:
    """A square of `sides` longer sides of the face about its middle, drawn to `width` pixels; black off the photo."""
    x1, y1, x2, y2 = face
    side = sides * max(x2 - x1, y2 - y1)
    scale = width / side
    left, top = ((low + high - side) / 2 for low, high in ((x1, x2), (y1, y2)))
    affine = scale_and_shift(scale, -left * scale, -top * scale)
    return warp(_blurred(pixels, scale), affine, (width, width), interpolation=cv2.INTER_LINEAR)


def _blurred(pixels: RGB, scale: float) -> RGB:
    """Without what is too fine for the scale."""
    return pixels if scale >= 1 else np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.4 / scale), dtype=np.uint8)


def _like(find: Float64) -> bool:
    """Whether a box is of about the face's size, and its middle within half its longer side of the face's."""
    x1, y1, x2, y2 = find
    least, most = LIKE
    return bool(max(abs(x1 + x2), abs(y1 + y2)) < 1 and least <= max(x2 - x1, y2 - y1) <= most)
