"""First step of detection: one decoded photo as every detector wants it."""

from collections.abc import Mapping

import numpy as np

from steps.failure import carrying_failures
from steps.photo import EncodedPhoto
from steps.tensors import Step, Tensor, Tensors, json_tensor
from vision.arrays import RGB, Size
from vision.object_detector import ObjectDetector

SMALLEST: Size = (1, 1)


def detect_input(detectors: Mapping[str, ObjectDetector]) -> Step:
    """The step for detectors by role.

    `image` BYTES [1] → for each role `{role}_image` uint8 1×H×W×3 RGB, `context` BYTES [1] JSON.
    """

    def blank(_: Tensors) -> Tensors:
        return {_name(role): _batch(_black(detector)) for role, detector in detectors.items()}

    @carrying_failures(blank)
    def step(tensors: Tensors) -> Tensors:
        encoded = EncodedPhoto.read(tensors["image"])
        size = encoded.info.size
        photo = encoded.reduced(max(size), max(detector.decoded_side for detector in detectors.values()))
        images = {_name(role): _batch(detector.draw(photo, size)) for role, detector in detectors.items()}
        return {**images, "context": json_tensor({})}

    return step


def _name(role: str) -> str:
    return f"{role}_image"


def _black(detector: ObjectDetector) -> RGB:
    width, height = detector.input_size(SMALLEST)
    return np.zeros((height, width, 3), np.uint8)


def _batch(image: RGB) -> Tensor:
    return image[np.newaxis]
