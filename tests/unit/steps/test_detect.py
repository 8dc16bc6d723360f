"""The steps of `detect` with known answers of the models."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from steps.detect import Search, Thresholds, detect_find, detect_list
from steps.detector_windows import Draw
from steps.ensemble import steps_of
from steps.tensors import Json, JsonObject, bytes_tensor, json_object, json_tensor
from tests.unit.steps.objects import DETECTORS, FACES, OBJECTS, PLATES, SIZE, Answers, found, networks, rows
from vision.encoding import encode_png

PHOTO = encode_png(np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1)))
FACE = ((20.0, 30.0, 60.0, 80.0), 0.9, "face")
WEAK_FACE = ((120.0, 30.0, 160.0, 80.0), 0.21, "face")
CAR = ((100.0, 100.0, 200.0, 150.0), 0.8, "car")
WEAK_PERSON = ((10.0, 20.0, 80.0, 155.0), 0.25, "person")
BOTH = {FACES.model: rows(FACES, FACE, WEAK_FACE), OBJECTS.model: rows(OBJECTS, CAR, WEAK_PERSON)}


def listed(
    answers: Answers = BOTH, photo: bytes = PHOTO, ran: list[str] | None = None, **parameters: Json
) -> tuple[JsonObject, dict[str, bytes]]:
    answer = detect_list(found(photo, answers, ran, **parameters))
    names = [name.decode() for name in answer["artifact_names"].tolist()]
    return json_object(answer["result"]), dict(zip(names, answer["artifacts"].tolist(), strict=True))


def labels(result: JsonObject) -> list[object]:
    assert result["status"] == "completed", result
    return [one["label"] for one in result["detections"]]


def test_every_object_has_label_box_score_and_model() -> None:
    result, artifacts = listed()
    assert result["photo"] == {"width": SIZE[0], "height": SIZE[1]}
    face, _, car = result["detections"]
    assert face == {"index": 0, "label": "face", "score": 0.9, "box": list(FACE[0]), "model": "face_model"}
    assert car == {"index": 2, "label": "car", "score": 0.8, "box": list(CAR[0]), "model": "object_model"}
    assert json.loads(artifacts["detections.json"])["detections"] == result["detections"]


def test_a_plate_has_its_corners() -> None:
    corners = [float(2 * value) for value in (30, 40, 90, 44, 88, 60, 28, 56)]
    row = [*corners[:2], 180.0, 120.0, 0.9, 0.0, *corners]
    result, _ = listed({PLATES.model: np.array([row], np.float32)}, classes=["plates"])
    assert result["detections"][0]["corners"] == [[30, 40], [90, 44], [88, 60], [28, 56]]


def test_objects_below_their_classes_threshold_are_left_out() -> None:
    assert labels(listed()[0]) == ["face", "face", "car"]
    assert labels(listed(thresholds={"faces": 0.5, "person": 0.2})[0]) == ["face", "car", "person"]
    assert labels(listed(thresholds={"vehicles": 0.85})[0]) == ["face", "face"]


def test_classes_are_labels_and_groups() -> None:
    assert labels(listed(classes=["vehicles"])[0]) == ["car"]
    assert labels(listed(classes=["car", "faces"])[0]) == ["face", "face", "car"]
    result, artifacts = listed(classes=["car", "dragon"])
    assert (result["reason"], artifacts) == ("class_unknown", {})
    assert "'dragon'" in str(result["detail"])


@pytest.mark.parametrize(
    ("classes", "models"),
    [(["faces"], {"face_model"}), (["plates", "car"], {"plate_model", "object_model"}), ([], {*BOTH, PLATES.model})],
)
def test_only_detectors_of_requested_labels_run(classes: list[str], models: set[str]) -> None:
    ran: list[str] = []
    listed(ran=ran, classes=classes)
    assert set(ran) == models


def test_failures_are_returned_as_data() -> None:
    assert listed(photo=b"no photo")[0]["reason"] == "image_unsupported"
    assert listed(photo=b"")[0]["reason"] == "image_empty"


def test_the_answer_says_how_closely_the_photo_was_searched() -> None:
    looked = listed(smallest_object=70)[0]["looked"]
    assert looked == {"smallest_face": 20, "smallest_object": 70, "rotations": [0], "tiles": 3}
    assert listed(classes=["faces"])[0]["looked"] == {"smallest_face": 20, "rotations": [0], "tiles": 1}


def test_other_directions_are_searched_if_no_sure_face_is_upright() -> None:
    """A glance at each direction, then a look in each where it showed something: here in all."""
    assert listed(classes=["faces"], rotations="auto")[0]["looked"]["rotations"] == [0]
    weak = {FACES.model: rows(FACES, WEAK_FACE)}
    assert listed(weak, classes=["faces"], rotations="auto")[0]["looked"]["rotations"] == [0, 90, 180, 270]
    nothing = listed({}, classes=["faces"], rotations="auto")[0]["looked"]
    assert (nothing["rotations"], nothing["tiles"]) == ([0], 1 + 3)


def test_a_box_found_in_a_turned_view_has_coordinates_of_the_photo() -> None:
    """Each direction finds the same box of its own view: the four lie about the middle of the photo, turned."""
    square = encode_png(np.zeros((160, 160), np.uint8))
    box = np.array([[20, 40, 60, 120, 0.9, 0]], np.float32)  # of 320×320 in a photo of 160×160
    answers = {FACES.model: box * np.array([480 / 160 / 2, 1, 480 / 160 / 2, 1, 1, 1], np.float32)}
    result, _ = listed(answers, square, classes=["faces"], rotations="all")
    boxes = sorted(tuple(one["box"]) for one in result["detections"])
    assert boxes == sorted([(10, 20, 30, 60), (20, 130, 60, 150), (130, 100, 150, 140), (100, 10, 140, 30)])


def test_thresholds_are_read_from_json() -> None:
    thresholds = Thresholds.from_json({"vehicles": 0.5, "face": 0.1})
    assert [thresholds.of(label) for label in ("face", "bus", "person")] == [0.1, 0.5, Thresholds().default]
    assert Thresholds.from_json({}) == Thresholds()
    assert Thresholds().of("face") < Thresholds().default


def test_a_search_without_names_covers_everything_and_an_empty_list_nothing() -> None:
    assert Search.from_json({}).names is None
    assert Search.from_json({"classes": []}).names is None
    assert Search.from_json({"hide": []}).names == ()
    assert Search.from_json({"hide": ["faces"]}).names == ("faces",)


def test_a_repository_without_detectors_still_has_its_steps(tmp_path: Path) -> None:
    steps = steps_of(tmp_path, networks({}))
    assert "pose_input" in steps
    request = found(PHOTO, {}, hide=[])
    assert json_object(steps["detect_find"](request)["context"])["looked"] == {"tiles": 0}


def test_detectors_get_the_pixels_of_the_photo() -> None:
    shown = []
    photo = cv2.imencode(".png", np.full((*SIZE[::-1], 3), (10, 20, 200), np.uint8))[1].tobytes()

    def record(draws: Sequence[Draw]) -> list[np.ndarray]:
        shown.extend(draw() for draw in draws)
        return [np.zeros((0, 6), np.float32) for _ in draws]

    request = {"image": bytes_tensor([photo]), "parameters": json_tensor({"rotations": "none"})}
    detect_find(DETECTORS, lambda _: record)(request)
    assert [image.shape[1::-1] for image in shown] == [FACES.size, PLATES.size, OBJECTS.size]
    assert all((image == (200, 20, 10)).all() for image in shown)
