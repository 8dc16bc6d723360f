"""The output forms of common detectors: how to know one, what it expects, how its outputs become rows.

Sources: Ultralytics 8.3 (exporter.py, head.py, tal.py), YOLOv5 7.0 (models/yolo.py), YOLOX 0.3 (tools/export_onnx.py,
utils/demo_utils.py), RT-DETR as exported with its post-processing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from exporters.detectors import decoding, tails
from exporters.detectors.pixels import Pixels
from exporters.emitter import Emitter
from exporters.errors import TranslationError

Size = tuple[int, int]
"""(width, height)."""
Rows = NDArray[np.float32]

STRIDES = (8, 16, 32)
ROW_COLUMNS = 6
_RANK = 3
"""Images, rows, columns."""


@dataclass(frozen=True)
class Form:
    """One output form. `tail` emits rows of an output for an input of a size, `decode` does the same in numpy."""

    name: str
    pixels: Pixels
    fit: str
    """Of `vision.tiles.Fit`."""
    iou: float
    """Above which two boxes of a class are one object; 1 where the model itself leaves one box an object."""
    tail: Callable[[Emitter, str, Size], str]
    decode: Callable[[NDArray[np.float32], Size], Rows]


_UNIT = Pixels(white=1.0)
_BLUE_FIRST = Pixels(blue_first=True)
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("yolov8", _UNIT, "letterbox", 0.7, tails.yolov8, decoding.yolov8),
            Form("yolov5", _UNIT, "letterbox", 0.45, tails.yolov5, decoding.yolov5),
            Form("yolox", _BLUE_FIRST, "corner", 0.45, tails.yolox, decoding.yolox),
            Form("rows", _UNIT, "letterbox", 1.0, tails.rows, decoding.rows),
            Form("rows-stretched", _UNIT, "stretch", 1.0, tails.rows, decoding.rows),
        )
    }
)


def recognised(shape: tuple[int, ...], size: Size, metadata: Mapping[str, str]) -> Form:
    """The form of an output of `shape` for an input of `size`.

    YOLOX and YOLOv5 have equal columns; the one has a row for each cell of its grids, the other three. Rows of
    Ultralytics, which states a stride in the metadata, want a letterbox, those of RT-DETR a stretched photo. Raises
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
    """The form, where an output of `shape` can be of it. Raises TranslationError."""
    rank, columns = len(shape), shape[-1] if shape else 0
    rows = form.decode is decoding.rows
    if rank != _RANK or (rows and columns != ROW_COLUMNS):
        raise TranslationError(f"an output of shape {shape} cannot be of the form {form.name}")
    return form


def class_count(form: Form, shape: tuple[int, ...]) -> int | None:
    """How many classes an output of `shape` tells apart; None where it does not show."""
    return {"yolov8": shape[1] - 4, "yolov5": shape[2] - 5, "yolox": shape[2] - 5}.get(form.name)
