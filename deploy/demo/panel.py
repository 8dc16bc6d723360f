"""One photo of the demo: sent over HTTP, its artifacts saved, its times kept."""

import base64
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import cv2
import httpx
import numpy as np

from deploy.demo.face import FacePanel, make_face
from deploy.demo.hiding import HidingPanel, make_hiding

LABEL_COLOURS = 19
"""ATR's 18 labels and the neck."""


class _Photo(TypedDict):
    width: int
    height: int


class _Artifact(TypedDict):
    base64: str


class _Answer(TypedDict):
    photo: _Photo
    persons: list[object]
    artifacts: dict[str, _Artifact]


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


def make_panel(client: httpx.Client, photo: Path, out: Path) -> Panel:
    """Send a photo twice, keep the second answer's time, and write every artifact to `out`/<photo name>.

    Raises httpx.HTTPStatusError where the gateway refuses it.
    """
    folder = out / photo.stem
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(photo, folder / photo.name)
    _send(client, photo)  # the first request of a fresh server also pays for its allocations
    start = time.perf_counter()
    answer = _send(client, photo)
    milliseconds = (time.perf_counter() - start) * 1e3
    files = {name: base64.b64decode(value["base64"]) for name, value in answer["artifacts"].items()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Panel(
        folder=folder,
        photo=photo.name,
        width=answer["photo"]["width"],
        height=answer["photo"]["height"],
        people=len(answer["persons"]),
        milliseconds=milliseconds,
        masks=tuple(name for name in files if name.endswith("_mask.png")),
        overlay="overlay.jpg",
        label_map=_colour_labels(folder / "label_map.png"),
        face=make_face(client, photo, folder),
        hiding=make_hiding(client, photo, folder),
    )


def _send(client: httpx.Client, photo: Path) -> "_Answer":
    answer = client.post(
        "/v1/run/body_masks",
        files={"image": (photo.name, photo.read_bytes())},
        data={"include": "overlay,label_map,keypoints", "gender": secrets.token_hex(8)},  # unknown to the cache
        headers={"Accept": "application/json"},
    )
    answer.raise_for_status()
    value: _Answer = answer.json()
    return value


def _colour_labels(label_map: Path) -> str:
    labels = np.asarray(cv2.imread(str(label_map), cv2.IMREAD_GRAYSCALE))
    spread = (labels.astype(np.uint16) * 255 // (LABEL_COLOURS - 1)).astype(np.uint8)
    colours = cv2.applyColorMap(spread, cv2.COLORMAP_TURBO)
    colours[labels == 0] = 0
    target = label_map.with_name("label_map_colours.png")
    cv2.imwrite(str(target), colours)
    return target.name
