"""An environment with MediaPipe's own package, and photos as it can read them."""

import subprocess
import venv
from pathlib import Path

import cv2

from gateway.settings import Settings

PACKAGE = "mediapipe==0.10.21"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def run_reference(script: str, out: Path, photos: list[Path]) -> None:
    """Run a script of this folder there, on photos as displayed; what it finds lands in `out`."""
    readable = [_as_displayed(photo, out) for photo in photos]
    command = [_python(), str(Path(__file__).with_name(script)), str(out), *map(str, readable)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def shared_photos(names: tuple[str, ...]) -> list[Path]:
    """Those of the photos lent to developers that are here."""
    return [path for path in (SHARED / name for name in names) if path.exists()]


def _as_displayed(photo: Path, folder: Path) -> Path:
    """The photo as pixels alone: MediaPipe is to see what a full decode gives, ours decodes by itself."""
    target = folder / f"{photo.stem}.png"
    cv2.imwrite(str(target), cv2.imread(str(photo)))
    return target


def _python() -> str:
    """The environment's interpreter; it is made once."""
    folder = Settings.from_environment().maskwright_home.resolve() / "mediapipe"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        (folder / "installed").touch()
    return str(python)
