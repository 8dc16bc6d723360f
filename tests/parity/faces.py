"""Our face mesh against MediaPipe's, on photos of one face and of several."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from steps.ensemble import Ensemble
from steps.tensors import InputError
from tests.face_pipeline import find, load_pipeline
from tests.parity.environment import MEDIAPIPE, SAMPLES, run_reference, shared_photos
from vision.face.mesh import Face

LENT = (
    "facial/original_image.png",
    *(f"photos/{name}.jpg" for name in ("000000001296", "000000004134", "000000005193", "000000006954")),
)
LARGEST_DISTANCE = 0.015
"""Mean landmark distance as a share of the face box's diagonal."""
SURROUNDINGS = 3.0
"""Side of a cut-out, in sides of its face."""


@dataclass(frozen=True)
class FaceComparison:
    """One photo: how many faces each finds, and the worst of those that MediaPipe finds; None where it finds none."""

    photo: str
    theirs: int
    ours: int
    distance: float | None

    @property
    def passes(self) -> bool:
        """Whether the bar is kept."""
        return self.distance is None or self.distance <= LARGEST_DISTANCE


def compare_faces(photos: list[Path]) -> list[FaceComparison]:
    """Every photo, and a cut-out about each of its faces: MediaPipe's FaceMesh sees only faces that are near."""
    pipeline = load_pipeline()
    with tempfile.TemporaryDirectory() as folder:
        everything = [*photos, *(cut for photo in photos for cut in _cut_outs(photo, pipeline, Path(folder)))]
        run_reference(MEDIAPIPE, "faces_reference.py", Path(folder), everything)
        return [_compare(photo.stem, _faces(pipeline, photo), Path(folder)) for photo in everything]


def face_photos() -> list[Path]:
    """The samples that are here."""
    return [*SAMPLES, *shared_photos(LENT)]


def faces_table(compared: list[FaceComparison]) -> Table:
    """One row a photo or cut-out."""
    table = Table("photo", "MediaPipe's faces", "ours", "mean landmark distance", "bar", title="against FaceMesh")
    for one in compared:
        mark = "[green]kept[/]" if one.passes else "[red]missed[/]"
        distance = ("–", "–") if one.distance is None else (f"{one.distance:.2%}", mark)
        table.add_row(one.photo, str(one.theirs), str(one.ours), *distance)
    table.caption = f"bar: at most {LARGEST_DISTANCE:.1%} of the face box's diagonal, for the worst face of a photo"
    return table


def _cut_outs(photo: Path, pipeline: Ensemble, folder: Path) -> list[Path]:
    pixels = cv2.imread(str(photo))
    paths = []
    for index, face in enumerate(_faces(pipeline, photo)):
        x1, y1, x2, y2 = face.box
        half = SURROUNDINGS * max(x2 - x1, y2 - y1) / 2
        left, top = (max(round(middle - half), 0) for middle in ((x1 + x2) / 2, (y1 + y2) / 2))
        right, bottom = round((x1 + x2) / 2 + half), round((y1 + y2) / 2 + half)
        paths.append(folder / f"{photo.stem} face {index}.png")
        cv2.imwrite(str(paths[-1]), pixels[top:bottom, left:right])
    return paths


def _faces(pipeline: Ensemble, photo: Path) -> list[Face]:
    try:
        return find(pipeline, photo.read_bytes())
    except InputError:
        return []


def _compare(name: str, ours: list[Face], folder: Path) -> FaceComparison:
    theirs = np.load(folder / f"{name}.npy")
    distances = [_distance(face, ours) for face in theirs]
    return FaceComparison(name, len(theirs), len(ours), max(distances, default=None))


def _distance(reference: NDArray[np.float64], ours: list[Face]) -> float:
    """To the nearest of our faces, as a share of the diagonal; infinite where there is none."""
    diagonal = float(np.linalg.norm(reference.max(axis=0) - reference.min(axis=0)))
    gaps = (float(np.linalg.norm(face.landmarks[:, :2] - reference, axis=1).mean()) for face in ours)
    return min(gaps, default=np.inf) / diagonal
