"""Networks that come as ONNX files, brought to the form that this package works on."""

from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import version_converter

from exporters.errors import TranslationError
from exporters.onnx_model import IR_VERSION, OPSET

_OLDEST_OPSET = 13
"""What heads and tails here are written in; later operators they use did not change since."""


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with weights apart from the inputs and no weight that nothing uses.

    Operator sets older than 13 are converted to 17. Raises TranslationError where the file is not such a model.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        _drop_idle_weights(model.graph)
        return _modern(model)
    except (DecodeError, onnx.checker.ValidationError, version_converter.ConvertError, OSError) as error:
        raise TranslationError(f"{path.name} is not an ONNX model that can be used: {error}") from error


def free_sides(model: onnx.ModelProto, names: Mapping[int, str]) -> onnx.ModelProto:
    """A copy whose input and outputs leave the dimensions at the places of `names` free; no value states a shape."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    del freed.graph.value_info[:]
    for place, name in names.items():
        for source in freed.graph.input:
            source.type.tensor_type.shape.dim[place].dim_param = name
        for output in freed.graph.output:
            output.type.tensor_type.shape.dim[place].dim_param = f"{name}_out" if place else name
    return freed


def _drop_idle_weights(graph: onnx.GraphProto) -> None:
    weights = {weight.name for weight in graph.initializer}
    used = {name for node in graph.node for name in node.input}
    inputs = [source for source in graph.input if source.name not in weights]
    kept = [weight for weight in graph.initializer if weight.name in used]
    del graph.input[:], graph.initializer[:]
    graph.input.extend(inputs)
    graph.initializer.extend(kept)


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    model.ir_version = max(model.ir_version, IR_VERSION)
    (version,) = (opset.version for opset in model.opset_import if not opset.domain)
    return version_converter.convert_version(model, OPSET) if version < _OLDEST_OPSET else model
