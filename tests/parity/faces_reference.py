"""MediaPipe's own FaceMesh on photos; runs in an environment of its own, so it imports nothing of ours.

Usage: python faces_reference.py OUT PHOTO… writes OUT/<stem>.npy, faces×468×2 in pixels.
"""

import sys
from pathlib import Path

import cv2
import mediapipe
import numpy as np


def main(out: Path, photos: list[Path]) -> None:
    """Static image mode, up to 16 faces, no refinement."""
    options = {"static_image_mode": True, "max_num_faces": 16, "refine_landmarks": False}
    for photo in photos:
        with mediapipe.solutions.face_mesh.FaceMesh(**options) as mesh:  # a fresh one: nothing of another photo stays
            pixels = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
            found = mesh.process(pixels).multi_face_landmarks or []
        height, width = pixels.shape[:2]
        faces = [[(point.x * width, point.y * height) for point in face.landmark] for face in found]
        np.save(out / f"{photo.stem}.npy", np.array(faces).reshape(-1, 468, 2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
