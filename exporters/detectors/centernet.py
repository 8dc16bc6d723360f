"""CenterNet on MobileNetV3, trained on COCO: the TensorFlow.js graph in the npm package `@vladmandic/human`.

Heads, channels last: class logits N×128×128×80 (an object of the class has its centre in the cell of 4×4 pixels),
extents N×128×128×4 (input pixels from the cell's corner to the left, top, right and bottom). The rows follow the file's
own tail, `tower_0/detections`: peaks of 3×3 cells, the best 100. The tail compares probabilities. This module compares
logits, which have the same order, and applies the sigmoid only to the 100.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from typing_extensions import override

from exporters.detectors.rows import DetectorRecipe, as_float, rows_of, stacked_rows, values_at, with_rows
from exporters.onnx_model import Emitter, checked_model
from exporters.recipe import Outputs
from exporters.tfjs.evaluation import evaluate
from exporters.tfjs.lowering import lower
from exporters.tfjs.reader import TfjsGraph, read
from exporters.tflite.translate import InputRange, translate

HEADS: Mapping[str, str] = MappingProxyType(
    {"tower_0/CenternetHead/centernet_cls_output/BiasAdd": "logits", "tower_0/wh": "extents"}
)
SIDE = 512
CELLS = 128
CLASSES = 80
MOST = 100
STRIDE = SIDE // CELLS
_PIXELS = InputRange(0.0, 255.0)
_FAR = 1e9
_TOWARDS = (-1.0, -1.0, 1.0, 1.0)


def centernet_rows(emitter: Emitter, heads: Sequence[str]) -> str:
    """Emit the rows of the best MOST peaks."""
    logits, extents = heads
    scores, places = emitter.top(_peaks(emitter, logits), emitter.integers([MOST]))
    area = emitter.integers([CELLS * CELLS])
    classes = emitter.node("Div", [places, area])
    cells = emitter.node("Mod", [places, area])
    boxes = emitter.node("Mul", [extents, emitter.constant(np.asarray(_TOWARDS, np.float32))])
    boxes = emitter.node("Add", [boxes, emitter.constant(_corners())])
    boxes = emitter.node("Reshape", [boxes, emitter.integers([0, CELLS * CELLS, 4])])
    probabilities = emitter.node("Sigmoid", [scores])
    return rows_of(emitter, values_at(emitter, boxes, cells), probabilities, as_float(emitter, classes))


def _peaks(emitter: Emitter, logits: str) -> str:
    """Logits N×(80·128·128). A cell with a larger neighbour gets a value far below all others.

    Exact for the largest cell, because the difference to itself is 0. It is faster than a comparison and a selection.
    """
    cells = emitter.node("Transpose", [logits], perm=(0, 3, 1, 2))
    largest = emitter.node("MaxPool", [cells], kernel_shape=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
    excess = emitter.node("Mul", [emitter.node("Sub", [largest, cells]), emitter.scalar(_FAR)])
    peaks = emitter.node("Sub", [cells, excess])
    return emitter.node("Reshape", [peaks, emitter.integers([0, CLASSES * CELLS * CELLS])])


def decode_centernet(logits: NDArray[np.float32], extents: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same rows in numpy, of one image's heads H×W×80 and H×W×4."""
    keypoints = 1 / (1 + np.exp(-logits))
    padded = np.pad(keypoints, ((1, 1), (1, 1), (0, 0)))
    for axis in (0, 1):
        padded = sliding_window_view(padded, 3, axis=axis).max(axis=-1)
    peaks = np.where(keypoints == padded, keypoints, np.float32(0))
    best = np.argsort(-peaks, axis=None, kind="stable")[:MOST]
    row, column, classes = np.unravel_index(best, peaks.shape)
    boxes = (extents * np.asarray(_TOWARDS, np.float32) + _corners())[row, column]
    rows: NDArray[np.float32] = np.column_stack((boxes, peaks[row, column, classes], classes)).astype(np.float32)
    return rows


def _corners() -> NDArray[np.float32]:
    """The corner of each cell twice, H×W×4."""
    row, column = np.mgrid[:CELLS, :CELLS] * STRIDE
    corners: NDArray[np.float32] = np.stack((column, row, column, row), axis=-1).astype(np.float32)
    return corners


@dataclass(frozen=True)
class CenterNetRecipe(DetectorRecipe):
    """The graph up to its two heads. Its own tail is not translated but emitted anew, for any batch."""

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        return SIDE, SIDE

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Lower, translate, and add decoding."""
        network = translate(lower(_graph(files), HEADS), _PIXELS, HEADS, {})
        return checked_model(with_rows(network, centernet_rows).graph, metadata)

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """Rows decoded from the file's own graph in double precision. There is no other way here."""
        rows = _decoded(_graph(files), images)
        return rows, rows


def _graph(files: Sequence[Path]) -> TfjsGraph:
    graph, weights = files
    return read(graph, weights)


def _decoded(graph: TfjsGraph, images: NDArray[np.uint8]) -> Outputs:
    heads = (evaluate(graph, image[np.newaxis].astype(np.float64), tuple(HEADS)) for image in images)
    return stacked_rows([decode_centernet(*(head[0].astype(np.float32) for head in one)) for one in heads])
