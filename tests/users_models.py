"""Small models with the outside of users' networks, made without torch. What they answer is easy to predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.unit.exporters.networks import drawn_onnx

BRIGHT, HAIRLINE = 0.5, 150
"""From this mean of the normalised channels on, the parser sees upper clothes; above this row, the face parser hair."""
_CONFIG = """platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 4
input [ {{ name: "image" data_type: TYPE_UINT8 dims: [ {image} ] }} ]
output [ {outputs} ]
"""


def bright_parser(path: Path, classes: int = 18, side: int = 512, label: int = 4) -> Path:
    """A file as OOTDiffusion has it, of a parser that gives one label to what is bright, and 0 to the rest."""
    model = drawn_onnx.parser(classes, side, images="batch")
    weights, biases = np.zeros((classes, 3, 1, 1), np.float32), np.full(classes, -100, np.float32)
    weights[label], biases[[0, label]] = 1 / 3, (0, -BRIGHT)
    for tensor in model.graph.initializer:
        for name, values in (("fusion.weight", weights), ("fusion.bias", biases)):
            if tensor.name == name:
                tensor.CopyFrom(drawn_onnx.weight(name, values))
    return drawn_onnx.save(path, model)


def blind_pose(repository: Path) -> None:
    """OpenPose's outside, and maps in which there is nobody."""
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
    ]
    weights = []
    for name, count in (("heatmap", 19), ("paf", 38)):
        weights.append(numpy_helper.from_array(np.zeros((count, 3, 1, 1), np.float32), f"{name}.weight"))
        nodes.append(helper.make_node("Conv", ["means", f"{name}.weight"], [f"{name}.planes"]))
        nodes.append(helper.make_node("Transpose", [f"{name}.planes"], [name], perm=[0, 2, 3, 1]))
    outputs = {"heatmap": [-1, -1, 19], "paf": [-1, -1, 38]}
    _write(repository / "openpose_body", nodes, weights, [-1, -1, 3], outputs)


def straight_hairline(repository: Path) -> None:
    """BiSeNet's outside: hair (17) above the row HAIRLINE of every crop, skin (1) below."""
    labels = np.where(np.arange(512)[:, np.newaxis] < HAIRLINE, 17, 1) * np.ones((1, 512), np.int64)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["means"], axes=[3], keepdims=0),
        helper.make_node("Mul", ["means", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "rows"], ["both"]),
        helper.make_node("Cast", ["both"], ["labels"], to=TensorProto.UINT8),
    ]
    weights = [
        numpy_helper.from_array(np.array(0, np.float32), "zero"),
        numpy_helper.from_array(labels.astype(np.float32), "rows"),
    ]
    _write(repository / "bisenet_face", nodes, weights, [512, 512, 3], {"labels": [512, 512]})


def _write(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto],
    image: Sequence[int],
    outputs: Mapping[str, Sequence[int]],
) -> None:
    types = {name: TensorProto.UINT8 if name == "labels" else TensorProto.FLOAT for name in outputs}
    graph = helper.make_graph(
        nodes,
        folder.name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, _free("image", image))],
        [helper.make_tensor_value_info(name, types[name], _free(name, sizes)) for name, sizes in outputs.items()],
        weights,
    )
    (folder / "1").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    drawn_onnx.save(folder / "1" / "model.onnx", model)
    said = {TensorProto.UINT8: "TYPE_UINT8", TensorProto.FLOAT: "TYPE_FP32"}
    told = ", ".join(
        f'{{ name: "{name}" data_type: {said[types[name]]} dims: {list(sizes)} }}' for name, sizes in outputs.items()
    )
    (folder / "config.pbtxt").write_text(_CONFIG.format(image=", ".join(map(str, image)), outputs=told))


def _free(name: str, sizes: Sequence[int]) -> list[int | str]:
    return ["N", *(f"{name}{place}" if size < 0 else size for place, size in enumerate(sizes))]
