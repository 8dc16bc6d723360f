"""First step: the photo as the two face detectors want it."""

import numpy as np

from steps.failure import carrying_failures
from steps.photo import EncodedPhoto
from steps.tensors import Tensors, json_tensor
from vision.face_detection import DECODED_SIDE, FULL_SIDE, SHORT_SIDE
from vision.letterbox import letterbox


def _blank(_: Tensors) -> Tensors:
    return {
        "short": np.zeros((1, SHORT_SIDE, SHORT_SIDE, 3), np.uint8),
        "full": np.zeros((1, FULL_SIDE, FULL_SIDE, 3), np.uint8),
    }


@carrying_failures(_blank)
def face_input(tensors: Tensors) -> Tensors:
    """Letterbox the photo for each detector.

    `image` BYTES [1] → `short` uint8 1×128×128×3 and `full` uint8 1×192×192×3, both RGB, `context` BYTES [1] JSON.
    """
    encoded = EncodedPhoto.read(tensors["image"])
    photo, size = encoded.reduced(max(encoded.info.size), DECODED_SIDE), encoded.info.size
    return {
        "short": letterbox(photo, size, SHORT_SIDE)[np.newaxis],
        "full": letterbox(photo, size, FULL_SIDE)[np.newaxis],
        "context": json_tensor({}),
    }
