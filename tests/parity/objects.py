"""Our CenterNet against the same file in TensorFlow.js."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from exporters.detectors.rows import nearest_rows
from gateway.settings import Settings
from tests.detecting import load_detector
from tests.parity.environment import SAMPLES, shared_photos

PACKAGE = "@tensorflow/tfjs@4.22.0"
LENT = tuple(f"photos/000000{number}.jpg" for number in ("001532", "002006", "005193", "006723"))
TOP = 20
LARGEST_GAP = 1.0
"""Input pixels."""


@dataclass(frozen=True)
class ObjectComparison:
    """One photo: the best of TensorFlow.js's scores, and how far ours are from its best boxes and scores."""

    photo: str
    best: float
    box_gap: float
    score_gap: float

    @property
    def passes(self) -> bool:
        """Whether the bar is kept."""
        return self.box_gap <= LARGEST_GAP


def can_compare() -> bool:
    """Whether node and npm are here, and the model, which comes by npm."""
    tools = shutil.which("node") and shutil.which("npm")
    return bool(tools) and DEFAULT_PATHS.model("centernet").exists()


def compare_objects(photos: list[Path]) -> list[ObjectComparison]:
    """The best boxes of both, of the same pixels."""
    centernet = load_detector("centernet")
    with tempfile.TemporaryDirectory() as folder:
        images = {photo: centernet.draw(photo.read_bytes()) for photo in photos}
        files = [Path(folder) / photo.stem for photo in photos]
        for file, image in zip(files, images.values(), strict=True):
            file.write_bytes(image.tobytes())
        _run(files)
        theirs = [np.array(json.loads(Path(f"{file}.json").read_text()), np.float32) for file in files]
    ours = [centernet.rows(image) for image in images.values()]
    return [_compare(photo.stem, *rows) for photo, *rows in zip(photos, ours, theirs, strict=True)]


def object_photos() -> list[Path]:
    """The samples that are here."""
    return [*SAMPLES, *shared_photos(LENT)]


def objects_table(compared: list[ObjectComparison]) -> Table:
    """One row a photo."""
    table = Table("photo", "best score", "box gap", "score gap", "bar", title="against CenterNet in TensorFlow.js")
    for one in compared:
        mark = "[green]kept[/]" if one.passes else "[red]missed[/]"
        table.add_row(one.photo, f"{one.best:.2f}", f"{one.box_gap:.1e}", f"{one.score_gap:.1e}", mark)
    table.caption = f"bar: the best {TOP} boxes of a photo within {LARGEST_GAP:g} input pixel"
    return table


def _compare(name: str, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> ObjectComparison:
    gaps = np.abs(nearest_rows(ours, theirs[:TOP]) - theirs[:TOP])
    return ObjectComparison(name, float(theirs[0, 4]), float(gaps[:, :4].max()), float(gaps[:, 4].max()))


def _run(images: list[Path]) -> None:
    """TensorFlow.js's package is installed once, in a folder of its own."""
    folder = Settings.from_environment().maskwright_home.resolve() / "tfjs"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules").exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", folder, PACKAGE], check=True)  # noqa: S607
    script = Path(__file__).with_name("tfjs_reference.mjs")
    checkpoint = [DEFAULT_PATHS.files / name for name in ("centernet.json", "centernet.bin")]
    command = ["node", script, folder, *checkpoint, *images]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
