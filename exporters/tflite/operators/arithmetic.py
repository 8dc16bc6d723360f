"""ADD, MUL and MEAN."""

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType

from exporters.errors import TranslationError
from exporters.tflite.graph import Operator
from exporters.tflite.operators.activation import activate
from exporters.tflite.padding import Pads
from exporters.tflite.translation import IMAGE_RANK, NCHW, Translation, Value

_PIXEL_AXES = [1, 2]


def add(translation: Translation, operator: Operator) -> None:
    """ADD of two values, or of a value and a constant that broadcasts."""
    rank = len(translation.shape(operator.outputs[0]))
    names = [_operand(translation, index, rank) for index in operator.inputs]
    name = translation.emitter.node("Add", names)
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def multiply(translation: Translation, operator: Operator) -> None:
    """MUL of two values, or of a value and a constant that broadcasts.

    A factor that is one number is held back: a convolution takes it into its weights, also through the next MUL.
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
    """MEAN of an image over all its pixels, one pixel left; raises TranslationError for any other."""
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
    """A value with its scale still apart; a constant of one number is a scale alone, without a name."""
    if index not in translation.constants:
        value = translation.without_upsampling(index)
        return value if value.pads == Pads() else Value(translation.activation(index))
    array = translation.constants[index]
    return Value("", scale=float(array)) if array.size == 1 else Value(_operand(translation, index, rank))
