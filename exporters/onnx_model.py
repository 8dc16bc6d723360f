"""What every exported model is like: its input, its batch, and the versions it declares."""

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

# NVIDIA's 24.10 container loads these; later ones are not needed by any operator here.
OPSET = 17
IR_VERSION = 8
INPUT = "image"
BATCH = "N"

Dimensions = Sequence[int | str]


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
