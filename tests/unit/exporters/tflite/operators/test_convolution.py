import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation
from ai_edge_litert.schema_py_generated import Padding
from numpy.typing import NDArray

from tests.unit.exporters.sketch import LargestDifference, Sketch

Options = dict[str, int | str]

_CLOSE = 1e-4


def random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def options(
    title: str, *, padding: int = Padding.SAME, stride: int = 1, dilation: int = 1, activation: int = Activation.NONE
) -> Options:
    return {
        "title": title,
        "padding": padding,
        "strideH": stride,
        "strideW": stride,
        "dilationHFactor": dilation,
        "dilationWFactor": dilation,
        "fusedActivationFunction": activation,
    }


@pytest.mark.parametrize("padding", [Padding.SAME, Padding.VALID])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
def test_convolution_equals_litert(
    largest_difference: LargestDifference, padding: int, stride: int, dilation: int, kernel: tuple[int, int]
) -> None:
    model = Sketch(1, 13, 16, 3)
    weights, bias = model.constant(random(5, *kernel, 3)), model.constant(random(5))
    settings = options("Conv2DOptions", padding=padding, stride=stride, dilation=dilation)
    assert largest_difference(model, model.op("CONV_2D", 0, weights, bias, **settings)) < _CLOSE


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_equals_litert(
    largest_difference: LargestDifference, multiplier: int, stride: int
) -> None:
    model = Sketch(1, 11, 12, 4)
    weights, bias = model.constant(random(1, 3, 3, 4 * multiplier)), model.constant(random(4 * multiplier))
    settings = options("DepthwiseConv2DOptions", stride=stride) | {"depthMultiplier": multiplier}
    assert largest_difference(model, model.op("DEPTHWISE_CONV_2D", 0, weights, bias, **settings)) < _CLOSE


@pytest.mark.parametrize("activation", [Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1])
def test_fused_activations_equal_litert(largest_difference: LargestDifference, activation: int) -> None:
    model = Sketch(1, 8, 8, 3)
    weights, bias = model.constant(random(4, 3, 3, 3) * 5), model.constant(random(4))
    settings = options("Conv2DOptions", activation=activation)
    assert largest_difference(model, model.op("CONV_2D", 0, weights, bias, **settings)) < _CLOSE


def test_a_pad_shared_by_a_convolution_and_an_output_serves_both(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 8, 9, 3)
    padded = model.op(
        "PAD", 0, model.constant(np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)), title="PadOptions"
    )
    weights, bias = model.constant(random(4, 3, 3, 3)), model.constant(random(4))
    settings = options("Conv2DOptions", padding=Padding.VALID, stride=2)
    assert largest_difference(model, model.op("CONV_2D", padded, weights, bias, **settings), padded) < _CLOSE


@pytest.mark.parametrize(("channels", "kernel", "padding"), [(2, 1, 0), (6, 1, 0), (2, 3, 0), (2, 1, 1)])
def test_an_upsampling_before_a_convolution_equals_litert(
    largest_difference: LargestDifference, channels: int, kernel: int, padding: int
) -> None:
    model = Sketch(1, 5, 4, 3)
    size = model.constant(np.array([10, 12], np.int32))
    large = model.op(
        "RESIZE_BILINEAR", 0, size, title="ResizeBilinearOptions", alignCorners=False, halfPixelCenters=True
    )
    if padding:
        pads = model.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        large = model.op("PAD", large, pads, title="PadOptions")
    weights, bias = model.constant(random(channels, kernel, kernel, 3)), model.constant(random(channels))
    settings = options("Conv2DOptions", activation=Activation.RELU6)
    assert largest_difference(model, model.op("CONV_2D", large, weights, bias, **settings)) < _CLOSE


def test_half_precision_weights_are_folded(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 6, 6, 3)
    half = model.constant(random(4, 3, 3, 3).astype(np.float16))
    weights = model.op("DEQUANTIZE", half, title="DequantizeOptions")
    settings = options("Conv2DOptions")
    assert largest_difference(model, model.op("CONV_2D", 0, weights, model.constant(random(4)), **settings)) < _CLOSE
