"""The rows that every detector answers: the tail of its graph."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import onnx
from onnx import TensorProto

from exporters.emitter import Emitter
from exporters.onnx_model import BATCH, float_output

OUTPUT = "detections"
COLUMNS = 6
CORNER_COLUMNS = 8

Tail: TypeAlias = Callable[[Emitter, Sequence[str]], str]
"""Emits what turns a network's outputs into rows N×K×6, or more columns; returns their name."""


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
    """Emit the smaller of `most` and the places of scores N×A: a small input may have fewer."""
    places = columns(emitter, emitter.node("Shape", [scores]), 1, 2, axis=0)
    return emitter.node("Min", [places, emitter.integers([most])])
