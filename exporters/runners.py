"""Running a checkpoint in the LiteRT interpreter and its translation in onnxruntime, for comparison."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from exporters.recipes import Recipe

Outputs = Mapping[str, NDArray[np.float32]]


def run_litert(checkpoint: Path, recipe: Recipe, images: NDArray[np.uint8], kernels: OpResolverType) -> Outputs:
    """The outputs `recipe` names, one image at a time, each flattened to N×size."""
    interpreter = Interpreter(str(checkpoint), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    indices = {recipe.outputs.get(each["name"]): each["index"] for each in interpreter.get_output_details()}
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in recipe.outputs.values()}
    for image in images:
        interpreter.set_tensor(source, _normalise(image[np.newaxis], recipe))
        interpreter.invoke()
        for name, row in rows.items():
            row.append(interpreter.get_tensor(indices[name]).ravel())
    return {name: np.stack(row) for name, row in rows.items()}


def run_onnx(model: bytes, recipe: Recipe, images: NDArray[np.uint8]) -> Outputs:
    """The outputs of `recipe`, all images as one batch, each flattened to N×size."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = list(recipe.outputs.values())
    arrays = session.run(names, {"image": images})
    return {name: array.reshape(len(images), -1) for name, array in zip(names, arrays, strict=True)}


def _normalise(images: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    scaled = images.astype(np.float32) * np.float32(recipe.input_range.scale)
    return scaled + np.float32(recipe.input_range.low)
