"""Collecting the nodes and initializers of an ONNX graph."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Attribute = int | float | str | Sequence[int] | Sequence[float]


@dataclass
class Emitter:
    """Nodes in execution order; every node has one output, named after its operator and its place."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: Sequence[str], *, name: str | None = None, **attributes: Attribute) -> str:
        """Append a node; returns the name of its output: `name` where given."""
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [output], name=output)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return output

    def constant(self, array: NDArray[np.generic]) -> str:
        """Append an initializer; returns its name."""
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Append an int64 vector; returns its name."""
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value: float) -> str:
        """Append a float32 scalar; returns its name."""
        return self.constant(np.asarray(value, np.float32))
