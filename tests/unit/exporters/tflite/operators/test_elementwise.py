import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation

from exporters.tflite.translate import InputRange
from tests.unit.exporters.sketch import LargestDifference, Sketch

_CLOSE = 1e-5


@pytest.mark.parametrize("kind", ["LOGISTIC", "RELU", "RELU6"])
def test_activations_equal_litert(largest_difference: LargestDifference, kind: str) -> None:
    model = Sketch(1, 6, 7, 3)
    assert largest_difference(model, model.op(kind, 0), input_range=InputRange(-9.0, 9.0)) < _CLOSE


def test_prelu_equals_litert(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 6, 7, 3)
    slopes = model.constant(np.array([0.1, -0.5, 2.0], np.float32).reshape(1, 1, 3))
    assert largest_difference(model, model.op("PRELU", 0, slopes)) < _CLOSE


@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU6])
def test_add_equals_litert(largest_difference: LargestDifference, activation: int) -> None:
    model = Sketch(1, 6, 7, 3)
    settings = {"title": "AddOptions", "fusedActivationFunction": activation}
    other = model.op("LOGISTIC", 0)
    assert largest_difference(model, model.op("ADD", 0, other, **settings)) < _CLOSE


@pytest.mark.parametrize("shape", [(3,), (1, 1, 3), (1, 6, 7, 3)])
def test_add_of_a_constant_equals_litert(largest_difference: LargestDifference, shape: tuple[int, ...]) -> None:
    model = Sketch(1, 6, 7, 3)
    constant = model.constant(np.random.default_rng(1).normal(size=shape).astype(np.float32))
    settings = {"title": "AddOptions", "fusedActivationFunction": Activation.NONE}
    assert largest_difference(model, model.op("ADD", 0, constant, **settings)) < _CLOSE
