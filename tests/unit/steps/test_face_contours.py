"""The step that draws faces, with landmarks given or recognised."""

import base64
import json

import numpy as np
import pytest

from steps.face_contours import FaceContourParameters, face_contours_draw
from steps.photo import regions_context
from steps.tensors import Json, JsonObject, Tensors, bytes_tensor, json_object, json_tensor
from tests.unit.vision.face.drawing import SIZE, label_map, mesh_landmarks
from vision.encoding import encode_png
from vision.face.landmarks import parse_landmarks
from vision.face.options import ContourFrame, ContourOptions, FaceError
from vision.ssd import Roi

POINTS = mesh_landmarks()
PHOTO = encode_png(np.zeros(SIZE[::-1], np.uint8))
SMALL = (POINTS - POINTS.mean(axis=0)) * 0.5 + POINTS.mean(axis=0)


def drawn(
    found: Tensors | None = None, photo: bytes = PHOTO, **parameters: Json
) -> tuple[JsonObject, dict[str, bytes]]:
    """The result, and the artifacts by name."""
    request = {"image": bytes_tensor([photo]), "parameters": json_tensor(parameters)}
    answer = face_contours_draw({**request, **(found or {})})
    names = [name.decode() for name in answer["artifact_names"].tolist()]
    return json_object(answer["result"]), dict(zip(names, answer["artifacts"].tolist(), strict=True))


def recognised(*regions: Roi) -> Tensors:
    """What the landmark model says of crops that show the same face."""
    low, high = POINTS.min(axis=0), POINTS.max(axis=0)
    crop = np.hstack(((POINTS[:468] - low) / (high - low) * 96 + 48, np.zeros((468, 1))))
    return {
        "context": json_tensor(regions_context(regions)),
        "landmarks": np.tile(crop.astype(np.float32).ravel(), (len(regions), 1)),
        "presence": np.full((len(regions), 1), 3, np.float32),
    }


def text(*faces: np.ndarray) -> str:
    return json.dumps([face.tolist() for face in faces])


def reason(result: JsonObject) -> object:
    assert result["status"] == "failed"
    return result["reason"]


def test_given_landmarks_are_drawn_instead_of_found_faces() -> None:
    alone, artifacts = drawn(landmarks=text(POINTS))
    beside, same = drawn(recognised(Roi((100, 100), 192, 0)), landmarks=text(POINTS))
    assert (alone, artifacts) == (beside, same)
    (face,) = alone["faces"]
    assert (face["score"], face["landmarks"], face["index"]) == (None, len(POINTS), 0)
    np.testing.assert_allclose(face["box"], [*POINTS.min(axis=0), *POINTS.max(axis=0)], atol=0.01)


def test_without_given_landmarks_found_faces_are_drawn_largest_first() -> None:
    result, artifacts = drawn(
        recognised(Roi((150, 150), 100, 0), Roi((450, 450), 300, 0)), face="all", include=["landmarks"]
    )
    assert [round(face["box"][2] - face["box"][0]) for face in result["faces"]] == [150, 50]
    assert result["faces"][0]["score"] == pytest.approx(0.953, abs=1e-3)
    assert [len(face) for face in parse_landmarks(artifacts["landmarks.json"]).faces] == [468, 468]
    assert set(artifacts) >= {"contours.svg", "face_0/contours.svg", "face_1/contours.json"}


def test_the_largest_of_several_given_faces_is_drawn() -> None:
    result, artifacts = drawn(landmarks=text(SMALL, POINTS))
    assert len(result["faces"]) == 1
    assert artifacts == drawn(landmarks=text(POINTS))[1]
    assert reason(drawn(landmarks=text(SMALL, POINTS), face="single")[0]) == "several_faces"


def test_only_the_largest_face_embeds_the_photo() -> None:
    _, artifacts = drawn(landmarks=text(SMALL, POINTS), face="all", embed_image=True)
    assert [name for name, content in artifacts.items() if b"data:image/jpeg" in content] == [
        "contours.svg", "face_0/contours.svg",
    ]  # fmt: skip


@pytest.mark.parametrize("frame", ["crop", "source"])
def test_the_contours_document_names_its_frame(frame: str) -> None:
    segmentation = base64.b64encode(encode_png(label_map())).decode()
    result, artifacts = drawn(
        landmarks=text(POINTS), segmentation_map=segmentation, frame=frame, colors={"nose": "#010203"}
    )
    document = json.loads(artifacts["contours.json"])
    (face,) = result["faces"]
    crop, source = face["crop"], {"width": SIZE[0], "height": SIZE[1]}
    assert (document["frame"], document["size"]) == (frame, crop if frame == "crop" else source)
    assert {key: document[key] for key in ("rotation", "transform", "crop")} == {
        key: face[key] for key in ("rotation", "transform", "crop")
    }
    numbers = {region["number"]: region["name"] for region in document["regions"]}
    assert [str(number) for number in numbers] == list(document["mask_contours"])
    assert {region["color"] for region in document["regions"] if region["name"] == "nose"} == {"#010203"}
    assert all(len(point) == 2 for rings in document["mask_contours"].values() for ring in rings for point in ring)


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("landmarks_count", {}),
        ("landmarks_outside", {"landmarks": text(POINTS + 5000)}),
        (
            "label_map_lossy",
            {"landmarks": text(POINTS), "segmentation_map": base64.b64encode(b"\xff\xd8\xff").decode()},
        ),
        ("segmentation_unsupported", {"landmarks": text(POINTS), "segmentation_map": "?"}),
        ("region_unknown", {"landmarks": text(POINTS), "regions": ["chin"]}),
        ("options_invalid", {"landmarks": text(POINTS), "region_opacity": 7}),
    ],
)
def test_an_input_error_is_returned_as_data(code: str, parameters: dict[str, Json]) -> None:
    result, artifacts = drawn(**parameters)
    assert (reason(result), artifacts) == (code, {})


def test_a_broken_photo_and_an_earlier_failure_are_returned_as_data() -> None:
    assert reason(drawn(photo=b"", landmarks=text(POINTS))[0]) == "image_empty"
    failed = {"context": json_tensor({"failure": {"code": "no_face", "detail": "x"}})}
    assert reason(drawn({**recognised(Roi((1, 1), 1, 0)), **failed})[0]) == "no_face"


def test_parameters_are_read_from_json() -> None:
    assert FaceContourParameters.from_json({"unknown": 1}) == FaceContourParameters()
    parameters = FaceContourParameters.from_json(
        {"landmarks": "1,2", "segmentation_map": "AAA=", "regions": ["nose"], "frame": "source", "stroke_width": 2}
    )
    assert (parameters.landmarks, parameters.segmentation_map) == (b"1,2", b"\0\0")
    assert parameters.options == ContourOptions(("nose",), ContourFrame.SOURCE, stroke_width=2)
    assert FaceContourParameters.from_json({"segmentation_map": ' {"a": []}'}).segmentation_map == b' {"a": []}'
    with pytest.raises(FaceError, match="segmentation_unsupported"):
        FaceContourParameters.from_json({"segmentation_map": "é"})
