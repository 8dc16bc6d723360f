"""The two precisions of a form, and how a graph is turned into them. What comes before and after the network stays."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from typing_extensions import override

from exporters.errors import TranslationError
from exporters.onnx_model import INPUT

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators with weights. The network is what lies between the first and the last of them."""
_WORDS = ("QuantizeLinear", "DequantizeLinear")
Images = Sequence[NDArray[np.uint8]]
"""Each H×W×3, RGB."""


class Precision(StrEnum):
    """The numbers of a form. Its model is called after them: `centernet_int8`."""

    INT8 = "int8"
    FP16 = "fp16"


def in_eight_bits(model: onnx.ModelProto, images: Images) -> onnx.ModelProto:
    """Quantize the network: weights by channel, activations by their range on the images (static, as QDQ).

    Pixels, decoding, enlarging and the best label stay in float. Raises TranslationError if there is nothing to
    quantize, or if it already was.
    """
    _outside(model)
    with TemporaryDirectory(prefix="maskwright-int8-") as folder:
        given, plain, target = (Path(folder, name) for name in ("given.onnx", "plain.onnx", "int8.onnx"))
        onnx.save(model, given)
        quant_pre_process(given, plain, skip_symbolic_shape=True)
        quantize_static(
            plain,
            target,
            _Calibration(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_outside(onnx.load(plain)),
        )
        return onnx.load(target)


def in_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network in float16. Inputs, outputs, and what lies outside the network keep their types.

    Raises TranslationError if there is no network, or if it is quantized.
    """
    outside = _outside(model)
    converted = OnnxModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=outside))
    converted.topological_sort()  # its casts stand at the end, where onnx's checker refuses them
    return cast("onnx.ModelProto", converted.model)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether layers of the model are in eight bits."""
    return any(node.op_type in _WORDS for node in model.graph.node)


def _outside(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes before the first operator with weights and after the last. Raises TranslationError."""
    nodes = model.graph.node
    if is_quantized(model):
        raise TranslationError("it is in eight bits already")
    if not any(node.op_type in _WEIGHTED for node in nodes):
        raise TranslationError("it has no layer with weights")
    for place, node in enumerate(nodes):
        node.name = node.name or f"node_{place}"
    below, above = _below(nodes), _above(nodes)
    return [
        node.name
        for node in nodes
        if node.op_type not in _WEIGHTED and not (below.intersection(node.output) and above.intersection(node.output))
    ]


def _below(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Values that an operator with weights has a part in. Nodes are in the order in which they run."""
    found: set[str] = set()
    for node in nodes:
        if node.op_type in _WEIGHTED or found.intersection(node.input):
            found.update(node.output)
    return found


def _above(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """Values that have a part in the input of an operator with weights."""
    found: set[str] = set()
    for node in reversed(nodes):
        if node.op_type in _WEIGHTED or found.intersection(node.output):
            found.update(node.input)
    return found


class _Calibration(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
    """Images, one at a time, as onnxruntime asks for them."""

    def __init__(self, images: Images) -> None:
        self._images: Iterator[NDArray[np.uint8]] = iter(images)

    @override
    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next one, or None at the end."""
        image = next(self._images, None)
        return None if image is None else {INPUT: image[np.newaxis]}
