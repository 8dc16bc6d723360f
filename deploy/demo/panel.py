"""One photo of the demo: sent over HTTP, its artifacts saved, its times kept."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np

from deploy.demo.answers import Answer, ask
from deploy.demo.face import FacePanel, make_face
from deploy.demo.hiding import HidingPanel, make_hiding
from gateway.cli.client import UnexpectedAnswerError
from gateway.cli.files import Results

LABEL_COLOURS = 19
"""ATR's 18 labels and the neck."""


@dataclass(frozen=True)
class Panel:
    """What the demo shows of one photo; files lie in the folder, masks in the order of the answer."""

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
    hiding: HidingPanel


def make_panel(client: httpx.Client, photo: Path, results: Results) -> Panel:
    """Send a photo twice, keep the second answer's time, and write every artifact into a folder called as the photo.

    Raises what `ask` raises, and OSError.
    """
    folder = results.root / photo.stem
    results.write(folder / photo.name, photo.read_bytes())
    _send(client, photo)  # the first request of a fresh server also pays for its allocations
    start = time.perf_counter()
    answer = _send(client, photo)
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
        face=make_face(client, photo, results),
        hiding=make_hiding(client, photo, results),
    )


def _send(client: httpx.Client, photo: Path) -> Answer:
    fields = {"include": "overlay,label_map,keypoints", "gender": secrets.token_hex(8)}  # unknown to the cache
    return ask(client, "/v1/run/body_masks", photo, fields)


def _coloured(label_map: bytes) -> bytes:
    labels = cv2.imdecode(np.frombuffer(label_map, np.uint8), cv2.IMREAD_GRAYSCALE)
    if labels is None:
        raise UnexpectedAnswerError("the label map is no picture")
    spread = (labels.astype(np.uint16) * 255 // (LABEL_COLOURS - 1)).astype(np.uint8)
    colours = cv2.applyColorMap(spread, cv2.COLORMAP_TURBO)
    colours[labels == 0] = 0
    return cv2.imencode(".png", colours)[1].tobytes()
