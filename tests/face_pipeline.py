"""The steps that find faces, as an ensemble that ends before anything is drawn."""

import tempfile
from pathlib import Path

import cv2

from deploy.embedded.triton import MODELS
from steps.ensemble import Ensemble, steps_of
from steps.face_contours import found_faces
from steps.onnx_session import OnnxNetworks, SessionOptions
from steps.tensors import Tensor, bytes_tensor
from vision.face.mesh import Face

CONFIG = """
platform: "ensemble"
input [ { name: "image" data_type: TYPE_STRING dims: [ 1 ] } ]
output [
  { name: "context" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "landmarks" data_type: TYPE_FP32 dims: [ -1, 1404 ] },
  { name: "presence" data_type: TYPE_FP32 dims: [ -1, 1 ] }
]
ensemble_scheduling { step [
  { model_name: "face_input" model_version: -1
    input_map { key: "image" value: "image" }
    output_map { key: "short" value: "short" } output_map { key: "full" value: "full" }
    output_map { key: "context" value: "photo_context" } },
  { model_name: "face_detection_short_range" model_version: -1
    input_map { key: "image" value: "short" }
    output_map { key: "boxes" value: "short_boxes" } output_map { key: "scores" value: "short_scores" } },
  { model_name: "face_detection_full_range" model_version: -1
    input_map { key: "image" value: "full" }
    output_map { key: "boxes" value: "full_boxes" } output_map { key: "scores" value: "full_scores" } },
  { model_name: "face_crop" model_version: -1
    input_map { key: "image" value: "image" } input_map { key: "context" value: "photo_context" }
    input_map { key: "short_boxes" value: "short_boxes" } input_map { key: "short_scores" value: "short_scores" }
    input_map { key: "full_boxes" value: "full_boxes" } input_map { key: "full_scores" value: "full_scores" }
    output_map { key: "crops" value: "crops" } output_map { key: "context" value: "context" } },
  { model_name: "face_landmark" model_version: -1
    input_map { key: "image" value: "crops" }
    output_map { key: "landmarks" value: "landmarks" } output_map { key: "presence" value: "presence" } }
] }
"""


def load_pipeline(threads: int = 1) -> Ensemble:
    """The steps in this process; each model on `threads` threads."""
    cv2.setNumThreads(threads)
    options = SessionOptions(intra_op_thread_count=threads, allow_spinning=False)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.pbtxt").write_text(CONFIG)
        return Ensemble(Path(folder), MODELS, steps_of(MODELS, OnnxNetworks(MODELS, options)), options)


def image_tensor(photo: bytes) -> dict[str, Tensor]:
    """The input of one request."""
    return {"image": bytes_tensor([photo])}


def find(pipeline: Ensemble, photo: bytes) -> list[Face]:
    """All faces, the largest first. Raises InputError where there is none."""
    return found_faces(pipeline(image_tensor(photo)))
