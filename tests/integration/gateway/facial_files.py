"""What callers of the facial services have: a photo, its landmarks and a label map, as files."""

from pathlib import Path

import cv2
import httpx

from tests.integration.gateway.face_case import found_case


def write_case(folder: Path, client: httpx.Client, photo: Path) -> None:
    """face.jpg, test_image.jpg, landmarks.txt and seg_map.png; the landmarks are those that are found here."""
    jpeg = cv2.imencode(".jpg", cv2.imread(str(photo)))[1].tobytes()
    case = found_case(client, jpeg)
    for name in ("face.jpg", "test_image.jpg"):
        (folder / name).write_bytes(jpeg)
    (folder / "landmarks.txt").write_text(case.landmarks)
    (folder / "seg_map.png").write_bytes(case.label_map)
