from hypothesis import given
from hypothesis import strategies as st

from exporters.tflite.translation import Pads, same_padding, same_pads


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))
def test_same_padding_gives_the_ceiling_of_size_over_stride(size: int, kernel: int, stride: int, dilation: int) -> None:
    before, after = same_padding(size, kernel, stride, dilation)
    span = (kernel - 1) * dilation + 1
    outputs = (before + size + after - span) // stride + 1
    assert outputs == (size + stride - 1) // stride
    assert 0 <= before <= after <= before + 1


def test_same_padding_of_known_windows() -> None:
    assert same_padding(224, 3, 2, 1) == (0, 1)
    assert same_padding(7, 3, 2, 1) == (1, 1)
    assert same_pads((224, 7), (3, 5), (2, 1), (1, 1)).onnx() == [0, 2, 1, 2]


def test_pads_add() -> None:
    assert Pads(1, 2, 3, 4) + Pads(10, 20, 30, 40) == Pads(11, 22, 33, 44)
