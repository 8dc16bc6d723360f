"""Detectors whose networks answer what they are told, and what the first step makes of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from steps.detect import Networks, detect_find
from steps.detector_windows import Draw, Network
from steps.tensors import Json, Tensors, bytes_tensor, json_tensor
from vision.arrays import Box, Float32, Size
from vision.object_detector import ObjectDetector
from vision.tiles import Fit

SIZE: Size = (240, 160)
FACES = ObjectDetector("face_model", ("face",), Fit.STRETCH, (480, 320), 0.3)
PLATES = ObjectDetector("plate_model", ("license_plate",), Fit.STRETCH, (480, 320), 0.3)
OBJECTS = ObjectDetector("object_model", ("person", "car", "bus"), Fit.STRETCH, (120, 80), 0.5, smallest=16)
DETECTORS = {"faces": FACES, "plates": PLATES, "objects": OBJECTS}
Answers = Mapping[str, Float32]
"""The rows that each model answers, whatever it is shown, by its name."""


def rows(detector: ObjectDetector, *found: tuple[Box, float, str]) -> Float32:
    """Boxes in pixels of a photo of SIZE, scores and labels, as the model answers them; one empty row behind."""
    scale = detector.size[0] / SIZE[0]
    lines = [[*(scale * side for side in box), score, detector.labels.index(label)] for box, score, label in found]
    return np.array([*lines, [0] * 6], np.float32)


def networks(answers: Answers, ran: list[str] | None = None) -> Networks:
    """Networks that answer so; `ran` collects the models that were run."""

    def network(model: str) -> Network:
        def run(draws: Sequence[Draw]) -> Sequence[Float32]:
            if ran is not None:
                ran.append(model)
            return [answers.get(model, np.zeros((0, 6), np.float32)) for _ in draws]

        return run

    return network


def found(photo: bytes, answers: Answers, ran: list[str] | None = None, **parameters: Json) -> Tensors:
    """The tensors of a request after the first step; upright alone unless another direction is asked for."""
    asked = {"rotations": "none", **parameters}
    request = {"image": bytes_tensor([photo]), "parameters": json_tensor(asked)}
    return {**request, **detect_find(DETECTORS, networks(answers, ran))(request)}
