"""The parts of a TFLite model that translation needs, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SparseDimension:
    """One traversed dimension: dense when `segments` is None, else compressed rows as in CSR."""

    dense_size: int
    segments: NDArray[np.int64] | None = None
    indices: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Sparsity:
    """How the stored values of a sparse tensor map to coordinates.

    `traversal_order` numbers the tensor's own dimensions first, then the block dimensions;
    `block_map[i]` is the tensor dimension that block dimension i subdivides.
    """

    traversal_order: tuple[int, ...]
    block_map: tuple[int, ...]
    dimensions: tuple[SparseDimension, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor: `data` holds the stored values, flat, and is None for an activation."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[np.generic] | None = None
    sparsity: Sparsity | None = None


@dataclass(frozen=True)
class Operator:
    """One operator: tensors by index, with -1 for an optional input left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int]


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a model, operators in execution order."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def output(self, name: str) -> int:
        """Index of the output tensor called `name`; raises KeyError."""
        return {self.tensors[index].name: index for index in self.outputs}[name]

    def live_operators(self, wanted: tuple[int, ...]) -> tuple[Operator, ...]:
        """Operators that contribute to the tensors `wanted`, in execution order."""
        needed = set(wanted)
        live: list[Operator] = []
        for operator in reversed(self.operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                live.append(operator)
        return tuple(reversed(live))
