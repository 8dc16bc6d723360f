"""`python -m loadtests.looking`: what is found in large photos, compared with the network at full size, and its cost.

Faces of the sample photos (and of a folder, if one is given) are pasted into large ones. The network at full size sees
them in pieces of 1920 pixels. Everything it finds there with a score of 0.5, at least 20 pixels wide, must be found.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import cv2.typing
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from deploy.embedded.triton import MODELS
from exporters.catalogue import DEFAULT_PATHS
from loadtests.comparison import pipeline, request
from steps.detector_windows import Network
from steps.object_detectors import detector_model
from steps.onnx_session import OnnxNetworks, SessionOptions
from vision.arrays import RGB, Float32, Size
from vision.nms import ious
from vision.object_detector import Detections, ObjectDetector
from vision.tiles import Tile, View, windows_about

SIZES: Sequence[Size] = (
    (4000, 3000), (4032, 2274), (3000, 4000), (5000, 3000), (3264, 2448), (6000, 1600), (2400, 1800), (4608, 3456),
    (4000, 3000), (8000, 1500),
)  # fmt: skip
WIDTHS = (21, 22, 24, 26, 28, 32, 36, 42, 50, 64, 90, 140)
"""Widths of the pasted faces, in pixels."""
TIMED: Sequence[Size] = ((1024, 768), (1600, 1200), (2400, 1800), (4000, 3000), (8160, 6144), (14_000, 3000))
PIECE, PIECES_SHARE = 1920, 512
SURE, SMALLEST, SAME = 0.5, 20, 0.3
MARGIN = 0.6
NOISE = 4.0
"""Strength of the noise in grey levels. An enlarged photo has none, and the detector sees texture in real ones."""

Face = tuple[RGB, Float32]
"""A crop of a photo, and the face's box in it."""

_console = Console()


