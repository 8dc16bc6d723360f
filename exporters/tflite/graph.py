"""A TFLite file as plain values: the parts of it that translation needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from exporters.errors import TranslationError

_DTYPES: Mapping[int, np.dtype[np.generic]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.INT64: np.dtype(np.int64),
}
_KINDS = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


@dataclass(frozen=True)
class SparseDimension:
    """One traversed dimension: dense if `segments` is None, else compressed rows as in CSR."""

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
    """A tensor. `data` holds the stored values, flat, and is None for an activation."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[np.generic] | None = None
    sparsity: Sparsity | None = None


@dataclass(frozen=True)
class Operator:
    """One operator. Tensors are given by index, with -1 for an optional input that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, int]


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a model, with operators in execution order."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def output(self, name: str) -> int:
        """Index of the output tensor called `name`. Raises KeyError."""
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


def read(path: Path) -> Graph:
    """Read the model at `path`.

    Raises TranslationError when the file is not a TFLite model with a single subgraph.
    """
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise TranslationError(f"{path.name} is not a TFLite model")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if len(model.subgraphs) != 1:
        raise TranslationError(f"{path.name} has {len(model.subgraphs)} subgraphs; one is supported")
    subgraph = model.subgraphs[0]
    kinds = [_KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return Graph(
        name=path.name,
        tensors=tuple(_tensor(tensor, model.buffers, path.name) for tensor in subgraph.tensors),
        operators=tuple(_operator(operator, kinds) for operator in subgraph.operators),
        inputs=_indices(subgraph.inputs),
        outputs=_indices(subgraph.outputs),
    )


class _IndexVector(Protocol):
    values: Sequence[int]


class _Dimension(Protocol):
    format: int
    denseSize: int  # noqa: N815 - the schema's own name
    arraySegments: _IndexVector  # noqa: N815
    arrayIndices: _IndexVector  # noqa: N815


class _SparsityParameters(Protocol):
    traversalOrder: Sequence[int]  # noqa: N815
    blockMap: Sequence[int] | None  # noqa: N815
    dimMetadata: Sequence[_Dimension]  # noqa: N815


class _Buffer(Protocol):
    data: NDArray[np.uint8] | None


class _Tensor(Protocol):
    name: bytes
    type: int
    shape: Sequence[int] | None
    buffer: int
    sparsity: _SparsityParameters | None


class _Operator(Protocol):
    opcodeIndex: int  # noqa: N815
    inputs: Sequence[int]
    outputs: Sequence[int]
    builtinOptions: object | None  # noqa: N815


def _indices(values: Sequence[int] | None) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def _tensor(tensor: _Tensor, buffers: Sequence[_Buffer], model: str) -> Tensor:
    raw = buffers[tensor.buffer].data
    data = None
    if raw is not None and len(raw):
        if tensor.type not in _DTYPES:
            raise TranslationError(f"{model}: tensor {tensor.name.decode()} has the unsupported type {tensor.type}")
        data = np.frombuffer(bytes(raw), _DTYPES[tensor.type])
    sparsity = None if tensor.sparsity is None else _sparsity(tensor.sparsity)
    return Tensor(tensor.name.decode(), _indices(tensor.shape), data, sparsity)


def _sparsity(parameters: _SparsityParameters) -> Sparsity:
    return Sparsity(
        traversal_order=_indices(parameters.traversalOrder),
        block_map=_indices(parameters.blockMap),
        dimensions=tuple(_dimension(dimension) for dimension in parameters.dimMetadata),
    )


def _dimension(dimension: _Dimension) -> SparseDimension:
    if dimension.format == schema.DimensionType.DENSE:
        return SparseDimension(int(dimension.denseSize))
    return SparseDimension(0, _widen(dimension.arraySegments), _widen(dimension.arrayIndices))


def _widen(vector: _IndexVector) -> NDArray[np.int64]:
    return np.asarray(vector.values, np.int64)


def _operator(operator: _Operator, kinds: Sequence[str]) -> Operator:
    options = {} if operator.builtinOptions is None else vars(operator.builtinOptions)
    return Operator(
        kind=kinds[operator.opcodeIndex],
        inputs=_indices(operator.inputs),
        outputs=_indices(operator.outputs),
        options={name: int(value) for name, value in options.items() if isinstance(value, int)},
    )
