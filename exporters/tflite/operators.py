"""The operators that can be translated, by TFLite's name. DEQUANTIZE and DENSIFY of weights are folded before."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.tflite.graph import Operator
from exporters.tflite.translation import IMAGE_RANK, NCHW, NHWC, SAME, Pads, Translation, Upsampling, Value, same_pads

_PIXEL_AXES = [1, 2]
Weights = NDArray[np.generic]
_BIAS = 2  # the optional third input


def add(translation: Translation, operator: Operator) -> None:
    """ADD of two values, or of a value and a constant that broadcasts."""
    rank = len(translation.shape(operator.outputs[0]))
    names = [_operand(translation, index, rank) for index in operator.inputs]
    name = translation.emitter.node("Add", names)
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def multiply(translation: Translation, operator: Operator) -> None:
    """MUL of two values, or of a value and a constant that broadcasts.

    A factor that is one number is held back: a convolution multiplies its weights by it, also through the next MUL.
    """
    rank = len(translation.shape(operator.outputs[0]))
    one, other = (_factor(translation, index, rank) for index in operator.inputs)
    scale = one.scale * other.scale
    if one.name and other.name:
        name = translation.emitter.node("Mul", [one.name, other.name])
    else:
        name = one.name or other.name
    translation.hold(operator.outputs[0], Value(name, scale=scale))
    if operator.options.get("fusedActivationFunction", ActivationFunctionType.NONE):
        name = translation.activation(operator.outputs[0])
        translation.bind(operator.outputs[0], activate(translation, operator, name))


def mean(translation: Translation, operator: Operator) -> None:
    """MEAN of an image over all its pixels, which leaves one pixel. Raises TranslationError for any other."""
    axes = sorted(int(axis) % IMAGE_RANK for axis in translation.constant(operator, 1).ravel())
    if axes != _PIXEL_AXES or len(translation.shape(operator.outputs[0])) != IMAGE_RANK:
        raise TranslationError(f"{translation.graph.name}: MEAN is supported only over the pixels of an image")
    name = translation.activation(operator.inputs[0])
    translation.bind(operator.outputs[0], translation.emitter.node("GlobalAveragePool", [name]))


def _operand(translation: Translation, index: int, rank: int) -> str:
    if index not in translation.constants:
        return translation.activation(index)
    array = translation.constants[index]
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return translation.emitter.constant(array.transpose(NCHW) if rank == IMAGE_RANK else np.asarray(array))


def _factor(translation: Translation, index: int, rank: int) -> Value:
    """A value with its scale still separate. A constant of one number is only a scale, without a name."""
    if index not in translation.constants:
        value = translation.without_upsampling(index)
        return value if value.pads == Pads() else Value(translation.activation(index))
    array = translation.constants[index]
    return Value("", scale=float(array)) if array.size == 1 else Value(_operand(translation, index, rank))


def logistic(translation: Translation, operator: Operator) -> None:
    """LOGISTIC: the sigmoid."""
    name = translation.activation(operator.inputs[0])
    translation.bind(operator.outputs[0], translation.emitter.node("Sigmoid", [name]))


def relu(translation: Translation, operator: Operator) -> None:
    """RELU."""
    name = translation.activation(operator.inputs[0])
    translation.bind(operator.outputs[0], translation.emitter.node("Relu", [name]))


def relu6(translation: Translation, operator: Operator) -> None:
    """RELU6: clipped to 0…6."""
    name = translation.activation(operator.inputs[0])
    translation.bind(operator.outputs[0], _clip(translation, name, 0.0, 6.0))


def prelu(translation: Translation, operator: Operator) -> None:
    """PRELU of an image: slopes 1×1×C become C×1×1."""
    slopes = np.moveaxis(translation.constant(operator, 1), -1, 0)
    name = translation.activation(operator.inputs[0])
    name = translation.emitter.node("PRelu", [name, translation.emitter.constant(slopes)])
    translation.bind(operator.outputs[0], name)


def activate(translation: Translation, operator: Operator, name: str) -> str:
    """Apply the operator's fused activation to the value `name`. Raises TranslationError for an unknown one."""
    function = operator.options.get("fusedActivationFunction", ActivationFunctionType.NONE)
    if function == ActivationFunctionType.NONE:
        return name
    if function == ActivationFunctionType.RELU:
        return translation.emitter.node("Relu", [name])
    if function == ActivationFunctionType.RELU6:
        return _clip(translation, name, 0.0, 6.0)
    if function == ActivationFunctionType.RELU_N1_TO_1:
        return _clip(translation, name, -1.0, 1.0)
    raise TranslationError(f"{translation.graph.name}: {operator.kind} has the unsupported fused activation {function}")


