"""The steps of `detect` with known answers of the models."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from steps.detect_input import detect_input

from deploy.embedded.triton import MODELS
from steps.catalogue import steps_of
from steps.detect_find import Thresholds
from steps.detect_list import detect_list
from steps.ensemble import Stage
from steps.object_detectors import chosen_detectors
from steps.tensors import Json, JsonObject, Tensors, bytes_tensor, json_object, json_tensor
from tests.unit.steps.objects import DETECTORS, FACES, FINDERS, OBJECTS, SIZE, context, rows
from vision.arrays import RGB
from vision.encoding import encode_png
from vision.object_detector import ObjectDetector

PHOTO = encode_png(np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1)))
FACE = ((20.0, 30.0, 60.0, 80.0), 0.9, "face")
WEAK_FACE = ((120.0, 30.0, 160.0, 80.0), 0.21, "face")
CAR = ((100.0, 100.0, 200.0, 150.0), 0.8, "car")
WEAK_PERSON = ((10.0, 20.0, 80.0, 155.0), 0.25, "person")


def listed(found: Tensors, photo: bytes = PHOTO, **parameters: Json) -> tuple[JsonObject, dict[str, bytes]]:
    request = {"image": bytes_tensor([photo]), "parameters": json_tensor(parameters)}
    answer = detect_list(FINDERS)({**request, **context(), **found})
    names = [name.decode() for name in answer["artifact_names"].tolist()]
    return json_object(answer["result"]), dict(zip(names, answer["artifacts"].tolist(), strict=True))


def labels(result: JsonObject) -> list[object]:
    assert result["status"] == "completed", result
    return [one["label"] for one in result["detections"]]


BOTH = {"faces_rows": rows(FACES, FACE, WEAK_FACE), "objects_rows": rows(OBJECTS, CAR, WEAK_PERSON)}


def test_the_photo_is_drawn_for_every_detector() -> None:
    drawn = detect_input(DETECTORS)({"image": bytes_tensor([PHOTO])})
    assert json_object(drawn["context"]) == {}
    for role, detector in DETECTORS.items():
        image = drawn[f"{role}_image"]
        assert image.shape == (1, *detector.size[::-1], 3)
        expected = cv2.resize(cv2.imdecode(np.frombuffer(PHOTO, np.uint8), 1), detector.size)
        assert np.abs(image[0].astype(int) - expected).mean() < 2


def test_a_detector_s_input_is_drawn_once_and_only_where_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def draw(detector: ObjectDetector, *_: object) -> RGB:
        drawn.append(detector.model)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(ObjectDetector, "draw", draw)
    outputs = {name: name for name in ("faces_image", "photo", "context")}
    Stage("detect_input", detect_input(DETECTORS), {"image": "image"}, outputs).run({"image": bytes_tensor([PHOTO])})
    assert drawn == [FACES.model]


def test_a_photo_that_cannot_be_read_gives_inputs_all_the_same() -> None:
    drawn = detect_input(DETECTORS)({"image": bytes_tensor([b"no photo"])})
    assert json_object(drawn["context"])["failure"]["code"] == "image_unsupported"
    assert {drawn[f"{role}_image"].shape[-1] for role in DETECTORS} == {3}


def test_every_object_says_what_it_is_where_it_is_and_who_found_it() -> None:
    result, artifacts = listed(BOTH)
    assert result["photo"] == {"width": SIZE[0], "height": SIZE[1]}
    face, _, car = result["detections"]
    assert face == {"index": 0, "label": "face", "score": 0.9, "box": list(FACE[0]), "model": "face_model"}
    assert car == {"index": 2, "label": "car", "score": 0.8, "box": list(CAR[0]), "model": "object_model"}
    assert json.loads(artifacts["detections.json"])["detections"] == result["detections"]


def test_what_scores_too_little_for_its_class_is_left_out() -> None:
    assert labels(listed(BOTH)[0]) == ["face", "face", "car"]
    assert labels(listed(BOTH, thresholds={"faces": 0.5, "person": 0.2})[0]) == ["face", "car", "person"]
    assert labels(listed(BOTH, thresholds={"vehicles": 0.85})[0]) == ["face", "face"]


def test_classes_are_labels_and_groups() -> None:
    assert labels(listed(BOTH, classes=["vehicles"])[0]) == ["car"]
    assert labels(listed(BOTH, classes=["car", "faces"])[0]) == ["face", "face", "car"]
    result, artifacts = listed(BOTH, classes=["car", "dragon"])
    assert (result["reason"], artifacts) == ("class_unknown", {})
    assert "'dragon'" in str(result["detail"])


def test_detectors_that_were_not_run_know_nothing() -> None:
    alone = {"faces_rows": BOTH["faces_rows"]}
    assert labels(listed(alone)[0]) == ["face", "face"]
    assert listed(alone, classes=["vehicles"])[0]["reason"] == "class_unknown"
    assert labels(listed(alone, classes=["plates"])[0]) == []


def test_failures_come_back_as_data() -> None:
    assert listed({**BOTH, **context("image_corrupt")})[0]["reason"] == "image_corrupt"
    assert listed(BOTH, photo=b"")[0]["reason"] == "image_empty"


def test_thresholds_come_from_json() -> None:
    thresholds = Thresholds.from_json({"vehicles": 0.5, "face": 0.1})
    assert [thresholds.of(label) for label in ("face", "bus", "person")] == [0.1, 0.5, Thresholds().default]
    assert Thresholds.from_json({}) == Thresholds()
    assert Thresholds().of("face") < Thresholds().default


@pytest.mark.skipif(not chosen_detectors(MODELS), reason="no detector is exported")
def test_the_catalogue_knows_the_detectors_of_the_repository() -> None:
    drawn = steps_of(MODELS)["detect_input"]({"image": bytes_tensor([PHOTO])})
    roles = chosen_detectors(MODELS).keys()
    assert drawn.keys() == {*(f"{role}_image" for role in roles), "photo", "context"}


def test_a_repository_without_detectors_still_has_its_steps(tmp_path: Path) -> None:
    assert "pose_input" in steps_of(tmp_path)
