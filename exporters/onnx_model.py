"""ONNX graphs as exports write them: nodes and weights, and the input, batch and versions of every model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# NVIDIA's 24.10 container can load these. No operator here needs later ones.
OPSET = 17
IR_VERSION = 8
INPUT = "image"
BATCH = "N"
Dimensions = Sequence[int | str]
Attribute = int | float | str | Sequence[int] | Sequence[float]


@dataclass
class Emitter:
    """Nodes in execution order. A name starts with `prefix`, then come the operator and its position."""

    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: Sequence[str], *, name: str | None = None, **attributes: Attribute) -> str:
        """Append a node with one output. Returns its name, which is `name` if given."""
        output = name or f"{self.prefix}{kind.lower()}_{len(self.nodes)}"
        self._append(kind, inputs, [output], attributes)
        return output

    def top(self, values: str, most: str) -> tuple[str, str]:
        """Append a TopK of N×A. Returns the values N×K and their places int64 N×K, largest first."""
        name = f"{self.prefix}topk_{len(self.nodes)}"
        self._append("TopK", [values, most], [f"{name}_values", f"{name}_places"], {"axis": 1})
        return f"{name}_values", f"{name}_places"

    def constant(self, array: NDArray[np.generic]) -> str:
        """Append an initializer. Returns its name."""
        name = f"{self.prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Append an int64 vector. Returns its name."""
        return self.constant(np.asarray(values, np.int64))

    def scalar(self, value: float) -> str:
        """Append a float32 scalar. Returns its name."""
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
    """A model of `graph`, with inferred shapes. Raises what onnx raises if it is not valid."""
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="maskwright")
    helper.set_model_props(model, dict(metadata))
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model
