"""Our pose against MediaPipe's, on photos of one person."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from tests.parity.environment import MEDIAPIPE, run_reference, shared_photos
from tests.parity.ours import Found, find, load_pipeline

ONE_PERSON = ("000000000785", "000000007088", "000000009483", "000000001296", "000000003156", "000000008021")
LARGEST_DISTANCE = 0.015
"""Mean landmark distance as a share of the person box's diagonal."""
LEAST_IOU = 0.95


@dataclass(frozen=True)
class PoseComparison:
    """One photo."""

    photo: str
    distance: float
    iou: float

    @property
    def passes(self) -> bool:
        """Whether both bars are kept."""
        return self.distance <= LARGEST_DISTANCE and self.iou >= LEAST_IOU


def compare_poses(photos: list[Path]) -> list[PoseComparison]:
    """The largest person of each photo."""
    with tempfile.TemporaryDirectory() as folder:
        run_reference(MEDIAPIPE, "reference.py", Path(folder), photos)
        ensemble = load_pipeline()
        return [_compare(photo.stem, find(ensemble, photo), Path(folder)) for photo in photos]


def pose_photos() -> list[Path]:
    """The samples that are here."""
    return [DEFAULT_PATHS.files / "astronaut.png", *shared_photos(tuple(f"photos/{name}.jpg" for name in ONE_PERSON))]


def poses_table(compared: list[PoseComparison]) -> Table:
    """One row a photo."""
    table = Table("photo", "mean landmark distance", "person mask IoU", "bars", title="against MediaPipe's Pose")
    for one in compared:
        mark = "[green]kept[/]" if one.passes else "[red]missed[/]"
        table.add_row(one.photo, f"{one.distance:.2%}", f"{one.iou:.3f}", mark)
    table.caption = f"bars: at most {LARGEST_DISTANCE:.1%} of the box's diagonal, at least {LEAST_IOU}"
    return table


def _compare(name: str, ours: Found, folder: Path) -> PoseComparison:
    reference = np.load(folder / f"{name}.npz")
    landmarks, mask = reference["landmarks"], reference["mask"]
    height, width = mask.shape
    seen = np.clip(landmarks, 0, (width, height))
    diagonal = float(np.linalg.norm(seen.max(axis=0) - seen.min(axis=0)))
    distance = float(np.linalg.norm(ours.landmarks - landmarks, axis=1).mean()) / diagonal
    iou = float((ours.mask & mask).sum() / (ours.mask | mask).sum())
    return PoseComparison(name, distance, iou)
