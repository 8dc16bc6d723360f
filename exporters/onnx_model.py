"""ONNX graphs as exports write them: nodes and weights; the input, the batch and the versions of every model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# NVIDIA's 24.10 container loads these; later ones are not needed by any operator here.
OPSET = 17
IR_VERSION = 8
INPUT = "image"
BATCH = "N"
Dimensions = Sequence[int | str]
Attribute = int | float | str | Sequence[int] | Sequence[float]


@dataclass
class Emitter:
    """Nodes in execution order; names start with `prefix`, then follow the operator and its place."""

    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: Sequence[str], *, name: str | None = None, **attributes: Attribute) -> str:
        """Append a node with one output; returns its name: `name` where given."""
        output = name or f"{self.prefix}{kind.lower()}_{len(self.nodes)}"
        self._append(kind, inputs, [output], attributes)
        return output

    def top(self, values: str, most: str) -> tuple[str, str]:
        """Append a TopK of N×A; returns the values N×K and their places int64 N×K, largest first."""
        name = f"{self.prefix}topk_{len(self.nodes)}"
        self._append("TopK", [values, most], [f"{name}_values", f"{name}_places"], {"axis": 1})
        return f"{name}_values", f"{name}_places"

    def constant(self, array: NDArray[np.generic]) -> str:
        """Append an initializer; returns its name."""
        name = f"{self.prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Append an int64 vector; returns its name."""
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value: float) -> str:
        """Append a float32 scalar; returns its name."""
        return self.constant(np.asarray(value, np.float32))

    def _append(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Attribute]
    ) -> None:
        node = helper.make_node(kind, list(inputs), list(outputs), name=outputs[0])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)


def image_input(dimensions: Dimensions) -> onnx.ValueInfoProto:
    """The input `image`, uint8."""
    return helper.make_tensor_value_info(INPUT, TensorProto.UINT8, dimensions)


def float_output(name: str, dimensions: Dimensions) -> onnx.ValueInfoProto:
    """A float32 output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dimensions)


def checked_model(graph: onnx.GraphProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """A model of `graph`, with the shapes that follow; raises what onnx raises where it is not valid."""
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="maskwright")
    helper.set_model_props(model, dict(metadata))
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model
