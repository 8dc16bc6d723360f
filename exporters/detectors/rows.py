"""The rows that every detector answers: the tail of its graph."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import onnx
from onnx import TensorProto

from exporters.emitter import Emitter
from exporters.onnx_model import BATCH, float_output

OUTPUT = "detections"
COLUMNS = 6
BOX_COLUMNS = 4

Tail: TypeAlias = Callable[[Emitter, Sequence[str]], str]
"""Emits what turns a network's outputs into rows N×K×6; returns their name."""


def with_rows(model: onnx.ModelProto, tail: Tail) -> onnx.ModelProto:
    """A copy of `model` whose only output is `detections`, float32 N×K×6."""
    fused = onnx.ModelProto()
    fused.CopyFrom(model)
    emitter = Emitter(prefix=f"{OUTPUT}/")
    rows = tail(emitter, [output.name for output in fused.graph.output])
    emitter.node("Identity", [rows], name=OUTPUT)
    fused.graph.node.extend(emitter.nodes)
    fused.graph.initializer.extend(emitter.initializers)
    del fused.graph.output[:]
    fused.graph.output.append(float_output(OUTPUT, [BATCH, "K", COLUMNS]))
    return fused


def best_rows(emitter: Emitter, boxes: str, scores: str, classes: str, most: int) -> str:
    """Emit the `most` best of boxes N×A×4 with scores N×A and class indices float32 N×A."""
    values, places = emitter.top(scores, _at_most(emitter, scores, most))
    chosen = emitter.node("GatherElements", [classes, places], axis=1)
    return rows_of(emitter, boxes_at(emitter, boxes, places), values, chosen)


def boxes_at(emitter: Emitter, boxes: str, places: str) -> str:
    """Emit the boxes N×A×4 at places N×K: N×K×4."""
    column = emitter.node("Unsqueeze", [places, emitter.integers([2])])
    index = emitter.node("Concat", [column] * BOX_COLUMNS, axis=2)
    return emitter.node("GatherElements", [boxes, index], axis=1)


def rows_of(emitter: Emitter, boxes: str, scores: str, classes: str) -> str:
    """Emit rows of boxes N×K×4, scores N×K and class indices float32 N×K."""
    last = emitter.integers([2])
    score_and_class = [emitter.node("Unsqueeze", [values, last]) for values in (scores, classes)]
    return emitter.node("Concat", [boxes, *score_and_class], axis=2)


def columns(emitter: Emitter, values: str, start: int, stop: int, axis: int = 2) -> str:
    """Emit values[..., start:stop] along `axis`."""
    bounds = [emitter.integers([number]) for number in (start, stop, axis)]
    return emitter.node("Slice", [values, *bounds])


def as_float(emitter: Emitter, values: str) -> str:
    """Emit a cast to float32."""
    return emitter.node("Cast", [values], to=TensorProto.FLOAT)


def _at_most(emitter: Emitter, scores: str, most: int) -> str:
    """A small input may have fewer places than `most`."""
    places = columns(emitter, emitter.node("Shape", [scores]), 1, 2, axis=0)
    return emitter.node("Min", [places, emitter.integers([most])])
