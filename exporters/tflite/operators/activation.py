"""LOGISTIC, RELU, RELU6, PRELU, and the activations fused into other operators."""

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType

from exporters.errors import TranslationError
from exporters.tflite.graph import Operator
from exporters.tflite.translation import Translation


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
    """Apply the operator's fused activation to the value `name`; raises TranslationError for an unknown one."""
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
