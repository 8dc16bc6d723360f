import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporters.tflite.graph import SparseDimension, Sparsity
from exporters.tflite.weights import densify

Array = NDArray[np.float32]
Layout = tuple[Array, list[int], list[int], tuple[int, ...], list[bool]]


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """A dense array, and a way to store it: block sizes, an order of traversal, dense and sparse dimensions."""
    rank = draw(st.integers(1, 4))
    blocks = [draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank)]
    shape = [block * draw(st.integers(1, 3)) for block in blocks]
    mapped = [axis for axis in range(rank) if blocks[axis] > 1]
    order = [*draw(st.permutations(range(rank))), *draw(st.permutations(range(rank, rank + len(mapped))))]
    sparse = [draw(st.booleans()) for _ in order]
    cells = st.sampled_from([0.0, 0.0, 1.0, 2.5, -3.0])
    dense = np.array(draw(st.lists(cells, min_size=math.prod(shape), max_size=math.prod(shape))), np.float32)
    return dense.reshape(shape), blocks, mapped, tuple(order), sparse


def walk_order(dense: Array, blocks: list[int], mapped: list[int], order: tuple[int, ...]) -> Array:
    """The array with one axis per traversed dimension."""
    split: list[int] = []
    outer: list[int] = []
    inner: dict[int, int] = {}
    for axis, (side, block) in enumerate(zip(dense.shape, blocks, strict=True)):
        outer.append(len(split))
        split.append(side // block)
        if block > 1:
            inner[axis] = len(split)
            split.append(block)
    axes = [outer[each] if each < dense.ndim else inner[mapped[each - dense.ndim]] for each in order]
    return dense.reshape(split).transpose(axes)


def compress(walked: Array, sparse: list[bool]) -> tuple[Array, tuple[SparseDimension, ...]]:
    """Store an array level by level, in plain loops."""
    nodes, dimensions = [walked], []
    for is_sparse, side in zip(sparse, walked.shape, strict=True):
        if not is_sparse:
            dimensions.append(SparseDimension(side))
            nodes = [child for node in nodes for child in node]
            continue
        kept = [[place for place in range(side) if np.any(node[place])] for node in nodes]
        segments = np.cumsum([0, *(len(each) for each in kept)])
        indices = np.array([place for each in kept for place in each], np.int64)
        dimensions.append(SparseDimension(side, segments, indices))
        nodes = [node[place] for node, each in zip(nodes, kept, strict=True) for place in each]
    return np.array(nodes, np.float32).ravel(), tuple(dimensions)


@given(layouts())
def test_densify_undoes_compression(layout: Layout) -> None:
    dense, blocks, mapped, order, sparse = layout
    values, dimensions = compress(walk_order(dense, blocks, mapped, order), sparse)
    sparsity = Sparsity(order, tuple(mapped), dimensions)
    np.testing.assert_array_equal(densify(values, dense.shape, sparsity), dense)