def main(
    photos: Annotated[Path | None, typer.Option(help="A folder of further JPEGs with faces.")] = None,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Print recall and false faces by photo, then times by size."""
    model = detector_model(MODELS / "centerface")
    if model is None:
        raise typer.Exit(1)
    network = OnnxNetworks(MODELS, SessionOptions(1, allow_spinning=False))("centerface")
    files = [*sorted(DEFAULT_PATHS.files.glob("*.jpg")), *sorted(photos.glob("*.jpg") if photos else ())]
    sources = [_decoded(file.read_bytes()) for file in files]
    reference = Reference(model.detector, network)
    _console.print(_recall(reference, sources, np.random.default_rng(seed)), _times(sources[-1]))


@dataclass(frozen=True)
class Reference:
    """The network at a photo's own size, in pieces."""

    detector: ObjectDetector
    network: Network

    def find(self, photo: RGB) -> Detections:
        """The objects that score SURE."""
        view = View(photo)
        width, height = view.size
        middles = np.mgrid[0 : width + PIECE : PIECE - PIECES_SHARE, 0 : height + PIECE : PIECE - PIECES_SHARE]
        centers = middles.reshape(2, -1).T.astype(np.float64)
        pieces = dict.fromkeys(windows_about(centers, 1.0, PIECE, 0.0, view.size))
        return Detections.joined([self._piece(view, tile) for tile in pieces]).distinct(self.detector.iou)

    def _piece(self, view: View, tile: Tile) -> Detections:
        (rows,) = self.network([lambda: self.detector.draw(view, tile)])
        found = self.detector.located(rows, tile, view.size, SURE)
        return found.select(~found.cut)


def _recall(reference: Reference, sources: list[RGB], random: np.random.Generator) -> Table:
    table = Table(
        "photo", "at full size", "found", "recall", "false ≥ 0.5", "tiles", "s", title="faces in large photos"
    )
    run, faces = pipeline("detect_lite", threads=1), [crop for source in sources for crop in _crops(reference, source)]
    totals = np.zeros(2, int)
    for index, size in enumerate(SIZES):
        jpeg, pasted = _composed(random, cv2.resize(sources[index % len(sources)], size), faces)
        sure = reference.find(_decoded(jpeg))
        sure = sure.select(sure.boxes[:, 2] - sure.boxes[:, 0] >= SMALLEST)
        start = time.perf_counter()
        answer = run(request(jpeg, json.dumps({"classes": ["faces"]}).encode()))
        seconds = time.perf_counter() - start
        result = json.loads(answer["result"][0])
        boxes = np.array([one["box"] for one in result["detections"]], np.float32).reshape(-1, 4)
        scores = np.array([one["score"] for one in result["detections"]], np.float32)
        found = int((ious(sure.boxes, boxes) > SAME).any(axis=1).sum())
        known = np.concatenate((pasted, sure.boxes))
        false = int((~(ious(boxes[scores >= SURE], known) > SAME).any(axis=1)).sum())
        totals += (len(sure), found)
        cells = (len(sure), found, f"{found / len(sure):.3f}", false, result["looked"]["tiles"])
        table.add_row("×".join(map(str, size)), *map(str, cells), f"{seconds:.2f}")
    table.add_row("all", *map(str, totals), f"{totals[1] / totals[0]:.4f}")
    return table


def _times(source: RGB) -> Table:
    table = Table("photo", "megapixels", "tiles", "s faces", "s faces, plates", title="time by size, one caller")
    run = pipeline("privacy_blur_lite", threads=1)
    for size in TIMED:
        jpeg = _encoded(cv2.resize(source, size, interpolation=cv2.INTER_CUBIC))
        seconds, tiles = [], 0
        for hide in (["faces"], ["faces", "plates"]):
            asked = request(jpeg, json.dumps({"hide": hide}).encode())
            run(asked)
            start = time.perf_counter()
            answer = run(asked)
            seconds.append(time.perf_counter() - start)
            tiles = tiles or json.loads(answer["result"][0])["looked"]["tiles"]
        megapixels = size[0] * size[1] / 1e6
        table.add_row("×".join(map(str, size)), f"{megapixels:.1f}", str(tiles), *(f"{one:.2f}" for one in seconds))
    return table


def _composed(random: np.random.Generator, photo: cv2.typing.MatLike, faces: list[Face]) -> tuple[bytes, Float32]:
    """A JPEG of a photo with noise and faces pasted into it, and their boxes."""
    noisy = np.clip(photo + random.normal(0, NOISE, (*photo.shape[:2], 1)), 0, 255).astype(np.uint8)
    boxes = list(_paste(random, noisy, faces))
    return _encoded(noisy), np.array(boxes, np.float32)


def _paste(
    random: np.random.Generator, photo: NDArray[np.uint8], faces: list[Face], count: int = 40
) -> Iterator[Float32]:
    """Paste faces into the cells of a grid; yields their boxes."""
    height, width = photo.shape[:2]
    across = max(round((count * width / height) ** 0.5), 1)
    cell = width // across
    for index in range(count):
        crop, box = faces[random.integers(len(faces))]
        scale = min(random.choice(WIDTHS) / (box[2] - box[0]), 1.2)
        small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        left, top = index % across * cell, index // across * cell
        if top + small.shape[0] <= height and left + small.shape[1] <= width:
            photo[top : top + small.shape[0], left : left + small.shape[1]] = small
            yield box * np.float32(scale) + np.array((left, top, left, top), np.float32)


def _crops(reference: Reference, source: RGB) -> Iterator[Face]:
    """The large faces of a photo with some surroundings, and their boxes in the crops."""
    for x1, y1, x2, y2 in reference.find(source).boxes.tolist():
        width = x2 - x1
        if width >= 2 * SMALLEST:
            left, top = max(round(x1 - MARGIN * width), 0), max(round(y1 - MARGIN * width), 0)
            crop = source[top : round(y2 + MARGIN * width), left : round(x2 + MARGIN * width)]
            yield crop, np.array((x1 - left, y1 - top, x2 - left, y2 - top), np.float32)


def _decoded(jpeg: bytes) -> RGB:
    decoded = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _encoded(photo: cv2.typing.MatLike) -> bytes:
    return cv2.imencode(".jpg", photo[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 92))[1].tobytes()


if __name__ == "__main__":
    typer.run(main)
