"""The two ways to run a pipeline, an ensemble of models and one fused process, give equal bytes."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from deploy.embedded.triton import ENSEMBLES
from tests.label_maps import painted
from tests.stack import RunningStack, running_stack
from tests.triton_client import run_pipeline

SERVED = sorted(folder.name for folder in ENSEMBLES.iterdir() if not folder.name.endswith("_full"))
"""Without networks of a user; those are in test_full_profile."""
EVERYTHING: dict[str, object] = {"include": ["label_map", "keypoints", "overlay"]}


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    without = {"DB_USE_DATABASE": "false"}
    with running_stack(tmp_path_factory.mktemp("ensemble"), TRITON_LAYOUT="ensemble", **without) as running:
        yield running


@pytest.mark.parametrize("style", ["garment", "labels"])
@pytest.mark.parametrize("frame", ["source", "canvas"])
def test_both_layouts_give_equal_bytes(
    stack: RunningStack, ensemble: RunningStack, astronaut: Path, style: str, frame: str
) -> None:
    parameters = {**EVERYTHING, "style": style, "frame": frame}
    answer = run_pipeline(stack.triton, "body_masks_lite", astronaut.read_bytes(), parameters)
    assert answer == run_pipeline(ensemble.triton, "body_masks_lite", astronaut.read_bytes(), parameters)
    assert len(answer.artifacts) == 7 + 3


@pytest.mark.parametrize(
    ("person", "reason", "masks"), [("largest", None, 7), ("all", None, 14), ("single", "several_persons", 0)]
)
def test_both_layouts_give_the_same_masks_of_several_people(
    stack: RunningStack, ensemble: RunningStack, couple: bytes, person: str, reason: str | None, masks: int
) -> None:
    answer = run_pipeline(stack.triton, "body_masks_lite", couple, {"person": person})
    assert answer == run_pipeline(ensemble.triton, "body_masks_lite", couple, {"person": person})
    assert (answer.result["reason"], len(answer.artifacts)) == (reason, masks)


@pytest.mark.parametrize("photo", [b"", b"not a photo", b"\xff\xd8\xff\xe0"])
@pytest.mark.parametrize("pipeline", SERVED)
def test_both_layouts_give_the_same_refusals(
    stack: RunningStack, ensemble: RunningStack, pipeline: str, photo: bytes
) -> None:
    answer = run_pipeline(ensemble.triton, pipeline, photo, {})
    assert answer.result["status"] == "failed"
    assert answer.artifacts == {}
    assert answer == run_pipeline(stack.triton, pipeline, photo, {})


@pytest.mark.parametrize("frame", ["crop", "source"])
def test_both_layouts_find_the_same_faces(
    stack: RunningStack, ensemble: RunningStack, couple: bytes, frame: str
) -> None:
    parameters: dict[str, object] = {"face": "all", "frame": frame, "embed_image": True, "include": ["landmarks"]}
    answer = run_pipeline(stack.triton, "face_contours_lite", couple, parameters)
    assert answer == run_pipeline(ensemble.triton, "face_contours_lite", couple, parameters)
    assert len(answer.artifacts) == 3 + 2 * 2
    assert len(answer.result["faces"]) == 2


def test_both_layouts_draw_given_landmarks_alike(stack: RunningStack, ensemble: RunningStack, astronaut: Path) -> None:
    photo = astronaut.read_bytes()
    found = run_pipeline(stack.triton, "face_contours_lite", photo, {"include": ["landmarks"]})
    landmarks = json.loads(found.artifacts["landmarks.json"])
    label_map = painted(landmarks["landmarks"][0], landmarks["dimensions"], 0.93)
    given: dict[str, object] = {
        "landmarks": found.artifacts["landmarks.json"].decode(),
        "segmentation_map": base64.b64encode(label_map).decode(),
    }
    answer = run_pipeline(stack.triton, "face_contours_given", photo, given)
    assert answer == run_pipeline(ensemble.triton, "face_contours_given", photo, given)
    assert [region["number"] for region in answer.result["faces"][0]["regions"]] == [1, 6, 10]
    assert answer.artifacts["contours.svg"] != found.artifacts["contours.svg"]


@pytest.mark.parametrize("hide", [["faces"], ["faces", "plates", "persons"]])
def test_both_layouts_hide_faces_alike(
    stack: RunningStack, ensemble: RunningStack, astronaut: Path, hide: list[str]
) -> None:
    parameters: dict[str, object] = {"hide": hide, "format": "jpeg", "include": ["detections"]}
    answer = run_pipeline(stack.triton, "privacy_blur_lite", astronaut.read_bytes(), parameters)
    assert answer == run_pipeline(ensemble.triton, "privacy_blur_lite", astronaut.read_bytes(), parameters)
    assert list(answer.artifacts) == ["blurred.jpg", "detections.json"]
    assert {one["action"] for one in answer.result["detections"] if one["label"] in {"face", "person"}} >= {"hidden"}


@pytest.mark.parametrize(("classes", "labels"), [([], {"bus", "person", "face"}), (["faces"], {"face"})])
def test_both_layouts_find_the_same_objects(
    stack: RunningStack, ensemble: RunningStack, bus: Path, classes: list[str], labels: set[str]
) -> None:
    asked: dict[str, object] = {"classes": classes}
    answer = run_pipeline(stack.triton, "detect_lite", bus.read_bytes(), asked)
    assert answer == run_pipeline(ensemble.triton, "detect_lite", bus.read_bytes(), asked)
    assert {one["label"] for one in answer.result["detections"]} >= labels


@pytest.mark.parametrize("rotations", ["auto", "all"])
def test_both_layouts_search_large_and_turned_photos_alike(
    stack: RunningStack, ensemble: RunningStack, bus: Path, rotations: str
) -> None:
    """Several tiles, windows and directions: many calls of the detectors' networks in one request."""
    photo = cv2.imread(str(bus))
    large = cv2.copyMakeBorder(cv2.rotate(photo, cv2.ROTATE_90_CLOCKWISE), 0, 1400, 700, 0, cv2.BORDER_REFLECT)
    data = cv2.imencode(".jpg", large)[1].tobytes()
    asked: dict[str, object] = {"classes": ["faces", "plates"], "rotations": rotations}
    answer = run_pipeline(stack.triton, "detect_lite", data, asked)
    assert answer == run_pipeline(ensemble.triton, "detect_lite", data, asked)
    assert answer.result["looked"]["tiles"] > 10
    assert len({one["label"] for one in answer.result["detections"]} & {"face"}) == 1


