"""Constants of a graph: stored tensors, and those that DEQUANTIZE and DENSIFY make of them."""

import numpy as np
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.tflite.graph import Graph, Operator, Tensor
from exporters.tflite.sparsity import densify

_FOLDED = ("DEQUANTIZE", "DENSIFY")


def constants(graph: Graph) -> dict[int, NDArray[np.generic]]:
    """Constant tensors by index; half-precision weights behind DEQUANTIZE are float32, sparse ones dense.

    Raises TranslationError for a DEQUANTIZE of integers.
    """
    folded = {i: _stored(tensor, tensor.data) for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    for operator in graph.operators:
        if operator.kind in _FOLDED and operator.inputs[0] in folded:
            folded[operator.outputs[0]] = _fold(graph, operator, folded[operator.inputs[0]])
    return folded


def _stored(tensor: Tensor, data: NDArray[np.generic]) -> NDArray[np.generic]:
    if tensor.sparsity is None:
        return data.reshape(tensor.shape)
    return densify(data, tensor.shape, tensor.sparsity)


def _fold(graph: Graph, operator: Operator, array: NDArray[np.generic]) -> NDArray[np.generic]:
    if operator.kind == "DENSIFY":
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise TranslationError(f"{graph.name}: DEQUANTIZE of {array.dtype} weights is not supported, only of float16")
    return array.astype(np.float32)
