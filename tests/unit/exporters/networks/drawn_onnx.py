"""Small ONNX models with the outside of SCHP's parsers, as OOTDiffusion's files have it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUTPUTS = ("parsing", "fusion", "edge")


def parser(
    classes: int = 18,
    side: int = 512,
    *,
    outputs: Sequence[str] = OUTPUTS,
    images: int | str = 1,
    small: int | None = None,
    declared: bool = True,
) -> onnx.ModelProto:
    """Means of 4×4 pixels, and three 1×1 convolutions. One image is written into sizes, if it takes one."""
    small = small or -(-side // 4)
    rng = np.random.default_rng(classes)
    nodes, weights = [], [weight("sizes", np.array([1, 3, small, small]))]
    nodes.append(
        helper.make_node("AveragePool", ["input.1"], ["means"], kernel_shape=[4, 4], strides=[4, 4], ceil_mode=1)
    )
    if images == 1:
        nodes.append(helper.make_node("Resize", ["means", "", "", "sizes"], ["sized"], mode="linear"))
        nodes.append(helper.make_node("Reshape", ["sized", "sizes"], ["shaped"]))
    else:
        nodes.append(helper.make_node("Identity", ["means"], ["shaped"]))
    # a constant with a first side of 1, which is not the number of images
    row = helper.make_tensor("row", TensorProto.INT64, [4], [1, 3, 1, 1])
    weights.append(weight("offset", rng.normal(size=3).astype(np.float32)))
    nodes.append(helper.make_node("Constant", [], ["row"], value=row))
    nodes.append(helper.make_node("Reshape", ["offset", "row"], ["offsets"]))
    nodes.append(helper.make_node("Add", ["shaped", "offsets"], ["moved"]))
    for name, count in zip(OUTPUTS, (classes, classes, 2), strict=True):
        weights.append(weight(f"{name}.weight", rng.normal(size=(count, 3, 1, 1)).astype(np.float32)))
        weights.append(weight(f"{name}.bias", rng.normal(size=count).astype(np.float32)))
        nodes.append(helper.make_node("Conv", ["moved", f"{name}.weight", f"{name}.bias"], [name]))
    source = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [images, 3, side, side])
    sizes = (small, small) if declared else ("h", "w")
    counts = {"parsing": classes, "fusion": classes, "edge": 2} if declared else {}
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [images, counts.get(name, "C"), *sizes])
        for name in outputs
    ]
    graph = helper.make_graph(nodes, "parser", [source], results, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def save(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def weight(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)
