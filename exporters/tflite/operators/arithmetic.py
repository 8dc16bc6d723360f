"""ADD."""

import numpy as np

from exporters.tflite.graph import Operator
from exporters.tflite.operators.activation import activate
from exporters.tflite.translation import IMAGE_RANK, NCHW, Translation


def add(translation: Translation, operator: Operator) -> None:
    """ADD of two values, or of a value and a constant that broadcasts."""
    rank = len(translation.shape(operator.outputs[0]))
    names = [_operand(translation, index, rank) for index in operator.inputs]
    name = translation.emitter.node("Add", names)
    translation.bind(operator.outputs[0], activate(translation, operator, name))


def _operand(translation: Translation, index: int, rank: int) -> str:
    if index not in translation.constants:
        return translation.activation(index)
    array = translation.constants[index]
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return translation.emitter.constant(array.transpose(NCHW) if rank == IMAGE_RANK else np.asarray(array))
