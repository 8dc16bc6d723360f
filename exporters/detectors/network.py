"""Networks that come as ONNX files, and the pixels that they expect: the head of a detector's graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, version_converter

from exporters.errors import TranslationError
from exporters.onnx_model import INPUT, IR_VERSION, OPSET, Emitter, image_input

_OLDEST_OPSET = 13
"""Operator set of the heads and tails here. Operators that they use did not change later."""
_NEWEST_OPSET = 21
"""The last that NVIDIA's 24.10 container, with onnxruntime 1.19, can load."""
_ONNX = "ai.onnx"
"""The domain of ONNX's own operators, for which most files leave it empty."""
_CHANNELS_FIRST = (0, 3, 1, 2)
_BLUE_FIRST = 2, 1, 0
_BYTE = 255.0


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with weights separate from the inputs and without unused weights.

    Operator sets that are too old or too new are converted. Raises TranslationError if the file is not such a model.
    """
    try:
        model = onnx.load(path)
        _leave_out_domain(model)
        onnx.checker.check_model(model)
        _drop_idle_weights(model.graph)
        return _current(model)
    # onnx's converter raises RuntimeError for an operator that it does not know
    except (DecodeError, onnx.checker.ValidationError, version_converter.ConvertError, RuntimeError, OSError) as error:
        raise TranslationError(f"{path.name} is not an ONNX model that can be used: {error}") from error


def _current(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an operator set and a format that every server can load."""
    model.ir_version = IR_VERSION
    versions = [opset.version for opset in model.opset_import if not opset.domain]
    if len(versions) != 1:
        raise TranslationError(f"a model with {len(versions)} operator sets of ONNX")
    if versions[0] < _OLDEST_OPSET:
        return version_converter.convert_version(model, OPSET)
    if versions[0] > _NEWEST_OPSET:
        return version_converter.convert_version(model, _NEWEST_OPSET)
    return model


def _leave_out_domain(model: onnx.ModelProto) -> None:
    """Name ONNX's own operators as nearly all files do, and as onnx's checker expects it: without a domain."""
    graphs = [model.graph]
    for graph in graphs:
        for node in graph.node:
            graphs += [inner for attribute in node.attribute for inner in (attribute.g, *attribute.graphs)]
            node.domain = "" if node.domain == _ONNX else node.domain
    for opset in model.opset_import:
        opset.domain = "" if opset.domain == _ONNX else opset.domain


def _drop_idle_weights(graph: onnx.GraphProto) -> None:
    weights = {weight.name for weight in graph.initializer}
    used = {name for node in graph.node for name in node.input}
    inputs = [source for source in graph.input if source.name not in weights]
    kept = [weight for weight in graph.initializer if weight.name in used]
    del graph.input[:], graph.initializer[:]
    graph.input.extend(inputs)
    graph.initializer.extend(kept)


def free_sides(model: onnx.ModelProto, names: Mapping[int, str]) -> onnx.ModelProto:
    """A copy with free dimensions at the places of `names` in input and outputs. No value states a shape."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    del freed.graph.value_info[:]
    for place, name in names.items():
        for source in freed.graph.input:
            source.type.tensor_type.shape.dim[place].dim_param = name
        for output in freed.graph.output:
            output.type.tensor_type.shape.dim[place].dim_param = f"{name}_out" if place else name
    return freed


@dataclass(frozen=True)
class Pixels:
    """The network input's value for white, whether blue comes first, and the colour that is 0, in its order.

    With `deviation` the distance from that colour is divided by it.
    """

    white: float = _BYTE
    blue_first: bool = False
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        """The place in RGB of each channel."""
        return _BLUE_FIRST if self.blue_first else (0, 1, 2)

    @property
    def factors(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """By channel in the network's order: what a byte is multiplied with, and what is added then."""
        deviation, mean = self.deviation or (1.0, 1.0, 1.0), self.mean or (0.0, 0.0, 0.0)
        scale = tuple(self.white / _BYTE / one for one in deviation)
        return scale, tuple(-middle / one for middle, one in zip(mean, deviation, strict=True))

    def emit(self, emitter: Emitter, kind: int) -> str:
        """Emit `image` uint8 N×H×W×3 RGB as numbers N×3×H×W of onnx's element type `kind`. Returns their name."""
        name = emitter.node("Transpose", [INPUT], perm=_CHANNELS_FIRST)
        if self.blue_first:
            name = emitter.node("Gather", [name, emitter.integers(_BLUE_FIRST)], axis=1)
        name = emitter.node("Cast", [name], to=kind)
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        if self.white != _BYTE:
            name = emitter.node("Mul", [name, emitter.constant(np.asarray(self.white / _BYTE, dtype))])
        if self.mean is not None:
            name = emitter.node("Sub", [name, emitter.constant(_by_channel(self.mean).astype(dtype))])
        if self.deviation is not None:
            name = emitter.node("Div", [name, emitter.constant(_by_channel(self.deviation).astype(dtype))])
        return name

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same in numpy, float32."""
        ordered = images[..., ::-1] if self.blue_first else images
        scaled = ordered.transpose(_CHANNELS_FIRST).astype(np.float32) * np.float32(self.white / _BYTE)
        black = _by_channel(self.mean or (0, 0, 0)).astype(np.float32)
        spread = _by_channel(self.deviation or (1, 1, 1)).astype(np.float32)
        return ((scaled - black) / spread).astype(np.float32)


def _by_channel(values: Sequence[float]) -> NDArray[np.float64]:
    return np.reshape(np.asarray(values, np.float64), (3, 1, 1))


def with_image_input(model: onnx.ModelProto, pixels: Pixels) -> onnx.ModelProto:
    """A copy of `model`, a network with one input N×3×H×W, whose input is `image`, uint8 N×H×W×3."""
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    (source,) = fused.graph.input
    batch, _, height, width = (side.dim_param or side.dim_value for side in source.type.tensor_type.shape.dim)
    emitter = Emitter(prefix=f"{INPUT}/")
    name = pixels.emit(emitter, source.type.tensor_type.elem_type)
    emitter.node("Identity", [name], name=source.name)
    nodes = [*emitter.nodes, *fused.graph.node]
    del fused.graph.node[:], fused.graph.input[:]
    fused.graph.node.extend(nodes)
    fused.graph.initializer.extend(emitter.initializers)
    fused.graph.input.append(image_input([batch, height, width, 3]))
    return fused
