"""A face with its landmarks and its label map, as callers of face_contours send it."""

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np

from gateway.settings import Settings

ADDRESS = "/v1/run/face_contours"
SIDE = 1100
_SKIN, _HAIR = (1, 0.35), (10, 0.45)
"""Labels, and their radii as shares of the side."""


@dataclass(frozen=True)
class FaceCase:
    """A photo, the text of its landmarks and a PNG of labels."""

    photo: bytes
    landmarks: str
    label_map: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The form fields beside the photo."""
        return {"landmarks": self.landmarks, "segmentation_map": base64.b64encode(self.label_map).decode()}


def read_case(folder: Path) -> FaceCase:
    """A case of three files: `original_image.png`, `landmarks.txt` and `segmentation_map.png`."""
    return FaceCase(
        (folder / "original_image.png").read_bytes(),
        (folder / "landmarks.txt").read_text(),
        (folder / "segmentation_map.png").read_bytes(),
    )


def find_case(settings: Settings, photo: Path) -> FaceCase:
    """A photo as a PNG of SIDE×SIDE, with landmarks found by a gateway, and skin and hair drawn around them."""
    pixels = cv2.resize(np.asarray(cv2.imread(str(photo))), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    return FaceCase(png, _landmarks(settings, png), _label_map())


def _landmarks(settings: Settings, png: bytes) -> str:
    answer = httpx.post(
        f"{settings.local_url}{ADDRESS}",
        files={"image": png},
        data={"include": "landmarks"},
        timeout=60,
        trust_env=False,
    )
    landmarks = answer.raise_for_status().json()["artifacts"]["landmarks.json"]["base64"]
    return base64.b64decode(landmarks).decode()


def _label_map() -> bytes:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for label, share in (_HAIR, _SKIN):
        cv2.circle(labels, (SIDE // 2, SIDE // 2), int(share * SIDE), (label,), cv2.FILLED)
    return cv2.imencode(".png", labels)[1].tobytes()
