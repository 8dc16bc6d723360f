"""Small and turned faces in large photos, through the real pipeline and its real models."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from exporters.catalogue import DEFAULT_PATHS
from loadtests.comparison import pipeline, request
from steps.ensemble import Ensemble
from tests.parity.environment import SHARED
from vision.arrays import Float32
from vision.nms import covered_shares

pytestmark = pytest.mark.skipif(not DEFAULT_PATHS.model("centerface").exists(), reason="CenterFace is not exported")
FACE = (225, 70, 95)
"""In the astronaut's photo: the middle of the face, and its width with something about it."""
CASES = SHARED.parent / "cases" / "photos"


@pytest.fixture(scope="module")
def detect() -> Ensemble:
    return pipeline("detect_lite", threads=1)


def found(detect: Ensemble, photo: bytes, **parameters: object) -> tuple[Float32, Mapping[str, object]]:
    """The faces' boxes N×4, and how closely was looked."""
    answer = detect(request(photo, json.dumps({"classes": ["faces"], **parameters}).encode()))
    result = json.loads(cast("Sequence[bytes]", answer["result"])[0])
    assert result["status"] == "completed", result
    boxes = [one["box"] for one in result["detections"]]
    return np.array(boxes, np.float32).reshape(-1, 4), result["looked"]


def crowd(astronaut: Path, width: int, size: tuple[int, int]) -> tuple[bytes, Float32]:
    """A JPEG with twelve faces `width` pixels wide, and a box within each."""
    photo = cv2.imread(str(astronaut))
    face = photo[20:200, 130:310]
    scale = width / 92  # of the face in the photo
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    large = cv2.GaussianBlur(cv2.resize(photo[250:500, 0:120], size, interpolation=cv2.INTER_CUBIC), (0, 0), 9)
    boxes = []
    for index in range(12):
        x, y = 150 + index % 4 * (size[0] // 4), 130 + index // 4 * (size[1] // 3)
        large[y : y + small.shape[0], x : x + small.shape[1]] = small
        boxes.append((x + 70 * scale, y + 60 * scale, x + 110 * scale, y + 120 * scale))
    return cv2.imencode(".jpg", large)[1].tobytes(), np.array(boxes, np.float32)


@pytest.mark.parametrize("width", [24, 40])
def test_every_small_face_of_a_photo_of_12_megapixels_is_found(detect: Ensemble, astronaut: Path, width: int) -> None:
    photo, boxes = crowd(astronaut, width, (4000, 3000))
    faces, looked = found(detect, photo, thresholds={"face": 0.5})
    assert (covered_shares(boxes, faces) > 0.6).any(axis=1).all()
    assert len(faces) == len(boxes)
    assert cast("int", looked["tiles"]) > 1


def test_with_a_larger_smallest_face_fewer_tiles_are_searched(detect: Ensemble, astronaut: Path) -> None:
    photo, boxes = crowd(astronaut, 100, (4000, 3000))
    faces, looked = found(detect, photo, smallest_face=80)
    assert (covered_shares(boxes, faces) > 0.6).any(axis=1).all()
    assert cast("int", looked["tiles"]) < cast("int", found(detect, photo)[1]["tiles"])


@pytest.mark.parametrize("turn", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE])
def test_a_face_in_a_photo_on_its_side_is_found(detect: Ensemble, astronaut: Path, turn: int) -> None:
    upright = cv2.imread(str(astronaut))
    mark = np.zeros(upright.shape[:2], np.uint8)
    mark[FACE[1] : FACE[1] + 80, FACE[0] - 30 : FACE[0] + 30] = 255
    photo = cv2.imencode(".jpg", cv2.rotate(upright, turn))[1].tobytes()
    x, y, width, height = cv2.boundingRect(cv2.rotate(mark, turn))
    inside = np.array([(x, y, x + width, y + height)], np.float32)
    assert (covered_shares(inside, found(detect, photo)[0]) > 0.6).any()
    assert found(detect, photo, rotations="none")[1]["rotations"] == [0]


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_every_face_of_the_shared_cases_is_found(detect: Ensemble) -> None:
    faces, _ = found(detect, (CASES / "faces_40px_12mp.jpg").read_bytes())
    crops = np.array(json.loads((CASES / "faces_40px_12mp.json").read_text()), np.float32)
    assert ((covered_shares(faces, crops) > 0.5).sum(axis=0) == 1).all()
    faces, _ = found(detect, (CASES / "faces_upside_down.jpg").read_bytes())
    assert len(faces) >= 5
