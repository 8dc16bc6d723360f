"""One photo of the demo: sent over HTTP to each pipeline, with its artifacts saved and its times measured."""

import secrets
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter

from gateway.cli.client import UNEXPECTED, Artifact, RefusedError, content_of, run_pipeline
from gateway.cli.safe_files import Results, read_regular

OVERLAY, CONTOURS = "face_overlay.svg", "face_contours.svg"
EVERYTHING = "faces,plates"
RUNS = 4
"""Requests of which the fastest is shown: each process of the server is slow with its first photo."""
BLURRED, DETECTIONS = "blurred.jpg", "detections.jpg"
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_SHARE = 1 / 1300
"""Size of the letters, as a share of the photo's longer side."""
LABEL_COLOURS = 19
"""ATR's 18 labels and the neck."""


class Size(BaseModel):
    """Size of the photo, in pixels."""

    width: int
    height: int


class Detection(BaseModel):
    """An object, with its box in pixels of the photo."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Blur(BaseModel):
    """How many objects were hidden."""

    hidden: int


class Answer(BaseModel):
    """The answer of any pipeline. Fields that do not apply to it are empty."""

    photo: Size = Size(width=0, height=0)
    persons: tuple[object, ...] = ()
    detections: tuple[Detection, ...] = ()
    blur: Blur = Blur(hidden=0)
    artifacts: Mapping[str, Artifact] = {}

    def file(self, name: str) -> bytes:
        """An artifact's content. Raises RefusedError."""
        if name not in self.artifacts:
            raise RefusedError(UNEXPECTED, f"the gateway sent no {name}")
        return self.artifacts[name].base64


_ANSWER = TypeAdapter(Answer)


@dataclass(frozen=True)
class FacePanel:
    """Files in the photo's folder, and how long detection and drawing took."""

    overlay: str
    contours: str
    milliseconds: float


@dataclass(frozen=True)
class RedactionPanel:
    """Files in the photo's folder, how many faces and plates were hidden, and how long that took."""

    blurred: str
    detections: str
    hidden: int
    milliseconds: float


@dataclass(frozen=True)
class Panel:
    """What the demo shows of one photo. Files are in the folder, masks in the order of the answer."""

    folder: Path
    photo: str
    width: int
    height: int
    people: int
    milliseconds: float
    masks: tuple[str, ...]
    overlay: str
    label_map: str
    face: FacePanel | None
    redaction: RedactionPanel


async def make_panel(client: httpx.AsyncClient, photo: Path, results: Results) -> Panel:
    """Send a photo twice, measure the second time, and write every artifact into a folder named like the photo.

    Raises RefusedError, httpx.HTTPError and OSError.
    """
    folder = results.root / photo.stem
    results.write(folder / photo.name, read_regular(photo))
    await _send(client, photo)  # the first request of a fresh server also pays for its allocations
    start = time.perf_counter()
    answer = await _send(client, photo)
    milliseconds = (time.perf_counter() - start) * 1e3
    for name in answer.artifacts:
        results.write(folder / name, answer.file(name))
    return Panel(
        folder=folder,
        photo=photo.name,
        width=answer.photo.width,
        height=answer.photo.height,
        people=len(answer.persons),
        milliseconds=milliseconds,
        masks=tuple(name for name in answer.artifacts if name.endswith("_mask.png")),
        overlay="overlay.jpg",
        label_map=results.write(folder / "label_map_colours.png", _coloured(answer.file("label_map.png"))).name,
        face=await make_face(client, photo, results),
        redaction=await make_redaction(client, photo, results),
    )


async def _send(client: httpx.AsyncClient, photo: Path) -> Answer:
    fields = {"include": "overlay,label_map,keypoints", "gender": secrets.token_hex(8)}  # unknown to the cache
    return await _ask(client, "body_masks", photo, fields)


async def _ask(client: httpx.AsyncClient, pipeline: str, photo: Path, fields: Mapping[str, str]) -> Answer:
    """The answer. Raises RefusedError and httpx.HTTPError."""
    return content_of(await run_pipeline(client, pipeline, read_regular(photo), fields), _ANSWER)


