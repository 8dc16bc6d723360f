"""The last step of `privacy_blur` with known answers of the models."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from steps.privacy_blur import HEAD, PrivacyBlurParameters, privacy_blur_draw
from steps.tensors import Json, JsonObject, json_object
from tests.unit.steps.objects import FACES, OBJECTS, SIZE, Answers, found, rows
from vision.arrays import RGB, Box
from vision.encoding import Coding, Form, KeptMetadata, encode_photo
from vision.photo import inspect
from vision.photo_info import WrittenFormat
from vision.redaction import redact
from vision.redaction.styles import Style

PIXELS = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
PHOTO = encode_photo(PIXELS, "png", Coding(), KeptMetadata())
FACE: Box = (20, 30, 60, 80)
OTHER_FACE: Box = (150, 20, 180, 60)
CAR: Box = (100, 100, 200, 150)
FOUND = {
    FACES.model: rows(FACES, (FACE, 0.9, "face"), (OTHER_FACE, 0.3, "face")),
    OBJECTS.model: rows(OBJECTS, (CAR, 0.8, "car")),
}


def blurred(answers: Answers = FOUND, photo: bytes = PHOTO, **parameters: Json) -> tuple[JsonObject, dict[str, bytes]]:
    answer = privacy_blur_draw(found(photo, answers, **{"hide": ["faces", "plates"], **parameters}))
    names = [name.decode() for name in answer["artifact_names"].tolist()]
    return json_object(answer["result"]), dict(zip(names, answer["artifacts"].tolist(), strict=True))


def pixels(artifacts: dict[str, bytes]) -> RGB:
    (photo,) = (data for name, data in artifacts.items() if name.startswith("blurred."))
    return np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))


def changed(artifacts: dict[str, bytes], box: Box) -> float:
    """The share of a box's pixels that are not those of the photo."""
    x1, y1, x2, y2 = (int(side) for side in box)
    return float((pixels(artifacts)[y1:y2, x1:x2] != PIXELS[y1:y2, x1:x2]).any(axis=2).mean())


def actions(result: JsonObject) -> list[object]:
    assert result["status"] == "completed", result
    return [one["action"] for one in result["detections"]]


def test_faces_and_persons_are_hidden_and_cars_only_listed() -> None:
    result, artifacts = blurred(hide=["faces", "persons"])
    assert actions(result) == ["hidden", "hidden", "none"]
    assert changed(artifacts, FACE) > 0.99
    assert changed(artifacts, OTHER_FACE) > 0.99
    assert changed(artifacts, CAR) == 0
    face = result["detections"][0]
    assert {key: face[key] for key in ("label", "score", "model", "box", "style", "shape")} == {
        "label": "face", "score": 0.9, "model": "face_model", "box": list(FACE), "style": "gaussian",
        "shape": "box",
    }  # fmt: skip
    assert list(artifacts) == ["blurred.png"]


def test_the_region_names_every_pixel_that_changed() -> None:
    result, artifacts = blurred(hide=["faces", "car"])
    untouched = (pixels(artifacts) == PIXELS).all(axis=2)
    for one in result["detections"]:
        x1, y1, x2, y2 = one["region"]
        untouched[y1:y2, x1:x2] = True
    assert untouched.all()


def test_by_default_faces_and_plates_are_hidden() -> None:
    result, _ = blurred()
    assert result["blur"]["hide"] == ["faces", "plates"]
    assert actions(result) == ["hidden", "hidden"]


@pytest.mark.parametrize("keep", [[FACE], [(0, 0, 70, 60)]])
def test_objects_inside_keep_boxes_are_unchanged(keep: list[Box]) -> None:
    result, artifacts = blurred(hide=["faces"], keep=keep)
    assert actions(result) == ["kept", "hidden"]
    assert result["blur"]["kept"] == 1
    assert changed(artifacts, FACE) == 0
    assert changed(artifacts, OTHER_FACE) > 0.99


