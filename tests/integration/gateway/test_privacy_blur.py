"""Runs and jobs of `privacy_blur` and `detect` through the whole stack."""

import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import PROBLEMS, Problem
from gateway.http.openapi import tiny_png
from gateway.http.run import RunAnswer
from gateway.jobs.view import JobView
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from gateway.timing import Deadline
from gateway.triton import connect, readiness
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.face_case import artifacts_of
from tests.integration.gateway.photos import encode, gradient
from tests.stack import RunningStack, eventually
from vision.arrays import RGB
from vision.photo import inspect

RUN, DETECT = "/v1/run/privacy_blur", "/v1/run/detect"
FACE = (195, 75, 255, 165)
"""Pixels of the astronaut's face, x1, y1, x2, y2."""
BACKGROUND = (10, 300, 90, 420)

pytestmark = pytest.mark.stack


def pixels(data: bytes) -> RGB:
    decoded: RGB = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return decoded


def difference(one: bytes, other: bytes, box: tuple[int, int, int, int]) -> float:
    """Mean of the pixels inside a box."""
    x1, y1, x2, y2 = box
    crops = [pixels(data)[y1:y2, x1:x2].astype(np.float32) for data in (one, other)]
    return float(np.abs(crops[0] - crops[1]).mean())


@pytest.mark.parametrize("hide", ["faces", "faces,plates", "face,vehicles"])
def test_a_face_is_hidden_and_the_rest_stays(client: httpx.Client, person: bytes, hide: str) -> None:
    answer = client.post(RUN, files={"image": person}, data={"hide": hide}).raise_for_status()
    assert answer.headers["content-type"] == "image/png"
    assert 'filename="blurred.png"' in answer.headers["content-disposition"]
    assert difference(person, answer.content, FACE) > 15
    assert difference(person, answer.content, BACKGROUND) == 0


@pytest.mark.parametrize(("asked", "kind"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp")])
def test_the_copy_has_the_format_asked_for(client: httpx.Client, person: bytes, asked: str, kind: str) -> None:
    fields = {"hide": "faces", "format": asked, "include": "blur,detections"}
    answer = client.post(RUN, files={"image": person}, data=fields)
    document = answer.json()
    assert RunAnswer.model_validate(document).model_dump(mode="json", exclude_unset=True) == document
    artifacts = artifacts_of(answer)
    assert list(artifacts) == [f"blurred.{kind}", "blur.json", "detections.json"]
    info = inspect(artifacts[f"blurred.{kind}"])
    assert (info.format, info.size) == (asked, (512, 512))
    assert json.loads(artifacts["blur.json"])["blur"] == document["blur"]
    (face,) = json.loads(artifacts["detections.json"])["detections"]
    assert face == document["detections"][0]
    assert (face["label"], face["model"], face["action"]) == ("face", "centerface", "hidden")


def test_a_jpeg_comes_back_as_a_jpeg_without_its_metadata(client: httpx.Client) -> None:
    photo = encode(gradient(), "JPEG")
    with_exif = photo[:2] + b"\xff\xe1\x00\x0e" + b"Exif\0\0" + b"II*\0\x08\0" + photo[2:]
    copy = client.post(RUN, files={"image": with_exif}, data={"metadata": "none"}).raise_for_status().content
    assert b"Exif" not in copy
    assert not Image.open(io.BytesIO(copy)).getexif()


def test_boxes_to_keep_stay_untouched(client: httpx.Client, person: bytes) -> None:
    fields = {"hide": "faces", "keep": "400,0,420,20;170,40,290,200", "include": "blur"}
    answer = client.post(RUN, files={"image": person}, data=fields)
    artifacts = artifacts_of(answer)
    assert difference(person, artifacts["blurred.png"], FACE) == 0
    assert answer.json()["blur"]["kept"] == 1


def test_objects_that_are_given_are_hidden_without_looking_for_any(client: httpx.Client, person: bytes) -> None:
    objects = json.dumps([{"label": "person", "box": BACKGROUND}])
    fields = {"hide": "none", "objects": objects, "include": "blur", "style": "solid"}
    answer = client.post(RUN, files={"image": person}, data=fields)
    copy = artifacts_of(answer)["blurred.png"]
    assert difference(person, copy, FACE) == 0
    assert pixels(copy)[300:420, 10:90].max() == 0
    (given,) = answer.json()["detections"]
    assert (given["model"], given["label"], given["action"]) == ("given", "person", "hidden")


def test_classes_and_thresholds_decide_what_is_listed(client: httpx.Client, bus: Path) -> None:
    def found(**fields: str) -> set[str]:
        answer = client.post(DETECT, files={"image": bus.read_bytes()}, data=fields).raise_for_status()
        return {one["label"] for one in answer.json()["detections"]}

    assert found(classes="faces") == {"face"}
    assert {"face", "person", "bus"} <= found()
    assert found(classes="vehicles", thresholds="vehicles=0.4") == {"bus"}
    assert found(classes="vehicles", thresholds="bus=0.99") == set()


def test_objects_are_listed_with_box_and_score(client: httpx.Client, bus: Path) -> None:
    answer = client.post(DETECT, files={"image": bus.read_bytes()}).raise_for_status()
    document = answer.json()
    assert RunAnswer.model_validate(document).model_dump(mode="json", exclude_unset=True) == document
    assert json.loads(artifacts_of(answer)["detections.json"])["detections"] == document["detections"]
    for one in document["detections"]:
        x1, y1, x2, y2 = one["box"]
        assert 0 <= x1 < x2 <= document["photo"]["width"]
        assert 0 <= y1 < y2 <= document["photo"]["height"]


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        (RUN, {"hide": "perzons"}, "class_unknown"),
        (DETECT, {"classes": "ear"}, "class_unknown"),
        (RUN, {"style": "swirl"}, "invalid_parameters"),
        (RUN, {"keep": "3,2,1,0"}, "invalid_parameters"),
        (DETECT, {"thresholds": "face=2"}, "invalid_parameters"),
    ],
)
def test_invalid_input_is_refused(
    client: httpx.Client, person: bytes, path: str, fields: dict[str, str], code: str
) -> None:
    assert_problem(client.post(path, files={"image": person}, data=fields), code)


