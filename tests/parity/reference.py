"""MediaPipe's own Pose on photos; runs in an environment of its own, so it imports nothing of ours.

Usage: python reference.py OUT PHOTO… writes OUT/<stem>.npz with `landmarks` 33×2 in pixels and `mask` H×W bool.
"""

import sys
from pathlib import Path

import cv2
import mediapipe
import numpy as np


def main(out: Path, photos: list[Path]) -> None:
    """Static image mode, model complexity 1, segmentation on."""
    options = {"static_image_mode": True, "model_complexity": 1, "enable_segmentation": True}
    for photo in photos:
        with mediapipe.solutions.pose.Pose(**options) as pose:  # a fresh one: nothing of another photo stays
            pixels = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
            found = pose.process(pixels)
        if found.pose_landmarks is None:
            continue
        height, width = pixels.shape[:2]
        landmarks = np.array([[point.x * width, point.y * height] for point in found.pose_landmarks.landmark])
        np.savez_compressed(out / f"{photo.stem}.npz", landmarks=landmarks, mask=found.segmentation_mask > 0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
