"""`python -m loadtests.faces`: contours of given landmarks and label map, without the cache, directly and as jobs."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.stack import bench_stack

ADDRESS = "/v1/run/face_contours"
SUBMIT, STATUS = "/api/v1/frontal/crop/submit", "/api/v1/frontal/crop/status"
WARM_UPS = 10
_POLL_S = 0.005
_PENDING = ("pending", "processing")
SIDE = 1100
_SKIN, _HAIR = (1, 0.35), (10, 0.45)
"""Labels, and their radii as shares of the side."""


@dataclass(frozen=True)
class FaceCase:
    """A photo, the text of its landmarks and a PNG of labels."""

    photo: bytes
    landmarks: str
    label_map: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The form fields beside the photo."""
        return {"landmarks": self.landmarks, "segmentation_map": base64.b64encode(self.label_map).decode()}


def read_case(folder: Path) -> FaceCase:
    """A case of three files: `original_image.png`, `landmarks.txt` and `segmentation_map.png`."""
    return FaceCase(
        (folder / "original_image.png").read_bytes(),
        (folder / "landmarks.txt").read_text(),
        (folder / "segmentation_map.png").read_bytes(),
    )


def find_case(settings: Settings, photo: Path) -> FaceCase:
    """A photo as a PNG of SIDE×SIDE, with landmarks found by a gateway, and skin and hair drawn around them."""
    pixels = cv2.resize(np.asarray(cv2.imread(str(photo))), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    return FaceCase(png, _landmarks(settings, png), _label_map())


def _landmarks(settings: Settings, png: bytes) -> str:
    answer = httpx.post(
        f"{settings.local_url}{ADDRESS}",
        files={"image": png},
        data={"include": "landmarks"},
        timeout=60,
        trust_env=False,
    )
    landmarks = answer.raise_for_status().json()["artifacts"]["landmarks.json"]["base64"]
    return base64.b64decode(landmarks).decode()


def _label_map() -> bytes:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for label, share in (_HAIR, _SKIN):
        cv2.circle(labels, (SIDE // 2, SIDE // 2), int(share * SIDE), (label,), cv2.FILLED)
    return cv2.imencode(".png", labels)[1].tobytes()


Ask = Callable[[httpx.AsyncClient, FaceCase, float], Awaitable[None]]


def main(
    requests: Annotated[int, typer.Option(help="How many of each kind.")] = 100,
    case: Annotated[Path | None, typer.Option(help="A folder of a photo, landmarks and labels; else made up.")] = None,
) -> None:
    """Measure one caller's requests, one after the other, each of them different."""
    with bench_stack(CACHE_ENABLED="true") as settings:
        given = read_case(case) if case else find_case(settings, DEFAULT_PATHS.files / "astronaut.png")
        took_ms = asyncio.run(_measure(settings.local_url, given, requests))
    Console().print(_table(took_ms))


async def _measure(url: str, case: FaceCase, requests: int) -> dict[str, list[float]]:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        return {
            f"POST {ADDRESS}": await _timed(client, case, requests, _run),
            f"POST {SUBMIT}, then its status until it is completed": await _timed(client, case, requests, _job),
        }


async def _timed(client: httpx.AsyncClient, case: FaceCase, requests: int, ask: Ask) -> list[float]:
    """Milliseconds of each. The outline's width makes each request different."""
    took_ms = []
    for number in range(WARM_UPS + requests):
        began = time.perf_counter()
        await ask(client, case, number / 1000)
        took_ms.append((time.perf_counter() - began) * 1000)
    return took_ms[WARM_UPS:]


async def _run(client: httpx.AsyncClient, case: FaceCase, width: float) -> None:
    answer = await client.post(ADDRESS, files={"image": case.photo}, data={**case.fields, "stroke_width": str(width)})
    if "fwd=miss" not in answer.raise_for_status().headers["Cache-Status"]:
        raise RuntimeError("a measured request was answered from the cache")


async def _job(client: httpx.AsyncClient, case: FaceCase, width: float) -> None:
    fields = {**case.fields, "stroke_width": f"{width + 0.0005}"}
    submitted = await client.post(SUBMIT, files={"image": case.photo}, data=fields)
    task_id = submitted.raise_for_status().json()["task_id"]
    task = await _poll(client, f"{STATUS}/{task_id}")
    if task["status"] != "completed" or task["cached"]:
        raise RuntimeError(f"a measured task was {task['status']}: {task['error']}")


async def _poll(client: httpx.AsyncClient, address: str) -> dict[str, object]:
    """The task when it has ended."""
    while True:
        task: dict[str, object] = (await client.get(address)).raise_for_status().json()
        if task["status"] not in _PENDING:
            return task
        await asyncio.sleep(_POLL_S)


def _table(took_ms: dict[str, list[float]]) -> Table:
    table = Table("request", "p50 ms", "p95 ms", "p99 ms", title="contours, computed", title_justify="left")
    for name, values in took_ms.items():
        table.add_row(name, *(f"{np.percentile(values, share):.0f}" for share in (50, 95, 99)))
    return table


if __name__ == "__main__":
    typer.run(main)
