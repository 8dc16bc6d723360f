"""A face with landmarks and a label map: the real one where it is lent, else made of a sample photo."""

import base64
import json
from dataclasses import dataclass

import httpx

from tests.label_maps import painted
from tests.parity.environment import SHARED

RUN = "/v1/run/face_contours"
REAL = SHARED / "facial"


@dataclass(frozen=True)
class FaceCase:
    """A photo, its landmarks as text with one face, and a label map."""

    photo: bytes
    landmarks: str
    label_map: bytes

    @property
    def points(self) -> list[dict[str, float]]:
        """The face's landmarks."""
        return json.loads(self.landmarks.replace("'", '"'))["landmarks"][0]


def found_case(client: httpx.Client, photo: bytes) -> FaceCase:
    """The landmarks that the pipeline finds, to be given back, and a label map painted about them."""
    artifacts = artifacts_of(client.post(RUN, files={"image": photo}, data={"include": "landmarks"}))
    landmarks = json.loads(artifacts["landmarks.json"])
    return FaceCase(photo, json.dumps(landmarks), painted(landmarks["landmarks"][0], landmarks["dimensions"], 0.93))


def real_case() -> FaceCase:
    """The case that real callers sent."""
    photo, label_map = (REAL / name for name in ("original_image.png", "segmentation_map.png"))
    return FaceCase(photo.read_bytes(), (REAL / "landmarks.txt").read_text(), label_map.read_bytes())


def artifacts_of(answer: httpx.Response) -> dict[str, bytes]:
    """The artifacts of a good answer."""
    assert answer.status_code == 200, answer.text[:500]
    return {name: base64.b64decode(item["base64"]) for name, item in answer.json()["artifacts"].items()}
