"""TensorFlow's operations as TFLite's operators, with their shapes, which a TensorFlow.js file leaves out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType, Padding
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.tfjs.reader import Node, TfjsGraph, Weights
from exporters.tflite.graph import Graph, Operator, Tensor

Shape = tuple[int, ...]
_SIMPLE = MappingProxyType(
    {
        "Add": "ADD",
        "AddV2": "ADD",
        "Mul": "MUL",
        "Relu": "RELU",
        "Relu6": "RELU6",
        "Sigmoid": "LOGISTIC",
        "Mean": "MEAN",
    }
)
_CONVOLUTIONS = MappingProxyType(
    {
        "Conv2D": "CONV_2D",
        "_FusedConv2D": "CONV_2D",
        "DepthwiseConv2dNative": "DEPTHWISE_CONV_2D",
        "FusedDepthwiseConv2dNative": "DEPTHWISE_CONV_2D",
    }
)
_ACTIVATIONS = MappingProxyType(
    {
        (): ActivationFunctionType.NONE,
        ("BiasAdd",): ActivationFunctionType.NONE,
        ("BiasAdd", "Relu"): ActivationFunctionType.RELU,
        ("BiasAdd", "Relu6"): ActivationFunctionType.RELU6,
    }
)


def lower(graph: TfjsGraph, outputs: Mapping[str, str]) -> Graph:
    """The part of `graph` that the nodes named by the keys of `outputs` need. Raises TranslationError."""
    lowering = _Lowering(graph)
    for node in graph.live_nodes(outputs):
        lowering.add(node)
    return lowering.result(tuple(outputs))


@dataclass
class _Lowering:
    graph: TfjsGraph
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    indices: dict[str, int] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Add the result of `node`, and the operator that computes it."""
        shapes = [self.tensors[self.indices[name]].shape for name in node.inputs]
        shape = output_shape(node, shapes, self.graph.weights)
        data = self.graph.weights.get(node.name) if node.kind == "Const" else None
        self.indices[node.name] = self._tensor(node.name, shape, data)
        if node.kind in _CONVOLUTIONS:
            self._convolution(node)
        elif node.kind == "ConcatV2":
            *parts, axis = node.inputs
            self._operator(node, "CONCATENATION", parts, axis=int(self.graph.weights[axis]))
        elif node.kind == "ResizeBilinear":
            options = {"alignCorners": node.true("align_corners"), "halfPixelCenters": node.true("half_pixel_centers")}
            self._operator(node, "RESIZE_BILINEAR", list(node.inputs), **options)
        elif node.kind == "Identity":
            self._operator(node, "RESHAPE", list(node.inputs))
        elif node.kind in _SIMPLE:
            self._operator(node, _SIMPLE[node.kind], list(node.inputs))

    def result(self, outputs: tuple[str, ...]) -> Graph:
        """The graph so far."""
        inputs = tuple(self.indices[node.name] for node in self.graph.nodes if node.kind == "Placeholder")
        wanted = tuple(self.indices[name] for name in outputs)
        return Graph(self.graph.name, tuple(self.tensors), tuple(self.operators), inputs, wanted)

    def _convolution(self, node: Node) -> None:
        """Weights H×W×I×O become TFLite's O×H×W×I, depthwise H×W×I×M become 1×H×W×(I·M)."""
        if node.text("data_format") != "NHWC" or tuple(node.texts("fused_ops")) not in _ACTIVATIONS:
            raise TranslationError(f"{node.name}: {node.kind} is supported only channels last, with bias and ReLU")
        source, weights, *bias = node.inputs
        array, kind = self.graph.weights[weights], _CONVOLUTIONS[node.kind]
        depthwise = kind == "DEPTHWISE_CONV_2D"
        array = array.reshape(1, *array.shape[:2], -1) if depthwise else array.transpose(3, 0, 1, 2)
        self.indices[f"{weights}:lowered"] = self._tensor(f"{weights}:lowered", array.shape, array)
        (_, stride_h, stride_w, _), (_, dilation_h, dilation_w, _) = (
            node.integers("strides"),
            node.integers("dilations"),
        )
        self._operator(
            node,
            kind,
            [source, f"{weights}:lowered", *bias],
            padding=Padding.SAME if node.text("padding") == "SAME" else Padding.VALID,
            strideH=stride_h,
            strideW=stride_w,
            dilationHFactor=dilation_h,
            dilationWFactor=dilation_w,
            fusedActivationFunction=_ACTIVATIONS[tuple(node.texts("fused_ops"))],
        )

    def _tensor(self, name: str, shape: tuple[int, ...], data: NDArray[np.generic] | None) -> int:
        self.tensors.append(Tensor(name, shape, data))
        return len(self.tensors) - 1

    def _operator(self, node: Node, kind: str, inputs: list[str], **options: int) -> None:
        sources = tuple(self.indices[name] for name in inputs)
        self.operators.append(Operator(kind, sources, (self.indices[node.name],), options))


