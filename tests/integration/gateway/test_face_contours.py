"""Runs and jobs of `face_contours` through the whole stack."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.http.run import RunAnswer
from gateway.jobs.view import JobView
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.face_case import RUN, FaceCase, artifacts_of, found_case
from tests.integration.gateway.photos import encode, gradient
from tests.stack import eventually
from tests.unit.vision.face.document import read_document
from vision.affine import invert, transform_points
from vision.face.landmarks import parse_landmarks

NUMBERS = ["1", "2", "3", "4", "5"]
SVG = "{http://www.w3.org/2000/svg}"

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def case(client: httpx.Client, person: bytes) -> FaceCase:
    """The landmarks that were found, to be given back."""
    return found_case(client, person)


def run(client: httpx.Client, photo: bytes, **fields: str) -> dict[str, bytes]:
    return artifacts_of(client.post(RUN, files={"image": photo}, data=fields))


def rings(artifacts: Mapping[str, bytes], name: str = "contours.json") -> dict[str, list[list[list[float]]]]:
    contours: dict[str, list[list[list[float]]]] = json.loads(artifacts[name])["mask_contours"]
    return contours


def test_a_photo_alone_gives_the_default_regions_of_its_face(client: httpx.Client, person: bytes) -> None:
    answer = client.post(RUN, files={"image": person})
    document = answer.json()
    assert RunAnswer.model_validate(document).model_dump(mode="json", exclude_unset=True) == document
    (face,) = document["faces"]
    assert (face["landmarks"], face["score"] > 0.9, len(face["regions"])) == (468, True, 5)
    artifacts = artifacts_of(answer)
    assert list(artifacts) == ["contours.svg", "contours.json"]
    assert list(rings(artifacts)) == NUMBERS
    svg = read_document(artifacts["contours.svg"].decode())
    assert [group.get("data-number") for group in svg.iter(f"{SVG}g")] == NUMBERS
    assert svg.get("viewBox") == f"0 0 {face['crop']['width']} {face['crop']['height']}"


def test_the_svg_alone_is_answered_on_request(client: httpx.Client, person: bytes) -> None:
    answer = client.post(RUN, files={"image": person}, headers={"Accept": "image/svg+xml"})
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.content == run(client, person)["contours.svg"]


def test_every_way_to_give_landmarks_and_a_label_map_gives_the_same_bytes(client: httpx.Client, case: FaceCase) -> None:
    image, map64 = base64.b64encode(case.photo).decode(), base64.b64encode(case.label_map).decode()
    lines = "\n".join(f"{point['x']},{point['y']}" for point in case.points)
    forms = [
        {"files": {"image": case.photo, "landmarks": case.landmarks.encode(), "segmentation_map": case.label_map}},
        {"files": {"image": case.photo, "landmarks": lines.encode()}, "data": {"segmentation_map": map64}},
        {"json": {"image": image, "landmarks": case.points, "segmentation_map": f"data:image/png;base64,{map64}"}},
        {"json": {"image": image, "landmarks": json.loads(case.landmarks), "segmentation_map": map64}},
        {"json": {"image": image, "landmarks": str(json.loads(case.landmarks)), "segmentation_map": map64}},
    ]
    answers = [artifacts_of(client.post(RUN, **form)) for form in forms]  # type: ignore[arg-type]
    assert list(rings(answers[0])) == ["1", "6", "10"]
    assert all(answer == answers[0] for answer in answers)


def test_regions_by_landmark_indices_and_what_is_drawn_beside_them(client: httpx.Client, case: FaceCase) -> None:
    named = {"<script>alert('&')</script>": [33, 133, 362, 263, 61], "chin": [152, 148, 176, 400, 377]}
    request = {
        "image": base64.b64encode(case.photo).decode(), "landmarks": case.landmarks, "segmentation_map": named,
        "show_labels": True, "show_landmarks": True, "colors": {"chin": "#123456"}, "stroke_width": 2,
        "region_opacity": 0.4, "embed_image": True,
    }  # fmt: skip
    artifacts = artifacts_of(client.post(RUN, json=request))
    svg = read_document(artifacts["contours.svg"].decode())
    groups = {group.get("data-name"): group for group in svg.iter(f"{SVG}g") if group.get("data-name")}
    assert list(groups) == list(named)
    assert {"fill": "#123456", "fill-opacity": "0.4", "stroke-width": "2"}.items() <= groups["chin"].attrib.items()
    assert b"<script" not in artifacts["contours.svg"]
    assert {element.get("id") for element in svg} >= {"labels", "landmarks"}
    (image,) = svg.iter(f"{SVG}image")
    jpeg = base64.b64decode(str(image.get("href")).partition(",")[2])
    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert (str(width), str(height)) == (svg.get("width"), svg.get("height"))


def test_the_transform_leads_from_the_photo_to_the_crop(client: httpx.Client, case: FaceCase) -> None:
    fields = {"landmarks": case.landmarks, "regions": "nose,face_oval"}
    crop, source = run(client, case.photo, **fields), run(client, case.photo, **fields, frame="source")
    transform = np.array(json.loads(crop["contours.json"])["transform"])
    for number in ("2", "12"):
        (levelled,), (displayed,) = rings(crop)[number], rings(source)[number]
        moved = transform_points(np.array(displayed), transform)
        np.testing.assert_allclose(moved, levelled, atol=0.03)
    assert json.loads(source["contours.json"])["size"] == {"width": 512, "height": 512}
    assert np.allclose(invert(transform)[:, :2] @ transform[:, :2], np.eye(2))


def test_everyone_gets_contours_of_their_own_and_the_largest_face_the_first(
    client: httpx.Client, couple: bytes
) -> None:
    artifacts = run(client, couple, face="all", include="landmarks")
    names = ("contours.svg", "contours.json")
    assert list(artifacts) == [*names, "landmarks.json", *(f"face_{n}/{name}" for n in (0, 1) for name in names)]
    assert artifacts["contours.svg"] == artifacts["face_0/contours.svg"]
    assert artifacts["face_0/contours.json"] != artifacts["face_1/contours.json"]
    assert len(parse_landmarks(artifacts["landmarks.json"]).faces) == 2


def test_reasons_for_refusing_a_photo(client: httpx.Client, couple: bytes) -> None:
    assert_problem(client.post(RUN, files={"image": couple}, data={"face": "single"}), "several_faces")
    assert_problem(client.post(RUN, files={"image": encode(gradient(), "JPEG")}), "no_face")
    assert_problem(client.post(RUN, files={"image": b"%PDF-1.7"}), "image_unsupported")


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("landmarks_count", {"landmarks": "[[1, 2], [3, 4]]"}),
        ("landmarks_unreadable", {"landmarks": "{"}),
        ("landmarks_unreadable", {"landmarks": b"<svg/>"}),
        ("label_map_lossy", {"segmentation_map": encode(gradient(), "JPEG")}),
        ("label_map_corrupt", {"segmentation_map": encode(gradient(), "PNG")}),
        ("segmentation_unsupported", {"segmentation_map": b"GIF89a\xff"}),
        ("regions_invalid", {"segmentation_map": '{"nose": [1, 2, 478]}'}),
        ("region_unknown", {"regions": "left_ear"}),
        ("invalid_parameters", {"segmentation_map": "not base64!"}),
        ("invalid_parameters", {"region_opacity": "1.5"}),
        ("invalid_parameters", {"stroke_width": "nan"}),
        ("invalid_parameters", {"colors": "nose=red"}),
        ("invalid_parameters", {"colors": "{"}),
        ("invalid_parameters", {"landmarks": b"\xff\xfe1\x00"}),
    ],
)
def test_what_a_request_is_refused_for(
    client: httpx.Client, case: FaceCase, code: str, fields: dict[str, object]
) -> None:
    given = {"landmarks": case.landmarks, **fields}
    files = {name: value if isinstance(value, bytes) else str(value).encode() for name, value in given.items()}
    answer = client.post(RUN, files={"image": case.photo, **files})
    assert_problem(answer, code)
    assert len(answer.text) < 2000


def test_a_job_keeps_the_contours(client: httpx.Client, case: FaceCase) -> None:
    files = {"image": case.photo, "landmarks": case.landmarks.encode(), "segmentation_map": case.label_map}
    job = client.post("/v1/jobs", files=files, data={"pipeline": "face_contours"}).raise_for_status().json()
    path = f"/v1/jobs/{job['id']}"
    eventually(lambda: client.get(path).json()["state"] == "completed", 30, "the job is completed")
    view = client.get(path).json()
    assert JobView.model_validate(view).model_dump(mode="json", exclude_unset=True) == view
    assert view["faces"][0]["landmarks"] == 468
    expected = artifacts_of(client.post(RUN, files=files))
    for name, content in expected.items():
        assert client.get(f"{path}/artifacts/{name}").content == content


def test_a_job_that_cannot_be_drawn_fails_with_the_reason(client: httpx.Client, case: FaceCase) -> None:
    fields = {"pipeline": "face_contours", "landmarks": "1,2\n3,4"}
    job = client.post("/v1/jobs", files={"image": case.photo}, data=fields).raise_for_status().json()
    path = f"/v1/jobs/{job['id']}"
    eventually(lambda: client.get(path).json()["state"] == "failed", 30, "the job has failed")
    assert client.get(path).json()["error"]["code"] == "landmarks_count"


def test_the_command_line(gateway_url: str, case: FaceCase, astronaut: Path, tmp_path: Path) -> None:
    (tmp_path / "landmarks.txt").write_text(case.landmarks)
    (tmp_path / "map.png").write_bytes(case.label_map)
    given = ["--landmarks", str(tmp_path / "landmarks.txt"), "--segmentation-map", str(tmp_path / "map.png")]
    command = ["run", "face_contours", str(astronaut), "-o", str(tmp_path / "out"), "--url", gateway_url]
    result = CliRunner().invoke(app, [*command, *given, "--show-labels", "--include", "landmarks"])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / astronaut.stem
    assert sorted(path.name for path in folder.iterdir()) == ["contours.json", "contours.svg", "landmarks.json"]
    assert "6 nose" in (folder / "contours.svg").read_text()
    assert CliRunner().invoke(app, [*command, str(tmp_path / "map.png"), *given]).exit_code == 2
