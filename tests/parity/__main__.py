"""`make parity`: landmarks and person mask against MediaPipe 0.10.21. Exit status 1 where a bar is missed."""

import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from exporters.paths import DEFAULT_PATHS
from gateway.settings import Settings
from tests.parity.ours import Found, find, load_pipeline

PACKAGE = "mediapipe==0.10.21"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "photos"
ONE_PERSON = ("000000000785", "000000007088", "000000009483", "000000001296", "000000003156", "000000008021")
LARGEST_DISTANCE = 0.015
"""Mean landmark distance as a share of the person box's diagonal."""
LEAST_IOU = 0.95

_console = Console()


@dataclass(frozen=True)
class Comparison:
    """One photo."""

    photo: str
    distance: float
    iou: float

    @property
    def passes(self) -> bool:
        """Whether both bars are kept."""
        return self.distance <= LARGEST_DISTANCE and self.iou >= LEAST_IOU


def main(photos: Annotated[list[Path] | None, typer.Argument(help="Photos of one person each.")] = None) -> None:
    """Compare on the photos given, or on the samples that are here."""
    chosen = photos or _default_photos()
    with tempfile.TemporaryDirectory() as folder:
        readable = [_as_displayed(photo, Path(folder)) for photo in chosen]
        reference = [_reference_python(), str(Path(__file__).with_name("reference.py"))]
        subprocess.run([*reference, folder, *map(str, readable)], check=True, stderr=subprocess.DEVNULL)
        ensemble = load_pipeline()
        compared = [_compare(photo.stem, find(ensemble, photo), Path(folder)) for photo in chosen]
    _console.print(_table(compared))
    if not all(one.passes for one in compared):
        raise typer.Exit(1)


def _default_photos() -> list[Path]:
    shared = [SHARED / f"{name}.jpg" for name in ONE_PERSON]
    return [DEFAULT_PATHS.files / "astronaut.png", *(photo for photo in shared if photo.exists())]


def _as_displayed(photo: Path, folder: Path) -> Path:
    """The photo as pixels alone: MediaPipe is to see what a full decode gives, ours decodes by itself."""
    target = folder / f"{photo.stem}.png"
    cv2.imwrite(str(target), cv2.imread(str(photo)))
    return target


def _reference_python() -> str:
    """An environment with MediaPipe, made once."""
    folder = Settings.from_environment().maskwright_home.resolve() / "mediapipe"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        (folder / "installed").touch()
    return str(python)


def _compare(name: str, ours: Found, folder: Path) -> Comparison:
    reference = np.load(folder / f"{name}.npz")
    landmarks, mask = reference["landmarks"], reference["mask"]
    height, width = mask.shape
    seen = np.clip(landmarks, 0, (width, height))
    diagonal = float(np.linalg.norm(seen.max(axis=0) - seen.min(axis=0)))
    distance = float(np.linalg.norm(ours.landmarks - landmarks, axis=1).mean()) / diagonal
    iou = float((ours.mask & mask).sum() / (ours.mask | mask).sum())
    return Comparison(name, distance, iou)


def _table(compared: list[Comparison]) -> Table:
    table = Table("photo", "mean landmark distance", "person mask IoU", "bars", title="against MediaPipe's Pose")
    for one in compared:
        mark = "[green]kept[/]" if one.passes else "[red]missed[/]"
        table.add_row(one.photo, f"{one.distance:.2%}", f"{one.iou:.3f}", mark)
    table.caption = f"bars: at most {LARGEST_DISTANCE:.1%} of the box's diagonal, at least {LEAST_IOU}"
    return table


if __name__ == "__main__":
    sys.exit(typer.run(main))
