import base64
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np
import pytest
from PIL import Image

from gateway.errors import PROBLEMS
from gateway.http.dead_letters import PoisonPage
from gateway.http.events import EventTicket
from gateway.http.facial_contours import CacheCleanup, CacheFigures, FrontalStatus, FrontalSubmission
from gateway.http.health import Health, Live
from gateway.http.jobs import JobPage, Resent
from gateway.http.mask_service import ProcessAnswer, Stats
from gateway.http.openapi import tiny_png
from gateway.http.pipelines import PipelineList
from gateway.http.run import RunAnswer
from gateway.http.uploads import BatchAnswer, BatchStatus, QueueStatus, UploadAnswer, UploadStatus
from gateway.intake.requests import JobFields, job_request
from gateway.intake.submissions import json_submission
from gateway.jobs.view import JobView
from gateway.pipelines.outputs import MEDIA_TYPES, media_type
from gateway.pipelines.registry import PIPELINES, build_registry, parameters_json
from gateway.server import create_app
from gateway.settings import Settings
from steps.body_masks import SEVERAL_PERSONS, found_poses
from steps.face_contours import NO_FACE, SEVERAL_FACES
from steps.tensors import InputError, asked_for, json_tensor
from vision.encoding import encode_png
from vision.face.contours import face_contours
from vision.face.landmarks import LandmarkSet, parse_landmarks
from vision.face.options import ContourOptions, FaceError
from vision.face.segmentation import parse_segmentation
from vision.photo import PhotoError, decode, inspect

