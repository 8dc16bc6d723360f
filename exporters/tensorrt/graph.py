"""What TensorRT needs of a graph: bytes become floats at the input, and the sizes between which images may lie."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from exporters.onnx_model import INPUT
from steps.model_folder import ModelConfig
from steps.object_detectors import PARAMETER

_FLOATS = f"{INPUT}/floats"
_CELL, _LARGEST = 8, 512
"""Least and largest side, in pixels, of images whose sides neither the configuration nor a detector says."""
_KEEPING = {"Transpose", "Gather", "Slice", "Identity", "Reshape", "Unsqueeze", "Squeeze"}
"""Operators that move bytes about. TensorRT takes them of floats alone."""


@dataclass(frozen=True)
class Profile:
    """Shapes N×H×W×3 of images: the least, the one to optimise for, and the largest."""

    least: tuple[int, ...]
    best: tuple[int, ...]
    most: tuple[int, ...]


def profile_of(config: ModelConfig, preferred: Sequence[int]) -> Profile:
    """The profile of a model: batches 1, preferred (else half of the largest), and the largest.

    Sides are the configuration's; if free, a detector's; else from one cell to 512 pixels.
    """
    most = max(config.max_batch_size, 1)
    best = min(max(preferred, default=-(-most // 2)), most)
    least_sides, best_sides = _sides(config)
    return Profile((1, *least_sides, 3), (best, *best_sides, 3), (most, *best_sides, 3))


def _sides(config: ModelConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width): the least, and the best, which are also the largest."""
    height, width, _ = config.signature.inputs[0].dims[-3:]
    if min(height, width) > 0:
        return (height, width), (height, width)
    if PARAMETER not in config.parameters:
        return (_CELL, _CELL), (_LARGEST, _LARGEST)
    detector = json.loads(config.parameters[PARAMETER])
    width, height = detector["size"]
    cell = detector.get("multiple") or 0
    return ((cell, cell) if cell else (height, width)), (height, width)


def with_early_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, with the image's bytes cast to floats before anything else.

    TensorRT takes UINT8 at inputs and outputs only; "does not support UINT8 types for intermediate tensors" is what its
    parser says else (NVIDIA/TensorRT issue 2809). Bytes are whole numbers, so that the order changes no value.
    """
    graph = model.graph
    moved = {INPUT}
    kept = []
    for node in graph.node:
        is_cast = node.op_type == "Cast" and node.input[0] in moved
        if is_cast and _target(node) == TensorProto.FLOAT:
            kept.append(helper.make_node("Identity", [_early(node.input[0])], list(node.output)))
            continue
        if node.input and node.input[0] in moved and node.op_type in _KEEPING:
            moved.update(node.output)
        for place, name in enumerate(node.input):
            node.input[place] = _early(name)
        kept.append(node)
    del graph.node[:]
    graph.node.append(helper.make_node("Cast", [INPUT], [_FLOATS], to=TensorProto.FLOAT))
    graph.node.extend(kept)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def _early(name: str) -> str:
    return _FLOATS if name == INPUT else name


def _target(node: onnx.NodeProto) -> int:
    return next(attribute.i for attribute in node.attribute if attribute.name == "to")
