"""CONV_2D and DEPTHWISE_CONV_2D."""

import numpy as np
from numpy.typing import NDArray

from exporters.tflite.graph import Operator
from exporters.tflite.operators.activation import activate
from exporters.tflite.padding import SAME, Pads, same_pads
from exporters.tflite.translation import Translation

Weights = NDArray[np.generic]

_BIAS = 2  # the optional third input


def convolution(translation: Translation, operator: Operator) -> None:
    """CONV_2D: weights O×H×W×I."""
    weights = translation.constant(operator, 1).transpose(0, 3, 1, 2)
    groups = translation.shape(operator.inputs[0])[3] // weights.shape[1]
    _convolve(translation, operator, weights, groups)


def depthwise_convolution(translation: Translation, operator: Operator) -> None:
    """DEPTHWISE_CONV_2D: weights 1×H×W×(I·multiplier), one group per input channel."""
    weights = translation.constant(operator, 1).transpose(3, 0, 1, 2)
    _convolve(translation, operator, weights, translation.shape(operator.inputs[0])[3])


def _convolve(translation: Translation, operator: Operator, weights: Weights, groups: int) -> None:
    source = operator.inputs[0]
    kernel = (weights.shape[2], weights.shape[3])
    pads = _own_pads(translation, operator, kernel) + translation.value(source).pads
    commutes = _commutes(operator, weights)
    value = translation.value(source) if commutes else translation.without_upsampling(source)
    bias = _bias(translation, operator, weights.shape[0])
    scaled = weights.astype(np.float32) * np.float32(value.scale)
    name = translation.emitter.node(
        "Conv",
        [value.name, translation.emitter.constant(scaled), translation.emitter.constant(bias)],
        group=groups,
        kernel_shape=kernel,
        strides=_pair(operator, "stride"),
        dilations=_pair(operator, "dilation"),
        pads=pads.onnx(),
    )
    if value.upsampling is not None:
        name = translation.upsample(name, value.upsampling)
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def _commutes(operator: Operator, weights: Weights) -> bool:
    """Whether to convolve before upsampling: equal, as bilinear weights sum to 1, and less work."""
    pointwise = weights.shape[2:] == (1, 1) and _pair(operator, "stride") == (1, 1)
    return pointwise and weights.shape[0] <= weights.shape[1]


def _own_pads(translation: Translation, operator: Operator, kernel: tuple[int, int]) -> Pads:
    if operator.options["padding"] != SAME:
        return Pads()
    _, height, width, _ = translation.shape(operator.inputs[0])
    return same_pads((height, width), kernel, _pair(operator, "stride"), _pair(operator, "dilation"))


def _pair(operator: Operator, option: str) -> tuple[int, int]:
    suffix = "Factor" if option == "dilation" else ""
    return operator.options[f"{option}H{suffix}"], operator.options[f"{option}W{suffix}"]


def _bias(translation: Translation, operator: Operator, channels: int) -> Weights:
    if len(operator.inputs) <= _BIAS or operator.inputs[_BIAS] < 0:
        return np.zeros(channels, np.float32)
    return translation.constant(operator, _BIAS)