def test_a_keep_box_that_covers_little_of_a_face_keeps_only_its_own_pixels() -> None:
    result, artifacts = blurred(hide=["faces"], keep=[(50, 30, 70, 50)])
    assert actions(result) == ["hidden", "hidden"]
    assert changed(artifacts, (50, 30, 70, 50)) == 0
    assert changed(artifacts, (20, 30, 50, 80)) > 0.99


def test_the_requested_style_shape_and_color_are_used() -> None:
    result, artifacts = blurred(hide=["vehicles"], style="solid", color="#ff8000", shape="ellipse", grow=0, feather=0)
    x1, y1, x2, y2 = (int(side) for side in CAR)
    assert (pixels(artifacts)[(y1 + y2) // 2, x1 + 2 : x2 - 2] == (255, 128, 0)).all()
    assert changed(artifacts, (x1, y1, x1 + 4, y1 + 4)) == 0
    assert result["detections"][0]["shape"] == "ellipse"


def test_without_a_requested_shape_each_class_has_its_own() -> None:
    result, artifacts = blurred(hide=["car"], style="solid")
    assert (pixels(artifacts)[100:150, 100:200] == 0).all()
    assert result["detections"][0]["shape"] == "box"


def test_thresholds_decide_what_is_hidden() -> None:
    result, artifacts = blurred(hide=["faces"], thresholds={"faces": 0.5})
    assert actions(result) == ["hidden"]
    assert changed(artifacts, OTHER_FACE) == 0


@pytest.mark.parametrize(
    ("asked", "name"),
    [(None, "blurred.png"), ("jpeg", "blurred.jpg"), ("webp", "blurred.webp"), ("png", "blurred.png")],
)
def test_the_copy_has_the_requested_format_and_the_photos_size(asked: WrittenFormat | None, name: str) -> None:
    result, artifacts = blurred(format=asked)
    assert list(artifacts) == [name]
    info = inspect(artifacts[name])
    assert (info.format, info.size) == (asked or "png", SIZE)
    assert result["blur"]["format"] == (asked or "png")


def test_requested_documents_come_with_the_copy() -> None:
    result, artifacts = blurred(include=["blur", "detections"])
    assert list(artifacts) == ["blurred.png", "blur.json", "detections.json"]
    assert json.loads(artifacts["blur.json"])["blur"] == result["blur"]
    assert json.loads(artifacts["detections.json"])["detections"] == result["detections"]


def test_a_photo_without_objects_to_hide_is_returned_unchanged() -> None:
    result, artifacts = blurred({FACES.model: rows(FACES)}, hide=["faces"])
    assert (result["detections"], result["blur"]["hidden"]) == ([], 0)
    np.testing.assert_array_equal(pixels(artifacts), PIXELS)


def test_an_unknown_class_is_refused_without_a_copy() -> None:
    result, artifacts = blurred(hide=["faces", "perzons"])
    assert (result["status"], result["reason"], artifacts) == ("failed", "class_unknown", {})


def test_failures_are_returned_as_data() -> None:
    assert blurred(photo=b"no photo")[0]["reason"] == "image_unsupported"
    assert blurred(photo=PHOTO[:-20])[0]["reason"] == "image_truncated"


def test_too_many_objects_to_hide_in_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "MOST_PIXELS", 100)
    result, artifacts = blurred(hide=["faces"])
    assert (result["status"], result["reason"], artifacts) == ("failed", "image_too_large", {})


def test_parameters_are_read_from_json() -> None:
    assert PrivacyBlurParameters.from_json({"unknown": 1}) == PrivacyBlurParameters()
    nothing = {"shape": None, "grow": None, "feather": None, "color": None, "format": None, "quality": None}
    assert PrivacyBlurParameters.from_json(nothing) == PrivacyBlurParameters()
    parameters = PrivacyBlurParameters.from_json(
        {"style": "pixelate", "strength": 2, "color": "#010203", "quality": 70, "metadata": []}
    )
    assert parameters.redaction("face") == replace(HEAD, style=Style.PIXELATE, strength=2, color=(1, 2, 3))
    assert parameters.form == Form(None, 70, frozenset())
    with pytest.raises(ValueError, match="swirl"):
        PrivacyBlurParameters.from_json({"style": "swirl"})
