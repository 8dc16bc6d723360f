"""Pixels as a network wants them: the head of its graph."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from exporters.emitter import Emitter
from exporters.onnx_model import INPUT, image_input

_CHANNELS_FIRST = (0, 3, 1, 2)
_BLUE_FIRST = (2, 1, 0)
_BYTE = 255.0


@dataclass(frozen=True)
class Pixels:
    """What white is in the network's input, whether blue comes first there, and the colour that is 0, in its order."""

    white: float = _BYTE
    blue_first: bool = False
    mean: tuple[float, float, float] | None = None

    def emit(self, emitter: Emitter, kind: int) -> str:
        """Emit `image` uint8 N×H×W×3 RGB as numbers N×3×H×W of onnx's element type `kind`; returns their name."""
        name = emitter.node("Transpose", [INPUT], perm=_CHANNELS_FIRST)
        if self.blue_first:
            name = emitter.node("Gather", [name, emitter.integers(_BLUE_FIRST)], axis=1)
        name = emitter.node("Cast", [name], to=kind)
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        if self.white != _BYTE:
            name = emitter.node("Mul", [name, emitter.constant(np.asarray(self.white / _BYTE, dtype))])
        if self.mean is not None:
            name = emitter.node("Sub", [name, emitter.constant(np.reshape(np.asarray(self.mean, dtype), (3, 1, 1)))])
        return name

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same in numpy, float32."""
        ordered = images[..., ::-1] if self.blue_first else images
        scaled = ordered.transpose(_CHANNELS_FIRST).astype(np.float32) * np.float32(self.white / _BYTE)
        black = np.reshape(np.asarray(self.mean or (0, 0, 0), np.float32), (3, 1, 1))
        return scaled - black


def with_image_input(model: onnx.ModelProto, pixels: Pixels) -> onnx.ModelProto:
    """A copy of `model`, a network of one input N×3×H×W, whose input is `image`, uint8 N×H×W×3."""
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
