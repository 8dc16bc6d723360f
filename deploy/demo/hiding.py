"""A photo of the demo with its faces and plates hidden, and with all that was found in it drawn."""

import secrets
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from deploy.demo.answers import Answer, Detection, RefusalError, ask
from gateway.cli.files import Results

RUN, DETECT = "/v1/run/privacy_blur", "/v1/run/detect"
EVERYTHING = "faces,plates"
RUNS = 4
"""Each process of the server is slow at its first photo."""
BLURRED, DETECTIONS = "blurred.jpg", "detections.jpg"
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_SHARE = 1 / 1300
"""Scale of the letters, as a share of the photo's longer side."""


@dataclass(frozen=True)
class HidingPanel:
    """Files in the photo's folder, how many faces and plates were hidden, and how long that took."""

    blurred: str
    detections: str
    hidden: int
    milliseconds: float


def make_hiding(client: httpx.Client, photo: Path, results: Results) -> HidingPanel:
    """Hide faces and plates several times, keep the shortest time; draw every object.

    Raises what `ask` raises, and OSError.
    """
    classes = _findable(client, photo)
    hidden = [_timed(client, photo, classes) for _ in range(RUNS)]
    answer = hidden[0][0]
    folder = results.root / photo.stem
    results.write(folder / BLURRED, answer.file(BLURRED))
    pixels = np.asarray(cv2.imread(str(photo)), dtype=np.uint8)
    shown = {} if classes == EVERYTHING else {"classes": classes}
    _draw(pixels, ask(client, DETECT, photo, shown).detections)
    results.write(folder / DETECTIONS, cv2.imencode(".jpg", pixels)[1].tobytes())
    return HidingPanel(BLURRED, DETECTIONS, answer.blur.hidden, min(took for _, took in hidden))


def _findable(client: httpx.Client, photo: Path) -> str:
    """What to hide: faces alone where the model for objects is missing."""
    try:
        ask(client, DETECT, photo, {})
    except RefusalError as error:
        if error.status != HTTPStatus.NOT_IMPLEMENTED:
            raise
        return "faces"
    return EVERYTHING


def _timed(client: httpx.Client, photo: Path, classes: str) -> tuple[Answer, float]:
    """The answer, and milliseconds; the threshold of a class that nobody has keeps the cache from answering."""
    fields = {"hide": classes, "format": "jpeg", "thresholds": f"{secrets.token_hex(8)}=1"}
    start = time.perf_counter()
    answer = ask(client, RUN, photo, fields)
    return answer, (time.perf_counter() - start) * 1e3


def _draw(pixels: NDArray[np.uint8], found: Iterable[Detection]) -> None:
    """Boxes with class and score, each class in its own colour; the small ones over the large."""
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
    """Class and score above the box, or within it at the photo's edge."""
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
