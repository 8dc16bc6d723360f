"""The largest face of a photo of the demo: its contours over the levelled photo, and alone."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.demo.answers import RefusalError, ask
from gateway.cli.files import Results

RUN = "/v1/run/face_contours"
RUNS = 4
"""Each process of the server is slow at its first photo."""
OVERLAY, CONTOURS = "face_overlay.svg", "face_contours.svg"


@dataclass(frozen=True)
class FacePanel:
    """Files in the photo's folder, and how long finding and drawing took."""

    overlay: str
    contours: str
    milliseconds: float


def make_face(client: httpx.Client, photo: Path, results: Results) -> FacePanel | None:
    """Draw the largest face several times, keep the shortest time; None where the photo shows no face.

    Raises what `ask` raises, and OSError.
    """
    overlay = _svg(client, photo, {"embed_image": "true", "stroke_width": "1"})
    if overlay is None:
        return None
    drawn = [_timed(client, photo) for _ in range(RUNS)]
    results.write(results.root / photo.stem / OVERLAY, overlay)
    results.write(results.root / photo.stem / CONTOURS, drawn[0][0])
    return FacePanel(OVERLAY, CONTOURS, min(milliseconds for _, milliseconds in drawn))


def _timed(client: httpx.Client, photo: Path) -> tuple[bytes, float]:
    """The SVG, and milliseconds; the colour of a region that nobody has keeps the cache from answering."""
    start = time.perf_counter()
    svg = _svg(client, photo, {"colors": f"{secrets.token_hex(8)}=#000000"})
    return svg or b"", (time.perf_counter() - start) * 1e3


def _svg(client: httpx.Client, photo: Path, fields: dict[str, str]) -> bytes | None:
    try:
        return ask(client, RUN, photo, fields).file("contours.svg")
    except RefusalError as error:
        if error.code == "no_face":
            return None
        raise
