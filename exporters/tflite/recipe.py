"""Models made of TFLite checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import OpResolverType
from numpy.typing import NDArray

from exporters.recipe import BAR, Outputs
from exporters.tflite.litert import run_litert
from exporters.tflite.reader import read
from exporters.tflite.translate import InputRange, translate


@dataclass(frozen=True)
class TfliteRecipe:
    """`outputs`: TFLite's name → ours; checkpoint outputs that are not named are dropped."""

    name: str
    checkpoint: str
    input_range: InputRange
    outputs: Mapping[str, str]

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The one file."""
        return (self.checkpoint,)

    @property
    def bar(self) -> float:
        """That of equal computation."""
        return BAR

    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        """The input's."""
        graph = read(files[0])
        _, height, width, _ = graph.tensors[graph.inputs[0]].shape
        return width, height

    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Translate the graph."""
        return translate(read(files[0]), self.input_range, self.outputs, metadata)

    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """LiteRT's answers, by its default kernels (XNNPACK) and by its plain reference ones."""
        default, plain = (
            run_litert(files[0], self.input_range, self.outputs, images, kernels)
            for kernels in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF)
        )
        return default, plain

    def aligned(self, outputs: Outputs, _reference: Outputs) -> Outputs:
        """As they are: every place has its meaning."""
        return outputs
