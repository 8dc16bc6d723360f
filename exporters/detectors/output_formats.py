"""The output forms of common detectors: how to recognise them, their input, and how their outputs become rows.

Each form is decoded twice: as ONNX nodes, which become part of the model, and in numpy, for one image, with which the
nodes are compared. Sources: Ultralytics 8.3 (exporter.py, head.py, tal.py), YOLOv5 7.0 (models/yolo.py), YOLOX 0.3
(tools/export_onnx.py, utils/demo_utils.py), RT-DETR as exported with its post-processing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from exporters.detectors.network import Pixels
from exporters.detectors.rows import as_float, best_rows, columns
from exporters.errors import TranslationError
from exporters.onnx_model import Emitter

Size = tuple[int, int]
"""(width, height)."""
Array = NDArray[np.float32]
MOST = 1000
"""Rows per image that are passed to non-maximum suppression."""
STRIDES = (8, 16, 32)
_END = 2**31 - 1
ROW_COLUMNS = 6
_RANK = 3
"""Images, rows, columns."""
_UNIT = Pixels(white=1.0)
_BLUE_FIRST = Pixels(blue_first=True)


@dataclass(frozen=True)
class Form:
    """One output form. `tail` emits rows of an output for an input of a size, `decode` does the same in numpy."""

    name: str
    pixels: Pixels
    fit: str
    """A value of `vision.tiles.Fit`."""
    iou: float
    """IoU above which two boxes of a class are one object. 1 if the model itself leaves one box per object."""
    tail: Callable[[Emitter, str, Size], str]
    decode: Callable[[Array, Size], Array]


def emit_yolov8(emitter: Emitter, output: str, _size: Size) -> str:
    """N×(4+C)×A: centre and size in input pixels, then probabilities."""
    values = emitter.node("Transpose", [as_float(emitter, output)], perm=(0, 2, 1))
    boxes = _corners(emitter, columns(emitter, values, 0, 2), columns(emitter, values, 2, 4))
    return _emit_best(emitter, boxes, columns(emitter, values, 4, _END))


def decode_yolov8(output: Array, _size: Size) -> Array:
    """(4+C)×A: centre and size in input pixels, then probabilities."""
    return _best_decoded(output[:2].T, output[2:4].T, output[4:].T)


def emit_yolov5(emitter: Emitter, output: str, _size: Size) -> str:
    """N×A×(5+C): centre and size in input pixels, objectness, then probabilities given an object."""
    values = as_float(emitter, output)
    boxes = _corners(emitter, columns(emitter, values, 0, 2), columns(emitter, values, 2, 4))
    return _emit_best(emitter, boxes, _joint(emitter, values))


def decode_yolov5(output: Array, _size: Size) -> Array:
    """A×(5+C): centre and size in input pixels, objectness, then probabilities given an object."""
    return _best_decoded(output[:, :2], output[:, 2:4], output[:, 4:5] * output[:, 5:])


def emit_yolox(emitter: Emitter, output: str, size: Size) -> str:
    """N×A×(5+C): centre and logarithm of the size in cells, relative to the cell; objectness, probabilities."""
    values = as_float(emitter, output)
    origin, stride = (emitter.constant(array) for array in grid(size))
    centre = emitter.node("Add", [columns(emitter, values, 0, 2), origin])
    centre = emitter.node("Mul", [centre, stride])
    extent = emitter.node("Mul", [emitter.node("Exp", [columns(emitter, values, 2, 4)]), stride])
    return _emit_best(emitter, _corners(emitter, centre, extent), _joint(emitter, values))


def decode_yolox(output: Array, size: Size) -> Array:
    """A×(5+C): centre and logarithm of the size in cells, relative to the cell; objectness, probabilities."""
    origin, stride = grid(size)
    centre, extent = (output[:, :2] + origin) * stride, np.exp(output[:, 2:4]) * stride
    return _best_decoded(centre, extent, output[:, 4:5] * output[:, 5:])


def emit_rows(emitter: Emitter, output: str, _size: Size) -> str:
    """N×K×6: already rows."""
    values = as_float(emitter, output)
    scores, classes = (_column(emitter, columns(emitter, values, place, place + 1)) for place in (4, 5))
    return best_rows(emitter, columns(emitter, values, 0, 4), scores, classes, MOST)


def decode_rows(output: Array, _size: Size) -> Array:
    """K×6: already rows."""
    chosen: Array = output[np.argsort(-output[:, 4], kind="stable")[:MOST]]
    return chosen


def grid(size: Size) -> tuple[Array, Array]:
    """Column and row A×2 and stride A×1 of each cell, for an input of `size`. Finest grid first, row by row."""
    width, height = size
    origins, strides = [], []
    for stride in STRIDES:
        row, column = np.mgrid[: height // stride, : width // stride]
        origins.append(np.column_stack((column.ravel(), row.ravel())))
        strides.append(np.full((row.size, 1), stride))
    return np.concatenate(origins).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _emit_best(emitter: Emitter, boxes: str, scores: str) -> str:
    """Rows of the best class of each box."""
    best = emitter.node("ArgMax", [scores], axis=2, keepdims=1)
    score = _column(emitter, emitter.node("GatherElements", [scores, best], axis=2))
    return best_rows(emitter, boxes, score, as_float(emitter, _column(emitter, best)), MOST)


def _best_decoded(centre: Array, extent: Array, scores: Array) -> Array:
    classes = scores.argmax(axis=1)
    best = scores.max(axis=1)
    values = np.column_stack((centre - extent / 2, centre + extent / 2, best, classes)).astype(np.float32)
    chosen: Array = values[np.argsort(-best, kind="stable")[:MOST]]
    return chosen


def _joint(emitter: Emitter, values: str) -> str:
    return emitter.node("Mul", [columns(emitter, values, 4, 5), columns(emitter, values, 5, _END)])


def _corners(emitter: Emitter, centre: str, extent: str) -> str:
    half = emitter.node("Mul", [extent, emitter.scalar(0.5)])
    return emitter.node("Concat", [emitter.node(kind, [centre, half]) for kind in ("Sub", "Add")], axis=2)


def _column(emitter: Emitter, values: str) -> str:
    """N×A×1 to N×A."""
    return emitter.node("Squeeze", [values, emitter.constant(np.asarray([2], np.int64))])


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("yolov8", _UNIT, "letterbox", 0.7, emit_yolov8, decode_yolov8),
            Form("yolov5", _UNIT, "letterbox", 0.45, emit_yolov5, decode_yolov5),
            Form("yolox", _BLUE_FIRST, "corner", 0.45, emit_yolox, decode_yolox),
            Form("rows", _UNIT, "letterbox", 1.0, emit_rows, decode_rows),
            Form("rows-stretched", _UNIT, "stretch", 1.0, emit_rows, decode_rows),
        )
    }
)


def recognised(shape: tuple[int, ...], size: Size, metadata: Mapping[str, str]) -> Form:
    """The form of an output of `shape` for an input of `size`.

    YOLOX and YOLOv5 have equal columns. YOLOX has one row for each cell of its grids, YOLOv5 three. Rows of
    Ultralytics, which states a stride in the metadata, need a letterbox, those of RT-DETR a stretched photo. Raises
    TranslationError.
    """
    cells = sum((size[0] // stride) * (size[1] // stride) for stride in STRIDES)
    _, second, third = shape if len(shape) == _RANK else (0, 0, 0)
    if third == cells:
        return FORMS["yolov8"]
    if second == cells:
        return FORMS["yolox"]
    if second == 3 * cells:
        return FORMS["yolov5"]
    if third == ROW_COLUMNS:
        return FORMS["rows" if "stride" in metadata else "rows-stretched"]
    raise TranslationError(
        f"an output of shape {shape} for an input of {size[0]}×{size[1]} is of no known form; "
        f"known: YOLOv8 and 11 (N×(4+classes)×{cells}), YOLOv5 (N×{3 * cells}×(5+classes)), "
        f"YOLOX (N×{cells}×(5+classes)), rows x1, y1, x2, y2, score, class (N×K×6)"
    )


def fitting(shape: tuple[int, ...], form: Form) -> Form:
    """The form, if an output of `shape` can have it. Raises TranslationError."""
    rank, columns = len(shape), shape[-1] if shape else 0
    rows = form.decode is decode_rows
    if rank != _RANK or (rows and columns != ROW_COLUMNS):
        raise TranslationError(f"an output of shape {shape} cannot be of the form {form.name}")
    return form


def class_count(form: Form, shape: tuple[int, ...]) -> int | None:
    """How many classes an output of `shape` distinguishes. None if the shape does not show it."""
    return {"yolov8": shape[1] - 4, "yolov5": shape[2] - 5, "yolox": shape[2] - 5}.get(form.name)
