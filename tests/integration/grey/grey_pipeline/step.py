"""What Triton runs: named tensors in, named tensors out."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from steps.photo import EncodedPhoto
from steps.tensors import InputError, Tensors, completed, json_object, refused
from vision.arrays import RGB
from vision.encoding import encode_png

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue in what the eye takes for brightness."""


def grey_draw(tensors: Tensors) -> Tensors:
    """`image`, `parameters` BYTES [1] → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K]."""
    parameters = json_object(tensors["parameters"])
    try:
        pixels = EncodedPhoto.read(tensors["image"]).full().pixels
    except InputError as failure:
        return refused(failure.code, failure.detail)
    picture = grey(pixels, cast("float", parameters.get("brightness", 1.0)))
    height, width = picture.shape
    return completed({"photo": {"width": width, "height": height}}, {"grey.png": encode_png(picture)})


def grey(pixels: RGB, brightness: float) -> NDArray[np.uint8]:
    """8-bit grey values, H×W."""
    return np.clip(np.rint(brightness * (pixels @ WEIGHTS)), 0, 255).astype(np.uint8)
