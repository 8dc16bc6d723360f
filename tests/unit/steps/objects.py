"""Rows as detectors answer them, of objects that are known."""

import numpy as np
from vision.plates import PlateFinder

from steps.detect_find import Finders
from steps.tensors import Tensors, json_tensor
from vision.arrays import Box, Size
from vision.fit import Fit
from vision.object_detector import ObjectDetector

SIZE: Size = (240, 160)
FACES = ObjectDetector("face_model", ("face",), Fit.STRETCH, (480, 320), 0.3)
OBJECTS = ObjectDetector("object_model", ("person", "car", "bus"), Fit.STRETCH, (120, 80), 0.5)
DETECTORS = {"faces": FACES, "objects": OBJECTS}
FINDERS = Finders(DETECTORS, PlateFinder())


def rows(detector: ObjectDetector, *found: tuple[Box, float, str]) -> np.ndarray:
    """Boxes in pixels of a photo of SIZE, scores and labels, as the model answers them; one empty row behind."""
    scale = detector.size[0] / SIZE[0]
    lines = [[*(scale * side for side in box), score, detector.labels.index(label)] for box, score, label in found]
    return np.array([[*lines, [0] * 6]], np.float32)


def context(failure: str | None = None) -> Tensors:
    return {"context": json_tensor({"failure": {"code": failure, "detail": "x"}} if failure else {})}