def test_a_model_without_face_detection_refuses_a_photo_without_landmarks(
    ensemble: RunningStack, couple: bytes
) -> None:
    answer = run_pipeline(ensemble.triton, "face_contours_given", couple, {})
    assert (answer.result["status"], answer.result["reason"]) == ("failed", "landmarks_count")


def test_the_onnx_backend_gives_equal_results_for_a_batch_and_single_images(ensemble: RunningStack) -> None:
    images = np.random.default_rng(7).integers(0, 256, (3, 256, 256, 3), np.uint8)

    def infer(batch: np.ndarray) -> np.ndarray:
        tensor = grpcclient.InferInput("image", batch.shape, "UINT8")
        tensor.set_data_from_numpy(batch)
        with grpcclient.InferenceServerClient(ensemble.triton) as client:
            landmarks: np.ndarray = client.infer("pose_landmark_full", [tensor]).as_numpy("landmarks")
        return landmarks

    together = infer(images)
    alone = np.concatenate([infer(images[index : index + 1]) for index in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-3)
    assert not np.allclose(alone[0], alone[1])


def test_a_bad_photo_in_a_batch_fails_alone(ensemble: RunningStack, astronaut: Path) -> None:
    good = astronaut.read_bytes()
    photos = [good, b"broken", good[: len(good) // 2], good] * 3
    with ThreadPoolExecutor(len(photos)) as pool:
        answers = list(pool.map(lambda photo: run_pipeline(ensemble.triton, "body_masks_lite", photo, {}), photos))
    assert [answer.result["reason"] for answer in answers] == [None, "image_unsupported", "image_truncated", None] * 3
    assert len({str(answer) for answer in answers[::4]}) == 1
