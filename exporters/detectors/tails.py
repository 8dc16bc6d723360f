"""Decoding as ONNX nodes: outputs of common detectors to rows. `decoding` has the same in numpy."""

import numpy as np

from exporters.detectors.decoding import MOST, grid
from exporters.detectors.rows import as_float, best_rows, columns
from exporters.emitter import Emitter

_END = 2**31 - 1


def yolov8(emitter: Emitter, output: str, _size: tuple[int, int]) -> str:
    """N×(4+C)×A: centre and size in input pixels, then probabilities."""
    values = emitter.node("Transpose", [as_float(emitter, output)], perm=(0, 2, 1))
    boxes = _corners(emitter, columns(emitter, values, 0, 2), columns(emitter, values, 2, 4))
    return _best(emitter, boxes, columns(emitter, values, 4, _END))


def yolov5(emitter: Emitter, output: str, _size: tuple[int, int]) -> str:
    """N×A×(5+C): centre and size in input pixels, objectness, then probabilities given an object."""
    values = as_float(emitter, output)
    boxes = _corners(emitter, columns(emitter, values, 0, 2), columns(emitter, values, 2, 4))
    return _best(emitter, boxes, _joint(emitter, values))


def yolox(emitter: Emitter, output: str, size: tuple[int, int]) -> str:
    """N×A×(5+C): centre and logarithm of the size in cells, relative to the cell; objectness, probabilities."""
    values = as_float(emitter, output)
    origin, stride = (emitter.constant(array) for array in grid(size))
    centre = emitter.node("Add", [columns(emitter, values, 0, 2), origin])
    centre = emitter.node("Mul", [centre, stride])
    extent = emitter.node("Mul", [emitter.node("Exp", [columns(emitter, values, 2, 4)]), stride])
    return _best(emitter, _corners(emitter, centre, extent), _joint(emitter, values))


def rows(emitter: Emitter, output: str, _size: tuple[int, int]) -> str:
    """N×K×6: rows already."""
    values = as_float(emitter, output)
    scores, classes = (_column(emitter, columns(emitter, values, place, place + 1)) for place in (4, 5))
    return best_rows(emitter, columns(emitter, values, 0, 4), scores, classes, MOST)


def _joint(emitter: Emitter, values: str) -> str:
    return emitter.node("Mul", [columns(emitter, values, 4, 5), columns(emitter, values, 5, _END)])


def _corners(emitter: Emitter, centre: str, extent: str) -> str:
    half = emitter.node("Mul", [extent, emitter.scalar(0.5)])
    return emitter.node("Concat", [emitter.node(kind, [centre, half]) for kind in ("Sub", "Add")], axis=2)


def _best(emitter: Emitter, boxes: str, scores: str) -> str:
    """Rows of the best class of each box."""
    best = emitter.node("ArgMax", [scores], axis=2, keepdims=1)
    score = _column(emitter, emitter.node("GatherElements", [scores, best], axis=2))
    return best_rows(emitter, boxes, score, as_float(emitter, _column(emitter, best)), MOST)


def _column(emitter: Emitter, values: str) -> str:
    """N×A×1 to N×A."""
    return emitter.node("Squeeze", [values, emitter.constant(np.asarray([2], np.int64))])
