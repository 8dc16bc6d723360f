"""First step of detection: one decoded photo as every detector wants it."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from steps.failure import carrying_failures
from steps.photo import EncodedPhoto
from steps.tensors import Step, Tensor, Tensors, json_tensor
from vision.arrays import RGB, Size
from vision.object_detector import ObjectDetector

SMALLEST: Size = (1, 1)


class _Inputs(Mapping[str, Tensor]):
    """`{role}_image` of each detector, drawn when it is looked up: not every pipeline asks for every detector's."""

    def __init__(
        self, detectors: Mapping[str, ObjectDetector], draw: Callable[[ObjectDetector], RGB], rest: Tensors
    ) -> None:
        self._detectors = {f"{role}_image": detector for role, detector in detectors.items()}
        self._draw = draw
        self._rest = rest

    def __getitem__(self, name: str) -> Tensor:
        return self._rest[name] if name in self._rest else self._draw(self._detectors[name])[np.newaxis]

    def __contains__(self, name: object) -> bool:
        return name in self._rest or name in self._detectors  # Mapping's own would draw

    def __iter__(self) -> Iterator[str]:
        return iter((*self._detectors, *self._rest))

    def __len__(self) -> int:
        return len(self._detectors) + len(self._rest)


def detect_input(detectors: Mapping[str, ObjectDetector]) -> Step:
    """The step for detectors by role.

    `image` BYTES [1] → for each role `{role}_image` uint8 1×H×W×3 RGB, `context` BYTES [1] JSON, and `photo` uint8
    H×W×3 RGB where the detectors do with no less than every pixel.
    """

    def blank(_: Tensors) -> Tensors:
        return _Inputs(detectors, _black, {})

    @carrying_failures(blank)
    def step(tensors: Tensors) -> Tensors:
        encoded = EncodedPhoto.read(tensors["image"])
        size = encoded.info.size
        photo = encoded.reduced(max(size), max(detector.decoded_side for detector in detectors.values()))
        whole = {"photo": photo.pixels} if photo.pixels.shape[1::-1] == size else {}
        return _Inputs(detectors, lambda detector: detector.draw(photo, size), {**whole, "context": json_tensor({})})

    return step


def _black(detector: ObjectDetector) -> RGB:
    width, height = detector.input_size(SMALLEST)
    return np.zeros((height, width, 3), np.uint8)
