"""Reading a TensorFlow.js graph model: a JSON file with the graph, and its weights beside it."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from exporters.errors import TranslationError

Weights = Mapping[str, NDArray[np.generic]]


class _AttributeList(TypedDict, total=False):
    i: Sequence[str]
    s: Sequence[str]


class Attribute(TypedDict, total=False):
    """One attribute of a node: protobuf's JSON, integers as text and strings in base64."""

    b: bool
    s: str
    list: _AttributeList
    shape: Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True)
class Node:
    """One operation of TensorFlow. `inputs` are names of nodes."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]

    def integers(self, attribute: str) -> list[int]:
        """A list of integers."""
        return [int(value) for value in self.attributes[attribute]["list"]["i"]]

    def text(self, attribute: str) -> str:
        """A string."""
        return base64.b64decode(self.attributes[attribute]["s"]).decode()

    def texts(self, attribute: str) -> list[str]:
        """A list of strings. An attribute that is not there is empty."""
        values = self.attributes.get(attribute, {}).get("list", {}).get("s", [])
        return [base64.b64decode(value).decode() for value in values]

    def true(self, attribute: str) -> bool:
        """A boolean. An attribute that is not there is false."""
        return self.attributes.get(attribute, {}).get("b", False)


@dataclass(frozen=True)
class TfjsGraph:
    """Nodes in execution order, and the constants by name. Half-precision weights become float32."""

    name: str
    nodes: tuple[Node, ...]
    weights: Weights

    def live_nodes(self, outputs: Mapping[str, str]) -> tuple[Node, ...]:
        """The nodes that the keys of `outputs` need, in execution order."""
        needed = set(outputs)
        live: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                live.append(node)
        return tuple(reversed(live))


class _Weight(TypedDict, total=False):
    name: str
    shape: list[int]
    dtype: str
    quantization: Mapping[str, str]


class _Group(TypedDict):
    weights: list[_Weight]


def read(graph: Path, weights: Path) -> TfjsGraph:
    """Read a graph whose weights are in one file. Raises TranslationError if the two are not such a model."""
    try:
        model = json.loads(graph.read_text(encoding="utf-8"))
        (group,) = model["weightsManifest"]
        nodes = tuple(map(_node, model["modelTopology"]["node"]))
        return TfjsGraph(graph.name, nodes, _weights(cast("_Group", group), weights.read_bytes()))
    except (KeyError, TypeError, ValueError) as error:
        raise TranslationError(
            f"{graph.name} and {weights.name} are not a TensorFlow.js graph model: {error}"
        ) from error


def _node(value: Mapping[str, object]) -> Node:
    return Node(
        name=cast("str", value["name"]),
        kind=cast("str", value["op"]),
        inputs=tuple(cast("list[str]", value.get("input", []))),
        attributes=cast("Mapping[str, Attribute]", value.get("attr", {})),
    )


def _weights(group: _Group, content: bytes) -> Weights:
    """Arrays follow one another. Raises ValueError if the file is too short."""
    arrays: dict[str, NDArray[np.generic]] = {}
    start = 0
    for weight in group["weights"]:
        stored = np.dtype(weight.get("quantization", {}).get("dtype", weight["dtype"]))
        if stored.kind not in "fi" or stored == np.dtype(np.uint8):
            raise TypeError(f"weights stored as {stored} are not supported")
        count = int(np.prod(weight["shape"], dtype=np.int64))
        array = np.frombuffer(content, stored, count, start).reshape(weight["shape"])
        arrays[weight["name"]] = array.astype(weight["dtype"])
        start += array.nbytes
    return arrays