def output_shape(node: Node, inputs: Sequence[Shape], weights: Weights) -> Shape:
    """The shape of the result of `node`. Raises TranslationError for an unsupported operation."""
    if node.kind not in _RULES:
        raise TranslationError(f"{node.name}: the operation {node.kind} is not supported")
    return _RULES[node.kind](node, inputs, weights)


def _placeholder(node: Node, _inputs: Sequence[Shape], _weights: Weights) -> Shape:
    return tuple(int(side["size"]) for side in node.attributes["shape"]["shape"]["dim"])


def _constant(node: Node, _inputs: Sequence[Shape], weights: Weights) -> Shape:
    return weights[node.name].shape


def _broadcast(_node: Node, inputs: Sequence[Shape], _weights: Weights) -> Shape:
    return np.broadcast_shapes(*inputs)


def _same(_node: Node, inputs: Sequence[Shape], _weights: Weights) -> Shape:
    return inputs[0]


def _convolution(node: Node, inputs: Sequence[Shape], _weights: Weights) -> Shape:
    return (*_windowed(node, inputs), inputs[1][3])


def _depthwise(node: Node, inputs: Sequence[Shape], _weights: Weights) -> Shape:
    return (*_windowed(node, inputs), inputs[1][2] * inputs[1][3])


def _windowed(node: Node, inputs: Sequence[Shape]) -> Shape:
    batch, *sides, _ = inputs[0]
    strides, dilations = node.integers("strides")[1:3], node.integers("dilations")[1:3]
    if node.text("padding") == "SAME":
        return (batch, *(-(-side // stride) for side, stride in zip(sides, strides, strict=True)))
    spans = [(kernel - 1) * dilation for kernel, dilation in zip(inputs[1][:2], dilations, strict=True)]
    return (batch, *(-(-(side - span) // stride) for side, span, stride in zip(sides, spans, strides, strict=True)))


def _mean(node: Node, inputs: Sequence[Shape], weights: Weights) -> Shape:
    axes = {int(axis) % len(inputs[0]) for axis in weights[node.inputs[1]].ravel()}
    if not node.true("keep_dims"):
        raise TranslationError(f"{node.name}: Mean is supported only with keep_dims")
    return tuple(1 if axis in axes else side for axis, side in enumerate(inputs[0]))


def _concatenation(node: Node, inputs: Sequence[Shape], weights: Weights) -> Shape:
    axis = int(weights[node.inputs[-1]]) % len(inputs[0])
    total = sum(shape[axis] for shape in inputs[:-1])
    return (*inputs[0][:axis], total, *inputs[0][axis + 1 :])


def _resize(node: Node, inputs: Sequence[Shape], weights: Weights) -> Shape:
    height, width = (int(side) for side in weights[node.inputs[1]])
    return (inputs[0][0], height, width, inputs[0][3])


_RULES: Mapping[str, Callable[[Node, Sequence[Shape], Weights], Shape]] = MappingProxyType(
    {
        "Placeholder": _placeholder,
        "Const": _constant,
        "Identity": _same,
        "Add": _broadcast,
        "AddV2": _broadcast,
        "Mul": _broadcast,
        "Relu": _same,
        "Relu6": _same,
        "Sigmoid": _same,
        "Conv2D": _convolution,
        "_FusedConv2D": _convolution,
        "DepthwiseConv2dNative": _depthwise,
        "FusedDepthwiseConv2dNative": _depthwise,
        "Mean": _mean,
        "ConcatV2": _concatenation,
        "ResizeBilinear": _resize,
    }
)
