"""First step: the photo as the pose detector wants it."""

import numpy as np

from steps.failure import carrying_failures
from steps.photo import EncodedPhoto
from steps.tensors import Tensors, json_tensor
from vision.letterbox import letterbox
from vision.pose_detection import DECODED_SIDE, INPUT_SIDE


def _blank(_: Tensors) -> Tensors:
    return {"pixels": np.zeros((1, INPUT_SIDE, INPUT_SIDE, 3), np.uint8)}


@carrying_failures(_blank)
def pose_input(tensors: Tensors) -> Tensors:
    """`image` BYTES [1] → `pixels` uint8 1×224×224×3 RGB letterboxed, `context` BYTES [1] JSON."""
    encoded = EncodedPhoto.read(tensors["image"])
    photo = encoded.reduced(max(encoded.info.size), DECODED_SIDE)
    pixels = letterbox(photo, encoded.info.size, INPUT_SIDE)
    return {"pixels": pixels[np.newaxis], "context": json_tensor({})}
