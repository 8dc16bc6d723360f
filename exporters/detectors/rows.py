"""The rows that every detector returns: the tail of its graph, and how rows of two runtimes are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from typing_extensions import override

from exporters.onnx_model import BATCH, Emitter, float_output
from exporters.recipe import Outputs, Recipe

OUTPUT = "detections"
COLUMNS = 6
CORNER_COLUMNS = 8
Tail: TypeAlias = Callable[[Emitter, Sequence[str]], str]
"""Emits what turns a network's outputs into rows N×K×6, or with more columns. Returns their name."""
COMPARED = 20
"""The best rows of an image. Later rows are noise below any threshold."""
SURE = 0.5
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class DetectorRecipe(Recipe):
    """A recipe whose only output is rows. The best rows of both sides are compared."""

    @override
    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:
        return aligned_rows(outputs, reference)


def with_rows(model: onnx.ModelProto, tail: Tail, columns: int = COLUMNS) -> onnx.ModelProto:
    """A copy of `model` whose only output is `detections`, float32 N×K×`columns`."""
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    emitter = Emitter(prefix=f"{OUTPUT}/")
    rows = tail(emitter, [output.name for output in fused.graph.output])
    emitter.node("Identity", [rows], name=OUTPUT)
    fused.graph.node.extend(emitter.nodes)
    fused.graph.initializer.extend(emitter.initializers)
    del fused.graph.output[:]
    fused.graph.output.append(float_output(OUTPUT, [BATCH, "K", columns]))
    return fused


def best_rows(emitter: Emitter, boxes: str, scores: str, classes: str, most: int) -> str:
    """Emit the `most` best of boxes N×A×4 with scores N×A and class indices float32 N×A."""
    values, places = emitter.top(scores, at_most(emitter, scores, most))
    chosen = emitter.node("GatherElements", [classes, places], axis=1)
    return rows_of(emitter, values_at(emitter, boxes, places), values, chosen)


def values_at(emitter: Emitter, values: str, places: str) -> str:
    """Emit the values N×A×C at places N×K: N×K×C."""
    index = emitter.node("Unsqueeze", [places, emitter.integers([2])])
    return emitter.node("GatherND", [values, index], batch_dims=1)


def rows_of(emitter: Emitter, boxes: str, scores: str, classes: str, *more: str) -> str:
    """Emit rows of boxes N×K×4, scores N×K, class indices float32 N×K, and `more` N×K×C."""
    last = emitter.integers([2])
    score_and_class = [emitter.node("Unsqueeze", [values, last]) for values in (scores, classes)]
    return emitter.node("Concat", [boxes, *score_and_class, *more], axis=2)


def columns(emitter: Emitter, values: str, start: int, stop: int, axis: int = 2) -> str:
    """Emit values[..., start:stop] along `axis`."""
    bounds = [emitter.integers([number]) for number in (start, stop, axis)]
    return emitter.node("Slice", [values, *bounds])


def as_float(emitter: Emitter, values: str) -> str:
    """Emit a cast to float32."""
    return emitter.node("Cast", [values], to=TensorProto.FLOAT)


def at_most(emitter: Emitter, scores: str, most: int) -> str:
    """Emit the smaller of `most` and the number of scores N×A: a small input may have fewer."""
    places = columns(emitter, emitter.node("Shape", [scores]), 1, 2, axis=0)
    return emitter.node("Min", [places, emitter.integers([most])])


def aligned_rows(outputs: Outputs, reference: Outputs) -> Outputs:
    """For each of the best rows of the reference, the nearest row: `boxes` N·20×4 and `scores` N·20.

    And `corners` N·20×8 if rows have them.
    """
    pairs = zip(outputs[OUTPUT], reference[OUTPUT], strict=True)
    nearest = np.concatenate([nearest_rows(found, expected[:COMPARED]) for found, expected in pairs])
    corners = {"corners": nearest[:, COLUMNS:]} if nearest.shape[1] > COLUMNS else {}
    return {"boxes": nearest[:, :4], "scores": nearest[:, 4], **corners}


def sure_rows(outputs: Outputs, reference: Outputs) -> Outputs:
    """The same for all rows of the reference that score SURE or more: `boxes` M×4 and `scores` M."""
    pairs = zip(outputs[OUTPUT], reference[OUTPUT], strict=True)
    nearest = np.concatenate([nearest_rows(found, expected[expected[:, 4] >= SURE]) for found, expected in pairs])
    return {"boxes": nearest[:, :4], "scores": nearest[:, 4]}


def nearest_rows(found: Rows, expected: Rows) -> Rows:
    """For each expected row, the nearest found row of the same class. Infinitely far if there is none."""
    gaps = np.abs(found[np.newaxis, :, :4] - expected[:, np.newaxis, :4]).max(axis=2)
    gaps = gaps + np.abs(found[np.newaxis, :, 4] - expected[:, np.newaxis, 4])
    gaps[found[np.newaxis, :, 5] != expected[:, np.newaxis, 5]] = np.inf
    places = gaps.argmin(axis=1)
    rows: Rows = found[places]
    rows[np.isinf(gaps[np.arange(len(expected)), places])] = np.inf
    return rows


def stacked_rows(rows: Sequence[Rows]) -> Outputs:
    """Rows of each image as an output."""
    return {OUTPUT: np.stack(rows)}
