"""Tiny detectors with known answers: one box, whose score is the mean of the input's first channel."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
CELLS = 84
"""8·8 + 4·4 + 2·2."""
PLACE = 9
"""Of the box among the cells: row 1, column 1 of the finest grid."""
BOX = (10.0, 20.0, 34.0, 52.0)
CENTRE_AND_SIZE = (22.0, 36.0, 24.0, 32.0)
CLASS = 1

Array = NDArray[np.float32]


def yolov8() -> tuple[Array, Array]:
    """Constant part and the part that the score multiplies, 1×(4+3)×84."""
    base, scored = np.zeros((2, 1, 7, CELLS), np.float32)
    base[0, :4, PLACE] = CENTRE_AND_SIZE
    scored[0, 4 + CLASS, PLACE] = 1
    return base, scored


def yolov5() -> tuple[Array, Array]:
    """1×252×(5+3)."""
    base, scored = np.zeros((2, 1, 3 * CELLS, 8), np.float32)
    base[0, PLACE, :4] = CENTRE_AND_SIZE
    base[0, PLACE, 5 + CLASS] = 1
    scored[0, PLACE, 4] = 1
    return base, scored


def yolox() -> tuple[Array, Array]:
    """1×84×(5+3), relative to the cell of 8×8 pixels; white is 255."""
    base, scored = np.zeros((2, 1, CELLS, 8), np.float32)
    x, y, width, height = CENTRE_AND_SIZE
    base[0, PLACE, :4] = x / 8 - 1, y / 8 - 1, np.log(width / 8), np.log(height / 8)
    base[0, PLACE, 5 + CLASS] = 1
    scored[0, PLACE, 4] = 1 / 255
    return base, scored


def rows() -> tuple[Array, Array]:
    """1×30×6, the box last."""
    base, scored = np.zeros((2, 1, 30, 6), np.float32)
    base[0, -1] = (*BOX, 0, CLASS)
    scored[0, -1, 4] = 1
    return base, scored


def save(
    path: Path, parts: tuple[Array, Array], metadata: Mapping[str, str] | None = None, batch: int | str = 1
) -> Path:
    """Write base + scored · mean of channel 0."""
    base, scored = parts
    nodes = [
        helper.make_node("Gather", ["images", "first"], ["channel"], axis=1),
        helper.make_node("ReduceMean", ["channel"], ["mean"], axes=[2, 3]),
        helper.make_node("Reshape", ["mean", "shape"], ["score"]),
        helper.make_node("Mul", ["scored", "score"], ["part"]),
        helper.make_node("Add", ["base", "part"], ["output0"]),
    ]
    constants = {
        "first": np.array([0]),
        "shape": np.array([-1, 1, 1]),
        "base": base,
        "scored": scored,
    }
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, *base.shape[1:]])
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "drawn", [images], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path