def _clip(translation: Translation, name: str, low: float, high: float) -> str:
    return translation.emitter.node("Clip", [name, translation.emitter.scalar(low), translation.emitter.scalar(high)])


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
    """Whether to convolve before upsampling. The result is equal, as bilinear weights sum to 1, and it is less work."""
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


def max_pool(translation: Translation, operator: Operator) -> None:
    """MAX_POOL_2D. Its SAME padding is never the maximum, as ONNX pads with the smallest number."""
    options = operator.options
    kernel, strides = (options["filterHeight"], options["filterWidth"]), (options["strideH"], options["strideW"])
    _, height, width, _ = translation.shape(operator.inputs[0])
    pads = same_pads((height, width), kernel, strides, (1, 1)) if options["padding"] == SAME else Pads()
    name = translation.activation(operator.inputs[0])
    name = translation.emitter.node("MaxPool", [name], kernel_shape=kernel, strides=strides, pads=pads.onnx())
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def resize_bilinear(translation: Translation, operator: Operator) -> None:
    """RESIZE_BILINEAR by whole factors, held back for a pointwise convolution that reduces the channels.

    Raises TranslationError for other factors: they would fix the batch in the shape.
    """
    source, target = operator.inputs[0], operator.outputs[0]
    (_, height, width, _), (_, new_height, new_width, _) = translation.shape(source), translation.shape(target)
    if new_height % height or new_width % width:
        sizes = f"{height}×{width} to {new_height}×{new_width}"
        raise TranslationError(f"{translation.graph.name}: RESIZE_BILINEAR {sizes} has no whole factor")
    upsampling = Upsampling((new_height // height, new_width // width), _coordinates(operator))
    translation.hold(target, Value(translation.activation(source), upsampling=upsampling))


def _coordinates(operator: Operator) -> str:
    if operator.options["alignCorners"]:
        return "align_corners"
    return "half_pixel" if operator.options["halfPixelCenters"] else "asymmetric"


def pad(translation: Translation, operator: Operator) -> None:
    """PAD with zeros. Spatial padding is held back, so that a convolution can use it as its own."""
    amounts = translation.constant(operator, 1)
    if len(amounts) == IMAGE_RANK and not amounts[[0, 3]].any():
        (top, bottom), (left, right) = amounts[1:3].tolist()
        value = translation.without_upsampling(operator.inputs[0])
        translation.hold(operator.outputs[0], replace(value, pads=value.pads + Pads(top, left, bottom, right)))
        return
    name = translation.activation(operator.inputs[0])
    vector = _channels_first(amounts).T.ravel().tolist()
    translation.bind(operator.outputs[0], translation.emitter.node("Pad", [name, translation.emitter.integers(vector)]))


def reshape(translation: Translation, operator: Operator) -> None:
    """RESHAPE with a free batch, which the file fixes to 1. N×1×1×C to N×C and back moves no data."""
    source, target = operator.inputs[0], operator.outputs[0]
    image = len(translation.shape(source)) == IMAGE_RANK
    name = translation.channels_last(source) if image else translation.activation(source)
    shape = translation.emitter.integers([0, *translation.shape(target)[1:]])
    name = translation.emitter.node("Reshape", [name, shape])
    if len(translation.shape(target)) == IMAGE_RANK:
        name = translation.emitter.node("Transpose", [name], perm=NCHW)
    translation.bind(target, name)


def concatenation(translation: Translation, operator: Operator) -> None:
    """CONCATENATION of two or more values."""
    rank = len(translation.shape(operator.outputs[0]))
    axis = operator.options["axis"] % rank
    names = [translation.activation(index) for index in operator.inputs]
    name = translation.emitter.node("Concat", names, axis=NHWC[axis] if rank == IMAGE_RANK else axis)
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def depth_to_space(translation: Translation, operator: Operator) -> None:
    """DEPTH_TO_SPACE. The block's row and column are the outer part of the channel: ONNX's mode DCR."""
    name = translation.activation(operator.inputs[0])
    name = translation.emitter.node("DepthToSpace", [name], blocksize=operator.options["blockSize"], mode="DCR")
    translation.bind(operator.outputs[0], name)


def _channels_first(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    return rows[list(NCHW)] if len(rows) == IMAGE_RANK else rows


OPERATORS: Mapping[str, Callable[[Translation, Operator], None]] = MappingProxyType(
    {
        "ADD": add,
        "CONCATENATION": concatenation,
        "CONV_2D": convolution,
        "DEPTH_TO_SPACE": depth_to_space,
        "DEPTHWISE_CONV_2D": depthwise_convolution,
        "LOGISTIC": logistic,
        "MAX_POOL_2D": max_pool,
        "MEAN": mean,
        "MUL": multiply,
        "PAD": pad,
        "PRELU": prelu,
        "RELU": relu,
        "RELU6": relu6,
        "RESHAPE": reshape,
        "RESIZE_BILINEAR": resize_bilinear,
    }
)
