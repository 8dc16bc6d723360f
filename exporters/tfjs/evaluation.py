"""TensorFlow's operations in numpy, as its documentation defines them. The translation is compared with them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from exporters.tfjs.reader import Node, TfjsGraph
from exporters.tflite.translation import same_padding

Values = NDArray[np.float64]


def evaluate(graph: TfjsGraph, image: Values, outputs: Sequence[str]) -> list[Values]:
    """The values of the nodes `outputs` for an image 1×H×W×3, in double precision."""
    values: dict[str, Values] = {}
    for node in graph.live_nodes(dict.fromkeys(outputs, "")):
        if node.kind == "Placeholder":
            values[node.name] = image
        elif node.kind == "Const":
            values[node.name] = graph.weights[node.name].astype(np.float64)
        else:
            values[node.name] = _RULES[node.kind](node, [values[name] for name in node.inputs])
    return [values[name] for name in outputs]


def _convolution(node: Node, inputs: Sequence[Values]) -> Values:
    weights = inputs[1]
    windows = _windows(node, inputs[0], weights)
    return _finished(node, np.tensordot(windows, weights, axes=((4, 5, 3), (0, 1, 2))), inputs[2:])


def _depthwise(node: Node, inputs: Sequence[Values]) -> Values:
    weights = inputs[1]
    windows = _windows(node, inputs[0], weights)
    values = np.einsum("nhwcyx,yxcm->nhwcm", windows, weights, optimize=True)
    return _finished(node, values.reshape(*values.shape[:3], -1), inputs[2:])


def _windows(node: Node, image: Values, weights: Values) -> Values:
    """Windows N×H×W×C×y×x of the padded image, without dilation."""
    strides = node.integers("strides")[1:3]
    if node.text("padding") == "SAME":
        pads = [same_padding(image.shape[axis + 1], weights.shape[axis], strides[axis], 1) for axis in (0, 1)]
        image = np.pad(image, ((0, 0), *pads, (0, 0)))
    rows = sliding_window_view(image, weights.shape[0], axis=1)
    windows: Values = sliding_window_view(rows, weights.shape[1], axis=2)[:, :: strides[0], :: strides[1]]
    return windows


def _finished(node: Node, values: Values, bias: Sequence[Values]) -> Values:
    values = values + bias[0] if bias else values
    return np.maximum(values, 0) if "Relu" in node.texts("fused_ops") else values


def _resize(_node: Node, inputs: Sequence[Values]) -> Values:
    """Bilinear, corners not aligned, pixels not centred: source = target · old side / new side."""
    image, (height, width) = inputs
    rows = _taps(image.shape[1], int(height))
    columns = _taps(image.shape[2], int(width))
    image = np.einsum("hy,nywc->nhwc", rows, image, optimize=True)
    enlarged: Values = np.einsum("wx,nhxc->nhwc", columns, image, optimize=True)
    return enlarged


def _taps(old: int, new: int) -> NDArray[np.float64]:
    """The share of each old pixel in each new one, new×old."""
    place = np.arange(new) * old / new
    low = np.floor(place).astype(np.int64)
    taps = np.zeros((new, old))
    taps[np.arange(new), low] += 1 - (place - low)
    taps[np.arange(new), np.minimum(low + 1, old - 1)] += place - low
    return taps


def _sigmoid(_node: Node, inputs: Sequence[Values]) -> Values:
    probabilities: Values = 0.5 * (1 + np.tanh(inputs[0] / 2))
    return probabilities


_RULES: Mapping[str, Callable[[Node, Sequence[Values]], Values]] = MappingProxyType(
    {
        "Identity": lambda _, inputs: inputs[0],
        "Add": lambda _, inputs: inputs[0] + inputs[1],
        "AddV2": lambda _, inputs: inputs[0] + inputs[1],
        "Mul": lambda _, inputs: inputs[0] * inputs[1],
        "Relu": lambda _, inputs: np.maximum(inputs[0], 0),
        "Relu6": lambda _, inputs: np.clip(inputs[0], 0, 6),
        "Sigmoid": _sigmoid,
        "Mean": lambda _, inputs: inputs[0].mean(axis=tuple(map(int, inputs[1].ravel())), keepdims=True),
        "ConcatV2": lambda _, inputs: np.concatenate(inputs[:-1], axis=int(inputs[-1])),
        "ResizeBilinear": _resize,
        "Conv2D": _convolution,
        "_FusedConv2D": _convolution,
        "DepthwiseConv2dNative": _depthwise,
        "FusedDepthwiseConv2dNative": _depthwise,
    }
)
