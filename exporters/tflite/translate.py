"""TFLite graph to ONNX model, for uint8 images and any batch size, and the LiteRT runs that it is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from onnx import TensorProto, helper
from typing_extensions import override

from exporters.errors import TranslationError
from exporters.onnx_model import BATCH, INPUT, checked_model, float_output, image_input
from exporters.recipe import Outputs, Recipe
from exporters.tflite.graph import Graph, Operator, read
from exporters.tflite.operators import OPERATORS
from exporters.tflite.translation import IMAGE_RANK, NCHW, Translation, Value
from exporters.tflite.weights import constants


@dataclass(frozen=True)
class InputRange:
    """The interval that pixels 0…255 map to before the first operator."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        """Input units per grey level."""
        return (self.high - self.low) / 255

    @property
    def zero_level(self) -> float:
        """The grey level that maps to 0."""
        return -self.low / self.scale


@dataclass(frozen=True)
class TfliteRecipe(Recipe):
    """`outputs`: TFLite's name → ours. Checkpoint outputs that are not named are dropped."""

    input_range: InputRange
    outputs: Mapping[str, str]

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        graph = read(files[0])
        _, height, width, _ = graph.tensors[graph.inputs[0]].shape
        return width, height

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Translate the graph."""
        return translate(read(files[0]), self.input_range, self.outputs, metadata)

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """LiteRT's outputs, by its default kernels (XNNPACK) and by its plain reference ones."""
        default, plain = (
            run_litert(files[0], self.input_range, self.outputs, images, kernels)
            for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF)
        )
        return default, plain


def run_litert(
    checkpoint: Path,
    input_range: InputRange,
    outputs: Mapping[str, str],
    images: NDArray[np.uint8],
    kernels: OpResolverType,
) -> Outputs:
    """The `outputs` (TFLite's name → ours), one image at a time, each flattened to N×size."""
    interpreter = Interpreter(str(checkpoint), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    indices = {outputs.get(each["name"]): each["index"] for each in interpreter.get_output_details()}
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs.values()}
    for image in images:
        scaled = image[np.newaxis].astype(np.float32) * np.float32(input_range.scale)
        interpreter.set_tensor(source, scaled + np.float32(input_range.low))
        interpreter.invoke()
        for name, row in rows.items():
            row.append(interpreter.get_tensor(indices[name]).ravel())
    return {name: np.stack(row) for name, row in rows.items()}


def translate(
    graph: Graph, input_range: InputRange, outputs: Mapping[str, str], metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Translate the part of `graph` that its outputs named in `outputs` (TFLite name → ONNX name) need.

    The model has the input `image`, uint8 N×H×W×3, and float32 outputs with TFLite's shapes and a free batch, except
    that N×1×1×C becomes N×C. Raises TranslationError for an unsupported operator, or an unsupported use of one.
    """
    translation = Translation(graph, constants(graph))
    wanted = {graph.output(source): name for source, name in outputs.items()}
    _emit_head(translation, input_range)
    for operator in graph.live_operators(tuple(wanted)):
        _emit(translation, operator)
    for index, name in wanted.items():
        _emit_output(translation, index, name)
    return _assemble(translation, wanted, metadata)


def _emit_head(translation: Translation, input_range: InputRange) -> None:
    """Pixels as floats whose 0 is the graph's own 0, so that zero padding stays exact. The scale is held back."""
    emitter = translation.emitter
    name = emitter.node("Cast", [emitter.node("Transpose", [INPUT], perm=NCHW)], to=TensorProto.FLOAT)
    if input_range.zero_level:
        name = emitter.node("Sub", [name, emitter.scalar(input_range.zero_level)])
    (source,) = translation.graph.inputs
    translation.hold(source, Value(name, scale=input_range.scale))


def _emit(translation: Translation, operator: Operator) -> None:
    if all(index in translation.constants for index in operator.outputs):
        return
    if operator.kind not in OPERATORS:
        raise TranslationError(f"{translation.graph.name}: the operator {operator.kind} is not supported")
    OPERATORS[operator.kind](translation, operator)


def _output_shape(translation: Translation, index: int) -> list[int | str]:
    shape = translation.shape(index)
    pixel = len(shape) == IMAGE_RANK and shape[1:3] == (1, 1)
    return [BATCH, *(shape[3:] if pixel else shape[1:])]


def _emit_output(translation: Translation, index: int, name: str) -> None:
    shape = _output_shape(translation, index)
    if len(shape) == IMAGE_RANK:
        translation.emitter.node("Identity", [translation.channels_last(index)], name=name)
    elif len(shape) != len(translation.shape(index)):
        flat = translation.emitter.integers([0, -1])
        translation.emitter.node("Reshape", [translation.activation(index), flat], name=name)
    else:
        translation.emitter.node("Identity", [translation.activation(index)], name=name)


def _assemble(translation: Translation, wanted: Mapping[int, str], metadata: Mapping[str, str]) -> onnx.ModelProto:
    (source,) = translation.graph.inputs
    image = image_input([BATCH, *translation.shape(source)[1:]])
    outputs = [float_output(name, _output_shape(translation, index)) for index, name in wanted.items()]
    emitter = translation.emitter
    graph = helper.make_graph(emitter.nodes, translation.graph.name, [image], outputs, emitter.initializers)
    return checked_model(graph, metadata)
