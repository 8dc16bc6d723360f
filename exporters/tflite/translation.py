"""The state of one translation: which ONNX value stands for which TFLite tensor.

Images are N×H×W×C in TFLite and N×C×H×W here, the layout onnxruntime and TensorRT convolve in. Linear operators
that a convolution absorbs (zero padding, a scale, an upsampling before a pointwise convolution) are held back on
the value and emitted only for a consumer that does not absorb them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.onnx_model import Emitter
from exporters.tflite.graph import Graph, Operator

SAME = 0
IMAGE_RANK = 4
NCHW = (0, 3, 1, 2)
NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class Pads:
    """Zero rows and columns added around an image, in pixels."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __add__(self, other: "Pads") -> "Pads":
        return Pads(self.top + other.top, self.left + other.left, self.bottom + other.bottom, self.right + other.right)

    def onnx(self) -> list[int]:
        """The `pads` attribute of ONNX: all begins, then all ends."""
        return [self.top, self.left, self.bottom, self.right]


@dataclass(frozen=True)
class Upsampling:
    """A bilinear enlargement: integer factors (height, width) and ONNX's name for the pixel coordinates."""

    factors: tuple[int, int]
    coordinates: str


@dataclass(frozen=True)
class Value:
    """An ONNX value, and the operations still to be applied: upsampling, or scale and padding."""

    name: str
    scale: float = 1.0
    upsampling: Upsampling | None = None
    pads: Pads = field(default_factory=Pads)


@dataclass
class Translation:
    """The values emitted so far for `graph`, with its `constants`."""

    graph: Graph
    constants: Mapping[int, NDArray[np.generic]]
    emitter: Emitter = field(default_factory=Emitter)
    values: dict[int, Value] = field(default_factory=dict)

    def shape(self, index: int) -> tuple[int, ...]:
        """TFLite's own static shape, batch 1."""
        return self.graph.tensors[index].shape

    def constant(self, operator: Operator, position: int) -> NDArray[np.generic]:
        """A constant input of `operator`. Raises TranslationError if it is computed instead."""
        index = operator.inputs[position]
        if index not in self.constants:
            raise TranslationError(f"{self.graph.name}: {operator.kind} needs a constant as input {position}")
        return self.constants[index]

    def value(self, index: int) -> Value:
        """The value of an activation, with the operations still to be applied."""
        return self.values[index]

    def bind(self, index: int, name: str) -> None:
        """Let the finished ONNX value `name` stand for a tensor."""
        self.values[index] = Value(name)

    def hold(self, index: int, value: Value) -> None:
        """Let a value that is not finished stand for a tensor."""
        self.values[index] = value

    def activation(self, index: int) -> str:
        """The finished value of an activation. Emits what was held back, once."""
        value = self.without_upsampling(index)
        name = value.name
        if value.scale != 1.0:
            name = self.emitter.node("Mul", [name, self.emitter.scalar(value.scale)])
        if value.pads != Pads():
            name = self.emitter.node("Pad", [name, self.emitter.integers(_pad_vector(value.pads))])
        self.bind(index, name)
        return name

    def without_upsampling(self, index: int) -> Value:
        """The value of an activation, upsampled if that was held back."""
        value = self.values[index]
        if value.upsampling is not None:
            value = replace(value, name=self.upsample(value.name, value.upsampling), upsampling=None)
            self.values[index] = value
        return value

    def upsample(self, name: str, upsampling: Upsampling) -> str:
        """Emit a bilinear Resize."""
        scales = self.emitter.constant(np.asarray([1, 1, *upsampling.factors], np.float32))
        return self.emitter.node(
            "Resize", [name, "", scales], mode="linear", coordinate_transformation_mode=upsampling.coordinates
        )

    def channels_last(self, index: int) -> str:
        """The value of an image as N×H×W×C. With one channel or one pixel both layouts are equal, and no data moves."""
        name = self.activation(index)
        _, height, width, channels = self.shape(index)
        if channels == 1 or height == width == 1:
            return self.emitter.node("Reshape", [name, self.emitter.integers([0, height, width, channels])])
        return self.emitter.node("Transpose", [name], perm=NHWC)


def _pad_vector(pads: Pads) -> list[int]:
    return [0, 0, pads.top, pads.left, 0, 0, pads.bottom, pads.right]


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after one axis so that the output has ceil(size / stride) pixels.

    This is TensorFlow's SAME rule: the odd pixel goes after.
    """
    span = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def same_pads(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Pads:
    """SAME pads of a window over an image; every pair is (height, width)."""
    top, bottom = same_padding(size[0], kernel[0], stride[0], dilation[0])
    left, right = same_padding(size[1], kernel[1], stride[1], dilation[1])
    return Pads(top, left, bottom, right)
