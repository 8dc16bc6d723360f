"""Whether a config.pbtxt fits its ONNX graph. What NVIDIA's onnxruntime backend refuses (24.10), this refuses too.

Its rules: the graph has as many inputs as the configuration requires. Every tensor that the configuration names is in
the graph, with the same type. With max_batch_size above 0, every tensor's first dimension in the graph is of any size.
The shapes of outputs are equal. Those of inputs are equal where the graph fixes a dimension.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias, cast

from steps.tensors import JsonObject

Dims: TypeAlias = tuple[int, ...]
ANY = -1
"""A dimension of any size."""
TYPES: Mapping[str, str] = MappingProxyType(
    {
        "tensor(bool)": "TYPE_BOOL",
        "tensor(uint8)": "TYPE_UINT8",
        "tensor(uint16)": "TYPE_UINT16",
        "tensor(uint32)": "TYPE_UINT32",
        "tensor(uint64)": "TYPE_UINT64",
        "tensor(int8)": "TYPE_INT8",
        "tensor(int16)": "TYPE_INT16",
        "tensor(int32)": "TYPE_INT32",
        "tensor(int64)": "TYPE_INT64",
        "tensor(float16)": "TYPE_FP16",
        "tensor(float)": "TYPE_FP32",
        "tensor(double)": "TYPE_FP64",
        "tensor(string)": "TYPE_STRING",
    }
)
"""Triton's name of each type that onnxruntime names. Others cannot be served."""


class UnfitConfigError(ValueError):
    """A configuration that does not fit its graph. The message names the model, the tensor and both sides."""


class Node(Protocol):
    """An input or output as an onnxruntime session describes it. A dimension of any size is a text or None."""

    name: str
    type: str
    shape: Sequence[int | str | None]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor as a graph or a configuration declares it. Only a graph's shape has the dimension of a batch.

    An optional input need not be sent. In a graph that is an initializer that an input may override.
    """

    name: str
    data_type: str
    dims: Dims
    optional: bool = False

    @classmethod
    def of_node(cls, node: Node, *, optional: bool = False) -> "TensorSpec":
        """What a session says of its graph. A type that Triton has not keeps its name."""
        dims = tuple(side if isinstance(side, int) else ANY for side in node.shape)
        return cls(node.name, TYPES.get(node.type, node.type), dims, optional)

    @classmethod
    def of_json(cls, value: JsonObject) -> "TensorSpec":
        """A tensor of a configuration in Triton's JSON. A reshape gives the shape that the graph sees."""
        reshape = cast("JsonObject | None", value.get("reshape"))
        dims = cast("Sequence[int | str]", value["dims"] if reshape is None else reshape.get("shape", ()))
        name, data_type = cast("str", value["name"]), cast("str", value["data_type"])
        return cls(name, data_type, tuple(map(int, dims)), bool(value.get("optional", False)))


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a graph or a configuration."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def of_json(cls, config: JsonObject) -> "Signature":
        """The signature in a model's configuration in Triton's JSON."""
        inputs, outputs = (cast("Sequence[JsonObject]", config.get(side, ())) for side in ("input", "output"))
        return cls(tuple(map(TensorSpec.of_json, inputs)), tuple(map(TensorSpec.of_json, outputs)))


def require_fit(model: str, config: Signature, max_batch_size: int, graph: Signature) -> None:
    """Raise UnfitConfigError for the first thing in a configuration that does not fit its graph."""
    required, needed = ([tensor.name for tensor in side.inputs if not tensor.optional] for side in (config, graph))
    if len(required) != len(needed):
        raise UnfitConfigError(
            f"{model}: config.pbtxt requires {len(required)} inputs ({_listed(required)}), the graph has {len(needed)} "
            f"({_listed(needed)})"
        )
    if max_batch_size > 0 and len(required) < len(config.inputs):
        raise UnfitConfigError(f"{model}: config.pbtxt has an optional input, which needs max_batch_size: 0")
    _require_side(f"{model}: the input", config.inputs, graph.inputs, max_batch_size, _where_fixed)
    _require_side(f"{model}: the output", config.outputs, graph.outputs, max_batch_size, operator.eq)


def _where_fixed(graph: Dims, dims: Dims) -> bool:
    return len(graph) == len(dims) and all(fixed in {ANY, given} for fixed, given in zip(graph, dims, strict=True))


def _require_side(
    side: str,
    tensors: Sequence[TensorSpec],
    graph: Sequence[TensorSpec],
    max_batch_size: int,
    fit: Callable[[Dims, Dims], bool],
) -> None:
    known = {tensor.name: tensor for tensor in graph}
    for tensor in tensors:
        place = f"{side} {tensor.name!r} of config.pbtxt"
        if tensor.name not in known:
            raise UnfitConfigError(f"{place} is not in the graph, which has {_listed(known)}")
        if tensor.data_type != known[tensor.name].data_type:
            raise UnfitConfigError(f"{place} is {tensor.data_type}, in the graph it is {known[tensor.name].data_type}")
        if fault := _shape_fault(tensor.dims, known[tensor.name].dims, max_batch_size, fit):
            raise UnfitConfigError(f"{place} {fault}")


def _shape_fault(dims: Dims, graph: Dims, max_batch_size: int, fit: Callable[[Dims, Dims], bool]) -> str:
    """What is wrong with a shape, in a few words. Empty if nothing is."""
    if not graph:
        return f"has the shape {list(dims)}, in the graph it is a scalar: write [ 1 ]" if {*dims} - {1} else ""
    if max_batch_size > 0 and graph[0] != ANY:
        return (
            f"cannot have max_batch_size {max_batch_size}: its shape in the graph, {list(graph)}, begins with a fixed "
            "size. Export it with a first dimension of any size, or write max_batch_size: 0"
        )
    whole, batch = ((ANY, *dims), ", the batch's -1 first") if max_batch_size > 0 else (dims, "")
    return "" if fit(graph, whole) else f"has the shape {list(whole)}{batch}; in the graph it is {list(graph)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