RUN = "/v1/run/body_masks"
SETTINGS = Settings(mask_types_default=("dress", "upper_body"))
DOCUMENT = create_app(SETTINGS).openapi()
OPERATION = DOCUMENT["paths"][RUN]["post"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
JOBS = OPERATIONS["POST /v1/jobs"]
OUTCOMES = ("cancelled", "attempts_exhausted", "url_failed", "url_unreachable", "object_missing")
"""Why a job failed; never the answer to a request."""
MODELS = {
    model.__name__: model
    for model in (
        *(
            EventTicket,
            JobView,
            JobPage,
            PoisonPage,
            ProcessAnswer,
            Resent,
            Stats,
            RunAnswer,
            Health,
            Live,
            PipelineList,
        ),
        *(CacheCleanup, CacheFigures, FrontalStatus, FrontalSubmission, QueueStatus),
        *(UploadAnswer, UploadStatus, BatchAnswer, BatchStatus),
    )
}


def values(node: object, key: str) -> Iterator[object]:
    if isinstance(node, Mapping):
        yield from (value for name, value in node.items() if name == key)
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ()
    for child in children:
        yield from values(child, key)


def png_header(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return tiny_png()[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def animated_webp() -> bytes:
    frames, file = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")], io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def cut_jpeg() -> bytes:
    return cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()[:-6]


def test_every_reference_leads_somewhere() -> None:
    references = {str(reference) for reference in values(DOCUMENT, "$ref")}
    assert references == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


def errors() -> Iterator[tuple[int, Mapping[str, object]]]:
    for operation in OPERATIONS.values():
        for status, answer in operation["responses"].items():
            if "application/problem+json" in answer.get("content", {}):
                yield int(status), answer


def test_every_error_has_the_one_problem_schema_and_an_example_of_each_code() -> None:
    documented = set(OUTCOMES)
    for status, answer in errors():
        content = answer["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        for code, example in content["examples"].items():
            assert (example["value"]["code"], example["value"]["status"]) == (code, status)
            assert example["value"].keys() == DOCUMENT["components"]["schemas"]["Problem"]["properties"].keys()
            assert f"`{code}`" in answer["description"]
            documented.add(code)
    assert documented == set(PROBLEMS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_address_says_what_it_is_for_and_what_it_may_answer(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"].endswith(".")
    assert all(answer["description"] for answer in operation["responses"].values())
    assert {int(status) for status in operation["responses"]} & {200, 202, 204}
    assert "500" in operation["responses"]
    in_path = [item["name"] for item in operation.get("parameters", []) if item["in"] == "path"]
    assert in_path == re.findall(r"{(\w+)}", name)


def test_answers_have_the_examples_that_their_schemas_want() -> None:
    shown = 0
    for operation in OPERATIONS.values():
        for answer in operation["responses"].values():
            content = answer.get("content", {}).get("application/json", {})
            if "example" in content:
                model = MODELS[content["schema"]["$ref"].rsplit("/", 1)[-1]]
                example = content["example"]
                assert model.model_validate(example).model_dump(mode="json", exclude_unset=True) == example
                shown += 1
    assert shown >= 28


def test_the_request_example_of_a_job_is_accepted() -> None:
    content = JOBS["requestBody"]["content"]
    submission = json_submission(json.dumps(content["application/json"]["example"]).encode())
    registry = build_registry(SETTINGS)
    wanted = job_request(submission, None, registry, SETTINGS)
    assert wanted.parameters == parameters_json(registry["body_masks"], {}).decode()
    assert set(content) == {"multipart/form-data", "application/json", "image/*"}


def test_every_field_of_a_job_is_documented_wherever_it_may_stand() -> None:
    pipelines = build_registry(SETTINGS).values()
    fields = {*JobFields.model_fields, *(name for entry in pipelines for name in entry.parameters.model_fields)}
    assert {item["name"] for item in JOBS["parameters"] if item["in"] == "query"} == fields
    for kind, images in (("multipart/form-data", {"image", "url", "s3"}), ("application/json", {"image"})):
        assert JOBS["requestBody"]["content"][kind]["schema"]["properties"].keys() == fields | images


def test_every_field_of_the_facial_services_is_documented() -> None:
    operation = OPERATIONS["POST /api/v1/frontal/crop/submit"]
    fields = {"loadtest_mode", *build_registry(SETTINGS)["face_contours"].parameters.model_fields}
    assert {item["name"] for item in operation["parameters"]} == fields
    for kind, images in (("multipart/form-data", {"image", "url", "s3"}), ("application/json", {"image"})):
        schema = operation["requestBody"]["content"][kind]["schema"]
        assert schema["properties"].keys() == fields | images
    assert any("url" in choice.get("properties", {}) for choice in schema["properties"]["image"]["oneOf"])


def test_a_field_shared_by_pipelines_accepts_what_any_of_them_accepts() -> None:
    content = JOBS["requestBody"]["content"]
    frame = content["application/json"]["schema"]["properties"]["frame"]
    assert [choice["enum"] for choice in frame["anyOf"]] == [["source", "canvas"], ["crop", "source"]]
    assert (frame["type"], frame["default"]) == ("string", "source")
    assert "body_masks: " in frame["description"]
    assert "face_contours: " in frame["description"]
    assert content["multipart/form-data"]["encoding"]["include"] == {"style": "form", "explode": False}


def test_every_type_of_file_that_is_answered_is_described() -> None:
    for entry in build_registry(SETTINGS).values():
        content = OPERATIONS[f"POST /v1/run/{entry.name}"]["responses"]["200"]["content"]
        kinds = {media_type(name) for name in entry.artifacts if not name.endswith("…")}
        assert set(content) == kinds | {"application/json", "multipart/mixed"}
    for route in ("GET /v1/jobs/{id}/artifacts/{name}", "GET /v1/artifacts/{key}"):
        assert set(OPERATIONS[route]["responses"]["200"]["content"]) == set(MEDIA_TYPES.values())


def test_an_address_holds_objects_as_text() -> None:
    schemas = {item["name"]: item["schema"] for item in JOBS["parameters"] if item["in"] == "query"}
    for name in ("landmarks", "segmentation_map", "colors", "thresholds", "keep", "objects"):
        assert schemas[name]["type"] == "string"
    assert schemas["hide"]["type"] == "array"


def test_objects_have_a_limit_in_the_words_of_json_schema() -> None:
    fields = JOBS["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert (fields["colors"]["maxProperties"], "maxLength" in fields["colors"]) == (64, False)


def test_the_default_mask_types_are_those_of_the_settings() -> None:
    content = OPERATION["requestBody"]["content"]
    for kind in ("multipart/form-data", "application/json"):
        assert content[kind]["schema"]["properties"]["mask_types"]["default"] == ["dress", "upper_body"]
    query = {parameter["name"]: parameter for parameter in OPERATION["parameters"]}
    assert query["mask_types"]["description"].endswith("Default: dress,upper_body.")
    assert "default" not in query["mask_types"]["schema"]


@pytest.mark.parametrize("name", build_registry(SETTINGS))
def test_the_request_example_is_accepted(name: str) -> None:
    operation = DOCUMENT["paths"][f"/v1/run/{name}"]["post"]
    example = dict(operation["requestBody"]["content"]["application/json"]["example"])
    assert inspect(base64.b64decode(example.pop("image")["data"])).size == (16, 16)
    pipeline = build_registry(SETTINGS)[name]
    assert parameters_json(pipeline, example) == parameters_json(pipeline, {})


@pytest.mark.parametrize("name", build_registry(SETTINGS))
def test_the_answer_example_keeps_its_schema(name: str) -> None:
    content = DOCUMENT["paths"][f"/v1/run/{name}"]["post"]["responses"]["200"]["content"]
    example = content["application/json"]["example"]
    assert RunAnswer.model_validate(example).model_dump(mode="json", exclude_unset=True) == example


def test_a_pipeline_documents_only_its_own_refusals() -> None:
    def refusals(name: str) -> set[str]:
        answers = DOCUMENT["paths"][f"/v1/run/{name}"]["post"]["responses"]
        return set(answers["422"]["content"]["application/problem+json"]["examples"])

    assert refusals("body_masks") - refusals("face_contours") == {"no_person", "several_persons"}
    assert {"no_face", "label_map_lossy"} <= refusals("face_contours") - refusals("body_masks")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/v1/pipelines"])
def test_the_addresses_for_those_who_watch_answer_with_objects(path: str) -> None:
    operation = DOCUMENT["paths"][path]["get"]
    assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
    unready = operation["responses"].get("503", {"content": {}})["content"]
    assert ("application/json" in unready) == (path == "/health/ready")


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("image_empty", b""),
        ("image_unsupported", b"%PDF-1.7"),
        ("image_animated", animated_webp()),
        ("image_truncated", cut_jpeg()),
        ("image_too_large", png_header(40_000, 40_000)),
        ("image_too_small", png_header(1, 1)),
        ("image_corrupt", cut_jpeg() + b"\xff\xd9"),
    ],
)
def test_examples_of_refused_photos_are_what_the_refusal_says(code: str, data: bytes) -> None:
    with pytest.raises(PhotoError) as caught:
        decode(data, inspect(data))
    assert (caught.value.code, caught.value.detail) == (code, PROBLEMS[code].example)


NINTH = (np.mgrid[0:9, 0:9].reshape(2, -1).T * 10.0)[:68]
"""68 landmarks, 80 pixels apart at most."""


@pytest.mark.parametrize(
    ("code", "refuse"),
    [
        ("landmarks_unreadable", lambda: parse_landmarks(b"a b")),
        ("landmarks_count", lambda: parse_landmarks(b"1 2\n3 4\n5 6")),
        ("landmarks_outside", lambda: LandmarkSet((NINTH + 900,)).in_photo((640, 480))),
        ("landmarks_degenerate", lambda: LandmarkSet((NINTH / 100,)).in_photo((640, 480))),
        ("segmentation_unsupported", lambda: parse_segmentation(b"%PDF-1.7")),
        ("label_map_lossy", lambda: parse_segmentation(cut_jpeg())),
        ("label_map_unreadable", lambda: parse_segmentation(tiny_png()[:8])),
        ("label_map_corrupt", lambda: parse_segmentation(encode_png(np.arange(4096, dtype=np.uint8).reshape(64, 64)))),
        ("label_map_empty", lambda: parse_segmentation(encode_png(np.zeros((64, 64), np.uint8)))),
        ("regions_invalid", lambda: parse_segmentation(b'{"nose": [1]}')),
        ("region_unknown", lambda: face_contours((640, 480), NINTH, options=ContourOptions(regions=("ear",)))),
        ("options_invalid", lambda: ContourOptions(region_opacity=2)),
    ],
)
def test_examples_about_faces_are_what_the_refusal_says(code: str, refuse: Callable[[], object]) -> None:
    with pytest.raises(FaceError) as caught:
        refuse()
    assert (caught.value.code, caught.value.detail) == (code, PROBLEMS[code].example)


def test_examples_about_nobody_are_what_the_steps_say() -> None:
    assert (*NO_FACE,) == ("no_face", PROBLEMS["no_face"].example)
    with pytest.raises(InputError) as several:
        asked_for([None] * 3, "single", SEVERAL_FACES)
    assert (several.value.code, several.value.detail) == ("several_faces", PROBLEMS["several_faces"].example)


def test_examples_about_people_are_what_the_pipeline_says() -> None:
    nothing = np.zeros((0, 1), np.float32)
    outputs = dict.fromkeys(("landmarks", "presence", "mask", "heatmap"), nothing)
    with pytest.raises(InputError) as nobody:
        found_poses({"context": json_tensor({"regions": []}), **outputs})
    with pytest.raises(InputError) as several:
        asked_for([None] * 3, "single", SEVERAL_PERSONS)
    for caught in (nobody, several):
        assert caught.value.detail == PROBLEMS[caught.value.code].example


@pytest.mark.parametrize("offered", [entry.name for entry in PIPELINES])
def test_the_document_of_a_service_with_one_pipeline_lists_no_other(offered: str) -> None:
    document = create_app(Settings(pipelines=(offered,))).openapi()
    assert [path for path in document["paths"] if path.startswith("/v1/run/")] == [f"/v1/run/{offered}"]
    text = json.dumps(document)
    assert all(reference in document["components"]["schemas"] for reference in re.findall(r"schemas/(\w+)", text))
