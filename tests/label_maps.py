"""Label maps for tests, drawn about landmarks."""

import cv2
import numpy as np

from vision.encoding import encode_png
from vision.face.topology import MESH

SKIN, NOSE, HAIR = 1, 6, 10


def painted(landmarks: list[dict[str, float]], size: tuple[int, int], scale: float = 1.0) -> bytes:
    """A PNG of hair, skin and nose under a face mesh's landmarks; `scale` is its size, in that of the photo."""
    points = np.array([(point["x"], point["y"]) for point in landmarks]) * scale
    labels = np.zeros((round(size[1] * scale), round(size[0] * scale)), np.uint8)
    oval = points[list(MESH.rings["face_oval"])]
    for label, ring in ((HAIR, (oval - oval.mean(axis=0)) * 1.3 + oval.mean(axis=0)), (SKIN, oval)):
        cv2.fillPoly(labels, [np.rint(ring).astype(np.int32)], (label,))
    cv2.fillPoly(labels, [np.rint(points[list(MESH.rings["nose"])]).astype(np.int32)], (NOSE,))
    return encode_png(labels)
