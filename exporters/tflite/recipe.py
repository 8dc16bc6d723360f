"""Models made of TFLite checkpoints, held against the LiteRT interpreter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from typing_extensions import override

from exporters.recipe import Outputs, Recipe
from exporters.tflite.graph import read
from exporters.tflite.translate import InputRange, translate


@dataclass(frozen=True)
class TfliteRecipe(Recipe):
    """`outputs`: TFLite's name → ours; checkpoint outputs that are not named are dropped."""

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
        """LiteRT's answers, by its default kernels (XNNPACK) and by its plain reference ones."""
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
