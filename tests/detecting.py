"""A detector of the model repository, run in this process on whole photos."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporters.catalogue import DEFAULT_PATHS
from steps.object_detectors import detector_model
from steps.onnx_session import OnnxSession, SessionOptions
from steps.photo import EncodedPhoto
from steps.tensors import bytes_tensor
from vision.arrays import RGB, Float32
from vision.object_detector import Detections, ObjectDetector
from vision.tiles import View


@dataclass(frozen=True)
class LoadedDetector:
    """What the configuration says, and the model."""

    detector: ObjectDetector
    session: OnnxSession

    def detect(self, photo: bytes, least: float) -> Detections:
        """Objects in a JPEG or PNG."""
        size = _read(photo).info.size
        rows, whole = self.rows(self.draw(photo)), self.detector.whole(size)
        return self.detector.located(rows, whole, size, least).distinct(self.detector.iou)

    def draw(self, photo: bytes) -> RGB:
        """The model's input."""
        view = View(_read(photo).full().pixels)
        return self.detector.draw(view, self.detector.whole(view.size))

    def rows(self, image: RGB) -> Float32:
        """The rows of one input H×W×3."""
        (rows,) = self.session.run({"image": image[np.newaxis]}, ["detections"])
        return rows[0]


def load_detector(name: str, repository: Path = DEFAULT_PATHS.model_repository) -> LoadedDetector:
    """Raises what onnxruntime raises where the model is not exported."""
    model = detector_model(repository / name)
    assert model is not None
    return LoadedDetector(model.detector, OnnxSession(repository / name / "1" / "model.onnx", SessionOptions(2)))


def _read(photo: bytes) -> EncodedPhoto:
    return EncodedPhoto.read(bytes_tensor([photo]))
