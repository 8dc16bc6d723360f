"""Padding arithmetic of TFLite's windowed operators."""

from dataclasses import dataclass

SAME = 0


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


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after one axis so that the output has ceil(size / stride) pixels.

    TensorFlow's SAME rule: the odd pixel goes after.
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
