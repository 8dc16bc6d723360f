import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation

from tests.unit.exporters.sketch import LargestDifference, Sketch

_CLOSE = 1e-6


def test_spatial_and_channel_padding_equal_litert(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 5, 6, 3)
    spatial = model.op(
        "PAD", 0, model.constant(np.array([[0, 0], [1, 2], [3, 0], [0, 0]], np.int32)), title="PadOptions"
    )
    both = model.op(
        "PAD", spatial, model.constant(np.array([[0, 0], [0, 1], [0, 0], [2, 1]], np.int32)), title="PadOptions"
    )
    assert largest_difference(model, spatial, both) < _CLOSE


@pytest.mark.parametrize("target", [(1, 30, 3), (1, 90), (1, 15, 2, 3), (1, 45, 2)])
def test_reshape_equals_litert(largest_difference: LargestDifference, target: tuple[int, ...]) -> None:
    model = Sketch(1, 5, 6, 3)
    shape = model.constant(np.array(target, np.int32))
    assert (
        largest_difference(model, model.op("RESHAPE", 0, shape, title="ReshapeOptions", newShape=list(target))) < _CLOSE
    )


def test_reshape_of_one_pixel_equals_litert(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 1, 1, 12)
    shape = model.constant(np.array([1, 12], np.int32))
    assert largest_difference(model, model.op("RESHAPE", 0, shape, title="ReshapeOptions", newShape=[1, 12])) < _CLOSE


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation_of_images_equals_litert(largest_difference: LargestDifference, axis: int) -> None:
    model = Sketch(1, 5, 6, 3)
    settings = {"title": "ConcatenationOptions", "axis": axis, "fusedActivationFunction": Activation.NONE}
    assert largest_difference(model, model.op("CONCATENATION", 0, model.op("RELU", 0), **settings)) < _CLOSE


def test_concatenation_of_rows_equals_litert(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 5, 6, 3)
    rows = model.op(
        "RESHAPE", 0, model.constant(np.array([1, 30, 3], np.int32)), title="ReshapeOptions", newShape=[1, 30, 3]
    )
    settings = {"title": "ConcatenationOptions", "axis": 1, "fusedActivationFunction": Activation.NONE}
    assert largest_difference(model, model.op("CONCATENATION", rows, model.op("RELU", rows), **settings)) < _CLOSE


def test_depth_to_space_equals_litert(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 5, 6, 12)
    assert largest_difference(model, model.op("DEPTH_TO_SPACE", 0, title="DepthToSpaceOptions", blockSize=2)) < _CLOSE
