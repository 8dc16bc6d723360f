"""Constants of a TFLite graph: stored tensors, sparse tensors made dense, and results of DEQUANTIZE and DENSIFY."""

import numpy as np
from numpy.typing import NDArray

from exporters.errors import TranslationError
from exporters.tflite.graph import Graph, Operator, SparseDimension, Sparsity, Tensor

_FOLDED = ("DEQUANTIZE", "DENSIFY")


def constants(graph: Graph) -> dict[int, NDArray[np.generic]]:
    """Constant tensors by index. Half-precision weights behind DEQUANTIZE become float32, sparse ones dense.

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


def densify(values: NDArray[np.generic], shape: tuple[int, ...], sparsity: Sparsity) -> NDArray[np.generic]:
    """Scatter the stored `values` (flat) into a dense array of `shape`, zero elsewhere.

    The format is that of the TACO compiler (Kjolstad et al., 2017). Dimensions are walked in traversal order. A dense
    one enumerates its size, a compressed one its stored indices. A block dimension is the inner part of the tensor
    dimension that it subdivides.
    """
    positions = np.zeros(1, np.int64)
    levels: list[NDArray[np.int64]] = []
    for dimension in sparsity.dimensions:
        parents, positions, coordinates = _descend(positions, dimension)
        levels = [*(level[parents] for level in levels), coordinates]
    dense: NDArray[np.generic] = np.zeros(shape, values.dtype)
    dense[_coordinates(levels, len(shape), sparsity)] = values[positions]
    return dense


def _descend(
    positions: NDArray[np.int64], dimension: SparseDimension
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Children of the storage `positions`: the row of each child's parent, its position, its coordinate."""
    if dimension.segments is None or dimension.indices is None:
        size = dimension.dense_size
        parents = np.repeat(np.arange(len(positions)), size)
        coordinates = np.tile(np.arange(size), len(positions))
        return parents, positions[parents] * size + coordinates, coordinates
    starts, ends = dimension.segments[positions], dimension.segments[positions + 1]
    counts = ends - starts
    parents = np.repeat(np.arange(len(positions)), counts)
    first_child = np.cumsum(counts) - counts
    children = starts[parents] + np.arange(len(parents)) - first_child[parents]
    return parents, children, dimension.indices[children]


def _coordinates(levels: list[NDArray[np.int64]], rank: int, sparsity: Sparsity) -> tuple[NDArray[np.int64], ...]:
    by_dimension = dict(zip(sparsity.traversal_order, levels, strict=True))
    sizes = dict(zip(sparsity.traversal_order, (d.dense_size for d in sparsity.dimensions), strict=True))
    coordinates = [by_dimension[axis] for axis in range(rank)]
    for block, axis in enumerate(sparsity.block_map):
        coordinates[axis] = coordinates[axis] * sizes[rank + block] + by_dimension[rank + block]
    return tuple(coordinates)