def _coloured(label_map: bytes) -> bytes:
    labels = cv2.imdecode(np.frombuffer(label_map, np.uint8), cv2.IMREAD_GRAYSCALE)
    if labels is None:
        raise RefusedError(UNEXPECTED, "the label map is no picture")
    spread = (labels.astype(np.uint16) * 255 // (LABEL_COLOURS - 1)).astype(np.uint8)
    colours = cv2.applyColorMap(spread, cv2.COLORMAP_TURBO)
    colours[labels == 0] = 0
    return cv2.imencode(".png", colours)[1].tobytes()


async def make_face(client: httpx.AsyncClient, photo: Path, results: Results) -> FacePanel | None:
    """Draw the largest face several times and keep the shortest time. None if the photo shows no face.

    Raises RefusedError, httpx.HTTPError and OSError.
    """
    overlay = await _svg(client, photo, {"embed_image": "true", "stroke_width": "1"})
    if overlay is None:
        return None
    drawn = [await _timed_face(client, photo) for _ in range(RUNS)]
    results.write(results.root / photo.stem / OVERLAY, overlay)
    results.write(results.root / photo.stem / CONTOURS, drawn[0][0])
    return FacePanel(OVERLAY, CONTOURS, min(milliseconds for _, milliseconds in drawn))


async def _timed_face(client: httpx.AsyncClient, photo: Path) -> tuple[bytes, float]:
    """The SVG, and milliseconds. The colour of a region that nobody has prevents an answer from the cache."""
    start = time.perf_counter()
    svg = await _svg(client, photo, {"colors": f"{secrets.token_hex(8)}=#000000"})
    return svg or b"", (time.perf_counter() - start) * 1e3


async def _svg(client: httpx.AsyncClient, photo: Path, fields: dict[str, str]) -> bytes | None:
    try:
        return (await _ask(client, "face_contours", photo, fields)).file("contours.svg")
    except RefusedError as error:
        if error.code == "no_face":
            return None
        raise


async def make_redaction(client: httpx.AsyncClient, photo: Path, results: Results) -> RedactionPanel:
    """Hide faces and plates several times and keep the shortest time. Draw every object.

    Raises RefusedError, httpx.HTTPError and OSError.
    """
    classes = await _findable(client, photo)
    hidden = [await _timed_redaction(client, photo, classes) for _ in range(RUNS)]
    answer = hidden[0][0]
    folder = results.root / photo.stem
    results.write(folder / BLURRED, answer.file(BLURRED))
    pixels = np.asarray(cv2.imread(str(photo)), dtype=np.uint8)
    shown = {} if classes == EVERYTHING else {"classes": classes}
    _draw(pixels, (await _ask(client, "detect", photo, shown)).detections)
    results.write(folder / DETECTIONS, cv2.imencode(".jpg", pixels)[1].tobytes())
    return RedactionPanel(BLURRED, DETECTIONS, answer.blur.hidden, min(took for _, took in hidden))


async def _findable(client: httpx.AsyncClient, photo: Path) -> str:
    """What to hide: only faces if the model for objects is missing."""
    try:
        await _ask(client, "detect", photo, {})
    except RefusedError as error:
        if error.code != "model_missing":
            raise
        return "faces"
    return EVERYTHING


async def _timed_redaction(client: httpx.AsyncClient, photo: Path, classes: str) -> tuple[Answer, float]:
    """The answer, and milliseconds. The threshold of a class that nobody has prevents an answer from the cache."""
    fields = {"hide": classes, "format": "jpeg", "thresholds": f"{secrets.token_hex(8)}=1"}
    start = time.perf_counter()
    answer = await _ask(client, "privacy_blur", photo, fields)
    return answer, (time.perf_counter() - start) * 1e3


def _draw(pixels: NDArray[np.uint8], found: Iterable[Detection]) -> None:
    """Boxes with class and score, each class in its own colour, small boxes over large ones."""
    scale = max(pixels.shape) * _TEXT_SHARE
    thickness = max(round(2 * scale), 1)
    objects = sorted(found, key=_area, reverse=True)
    for one in objects:
        x1, y1, x2, y2 = (round(side) for side in one.box)
        cv2.rectangle(pixels, (x1, y1), (x2, y2), _color(one.label), thickness)
    for one in objects:
        _name(pixels, one, scale, thickness)


def _area(one: Detection) -> float:
    x1, y1, x2, y2 = one.box
    return (x2 - x1) * (y2 - y1)


def _name(pixels: NDArray[np.uint8], one: Detection, scale: float, thickness: int) -> None:
    """Class and score above the box, or inside it at the photo's edge."""
    text = f"{one.label} {one.score:.2f}"
    (width, height), base = cv2.getTextSize(text, _FONT, scale, thickness)
    x = min(round(one.box[0]), pixels.shape[1] - width)
    top = max(round(one.box[1]) - height - base, 0)
    cv2.rectangle(pixels, (x, top), (x + width, top + height + base), _color(one.label), cv2.FILLED)
    cv2.putText(pixels, text, (x, top + height + base // 2), _FONT, scale, (0, 0, 0), thickness, cv2.LINE_AA)


def _color(label: str) -> tuple[int, ...]:
    hue = zlib.crc32(label.encode()) % 180
    bright = cv2.cvtColor(np.array([[(hue, 120, 255)]], np.uint8), cv2.COLOR_HSV2BGR)
    return tuple(bright[0, 0].tolist())
