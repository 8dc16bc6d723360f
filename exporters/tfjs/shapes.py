"""Shapes of what TensorFlow's operations give, batch 1: a TensorFlow.js file leaves them out."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from exporters.errors import TranslationError
from exporters.tfjs.reader import Node, Weights

Shape = tuple[int, ...]


def output_shape(node: Node, inputs: Sequence[Shape], weights: Weights) -> Shape:
    """The shape that `node` gives; raises TranslationError for an operation that is not supported."""
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