def test_a_job_hides_what_a_run_hides(client: httpx.Client, person: bytes) -> None:
    fields = {"hide": "faces", "format": "jpeg"}
    submitted = client.post("/v1/jobs", files={"image": person}, data={**fields, "pipeline": "privacy_blur"})
    address = submitted.raise_for_status().headers["location"]
    eventually(lambda: client.get(address).json()["state"] == "completed", 30, "the job is done")
    job = client.get(address).json()
    assert JobView.model_validate(job).blur is not None
    copy = client.get(f"{address}/artifacts/blurred.jpg").raise_for_status()
    assert copy.headers["content-type"] == "image/jpeg"
    assert copy.content == client.post(RUN, files={"image": person}, data=fields).content
    assert [one["action"] for one in job["detections"]] == ["hidden"]


def test_the_command_hides_faces_in_files(gateway_url: str, astronaut: Path, tmp_path: Path) -> None:
    arguments = ["run", "privacy_blur", str(astronaut), "-o", str(tmp_path), "--url", gateway_url]
    ended = CliRunner().invoke(app, [*arguments, "--hide", "faces", "--format", "jpeg", "--style", "solid"])
    assert ended.exit_code == 0, ended.output
    copy = tmp_path / f"{astronaut.stem}.jpg"
    assert inspect(copy.read_bytes()).size == (512, 512)
    assert pixels(copy.read_bytes())[120, 225].max() < 16


def test_the_command_lists_objects(gateway_url: str, bus: Path, tmp_path: Path) -> None:
    arguments = ["run", "detect", str(bus), "-o", str(tmp_path), "--url", gateway_url, "--classes", "vehicles"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    document = json.loads((tmp_path / "bus" / "detections.json").read_text())
    assert "bus" in {one["label"] for one in document["detections"]}


async def test_a_missing_model_makes_only_its_own_pipelines_unavailable(stack: RunningStack) -> None:
    settings = Settings(triton_grpc_url=stack.triton)
    entry = build_registry(settings)["face_contours"]
    partial = replace(entry, name="partial", model="never_exported")
    absent = replace(partial, name="absent", variants=())
    async with connect(settings) as triton:
        found = await readiness(triton, (entry, partial, absent))
        with pytest.raises(Problem) as caught:
            await triton.infer(partial.model, tiny_png(), b"{}", Deadline(10))
    assert found.pipelines == {"face_contours": True, "partial": True, "absent": False}
    assert caught.value.code == "model_missing"
    assert caught.value.detail == PROBLEMS["model_missing"].example.replace("detect_lite", "never_exported")
