"""Faces in real photos, with the real models."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.embedded.triton import MODELS
from steps.ensemble import Ensemble
from steps.tensors import InputError
from tests.face_pipeline import find, load_pipeline
from tests.integration.gateway.photos import encode, flat, gradient, noise
from tests.parity.environment import SHARED

REAL = SHARED / "facial"
NOSE_TIP, CHIN = 1, 152
SEEN = {(33, 133): (202, 101), (362, 263): (246, 103), (61,): (203, 141), (291,): (246, 141), (CHIN,): (222, 177)}
"""Landmarks of eyes, corners of the mouth and chin, and where a person sees them on the astronaut."""


@pytest.fixture(scope="module")
def pipeline() -> Ensemble:
    names = ("face_detection_short_range", "face_detection_full_range", "face_landmark")
    if not all((MODELS / name / "1" / "model.onnx").exists() for name in names):
        pytest.skip("the face models are not built; `maskwright models export` builds them")
    return load_pipeline()


def test_landmarks_lie_on_the_parts_of_the_face(pipeline: Ensemble, astronaut: Path) -> None:
    (face,) = find(pipeline, astronaut.read_bytes())
    for part, place in SEEN.items():
        np.testing.assert_allclose(face.landmarks[list(part), :2].mean(axis=0), place, atol=4)
    assert face.landmarks[NOSE_TIP, 2] < face.landmarks[CHIN, 2], "the nose is nearer to the camera"


def test_a_face_that_fills_the_photo_is_found(pipeline: Ensemble, astronaut: Path) -> None:
    close = cv2.imread(str(astronaut))[82:160, 189:261]
    (face,) = find(pipeline, cv2.imencode(".png", close)[1].tobytes())
    assert face.box[0] < 10


def test_small_faces_far_away_are_found(pipeline: Ensemble, bus: Path) -> None:
    assert len(find(pipeline, bus.read_bytes())) == 2


def test_each_of_two_faces_is_found_once(pipeline: Ensemble, couple: bytes) -> None:
    one, other = sorted(find(pipeline, couple), key=lambda face: face.box[0])
    np.testing.assert_allclose(other.landmarks[:, 0] - one.landmarks[:, 0], 768, atol=4)


@pytest.mark.parametrize("pixels", [noise(), gradient(), flat(127)])
def test_a_photo_without_a_face_fails(pipeline: Ensemble, pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="no_face"):
        find(pipeline, encode(pixels, "JPEG"))


def test_landmarks_do_not_depend_on_how_far_a_photo_is_reduced(pipeline: Ensemble, astronaut: Path) -> None:
    large = cv2.resize(cv2.imread(str(astronaut)), None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    (reduced,) = find(pipeline, cv2.imencode(".jpg", large)[1].tobytes())
    (full,) = find(pipeline, cv2.imencode(".png", large)[1].tobytes())
    assert _distance(reduced.landmarks[:, :2], full.landmarks[:, :2]) < 0.005


@pytest.mark.skipif(not REAL.exists(), reason="the real case is lent to developers only")
def test_the_shared_case_of_a_face_gets_the_given_landmarks(pipeline: Ensemble) -> None:
    (face,) = find(pipeline, (REAL / "original_image.png").read_bytes())
    given = json.loads((REAL / "landmarks.txt").read_text().replace("'", '"'))["landmarks"][0]
    expected = np.array([(point["x"], point["y"]) for point in given])[:468]
    assert _distance(face.landmarks[:, :2], expected) < 0.015


def _distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Mean, as a share of the diagonal."""
    diagonal = np.linalg.norm(expected.max(axis=0) - expected.min(axis=0))
    return float(np.linalg.norm(found - expected, axis=1).mean() / diagonal)
