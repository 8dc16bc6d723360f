"""The user's own checkpoints serve, alone or beside the lite models, and answers say so."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner

from deploy.embedded import CHECKOUT, StackError
from deploy.embedded.folders import Folders
from deploy.embedded.triton import ENSEMBLES, MODELS, Triton, link_folders
from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, load
from exporters.fetch import State, state
from gateway.server import create_app
from gateway.settings import Settings
from steps.ensemble import Ensemble, load_fitting, steps_of
from steps.object_detectors import MODEL
from steps.onnx_session import OnnxNetworks, SessionOptions
from steps.tensors import bytes_tensor, json_object, json_tensor
from tests import users_models
from tests.integration.test_detectors import serving
from tests.stack import stack_environment
from tests.triton_client import PipelineAnswer, run_pipeline
from tests.unit.exporters.detectors import drawn as drawn_detectors
from tests.unit.exporters.networks import drawn
from vision.affine import transform_points
from vision.body.mask_types import Atr
from vision.face.parsing import parser_roi
from vision.face.topology import MESH

USERS = ("schp_atr", "schp_lip", "schp_pascal", "openpose_body", "bisenet_face")
LITE = ("pose_detection", "pose_landmark_full", "face_landmark")
PHOTOS = [entry for entry in load(DEFAULT_PATHS.catalogue).file if entry.kind == "photo"]
pytestmark = [
    pytest.mark.skipif(not all((MODELS / name / MODEL).exists() for name in LITE), reason="models are not exported"),
    pytest.mark.skipif(
        any(state(entry, DEFAULT_PATHS.files) is not State.READY for entry in PHOTOS),
        reason="the sample photos are not fetched",
    ),
]
BODY: dict[str, object] = {"include": ["label_map", "keypoints", "overlay"]}
FACE: dict[str, object] = {"include": ["landmarks"], "frame": "source"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The model repository; what users add stays in it alone."""
    linked = tmp_path / "model_repository"
    link_folders([MODELS], linked)
    return linked


@pytest.fixture
def photo(astronaut: Path) -> bytes:
    return astronaut.read_bytes()


def settings_of(home: Path, monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    for name, value in stack_environment(home, PIPELINES="body_masks,face_contours", **given).items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def add(repository: Path, kind: str, file: Path, *options: str) -> None:
    """`maskwright models add`."""
    paths = replace(DEFAULT_PATHS, model_repository=repository)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "DEFAULT_PATHS", paths)
        result = CliRunner().invoke(commands.app, ["add", kind, str(file), *options])
    assert result.exit_code == 0, result.output


def test_both_layouts_give_equal_bytes_of_what_users_networks_say(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: Path, couple: bytes
) -> None:
    add(repository, "parser", users_models.bright_parser(tmp_path / "parsing_atr.onnx"))
    add(repository, "parser", users_models.bright_parser(tmp_path / "parsing_lip.onnx", 20, 473, label=13))
    users_models.straight_hairline(repository)
    asked: list[tuple[str, bytes, dict[str, object]]] = [
        ("body_masks_full", astronaut.read_bytes(), BODY),
        ("body_masks_full", couple, {**BODY, "person": "all", "frame": "canvas"}),
        ("body_masks_full", astronaut.read_bytes(), {**BODY, "crop": "centre"}),
        ("body_masks_full", couple, {"person": "single"}),
        ("body_masks_full", b"not a photo", {}),
        ("face_contours_full", couple, {**FACE, "face": "all"}),
        ("face_contours_full", b"not a photo", {}),
    ]
    given: list[list[PipelineAnswer]] = []
    for layout in ("fused", "ensemble"):
        settings = settings_of(tmp_path / layout, monkeypatch, TRITON_LAYOUT=layout)
        with serving(settings, repository) as url:
            given.append([run_pipeline(url, model, photo, parameters) for model, photo, parameters in asked])
    fused, ensemble = given
    assert fused == ensemble
    assert [answer.result["reason"] for answer in fused if answer.result["status"] == "failed"] == [
        *("several_persons", "image_unsupported", "image_unsupported")
    ]
    assert [len(answer.artifacts) for answer in fused] == [10, 19, 10, 0, 0, 7, 0]


@pytest.mark.parametrize(
    ("parsers", "label"),
    [
        ({"atr": 7}, Atr.DRESS),
        ({"lip": 6}, Atr.DRESS),
        ({"pascal": 2}, Atr.UPPER_CLOTHES),
        ({"atr": 5, "pascal": 2}, Atr.SKIRT),
        ({"lip": 6, "pascal": 2}, Atr.DRESS),
        ({"atr": 11, "lip": 13}, Atr.FACE),
        ({"atr": 11, "lip": 2}, Atr.NECK),
        ({"atr": 2, "lip": 2}, Atr.HAIR),
    ],
)
def test_the_parsers_that_are_there_give_the_labels_of_the_mask_rules(
    repository: Path, tmp_path: Path, photo: bytes, parsers: dict[str, int], label: Atr
) -> None:
    classes = {"atr": (18, 512), "lip": (20, 473), "pascal": (7, 512)}
    for name, bright in parsers.items():
        add(repository, "parser", users_models.bright_parser(tmp_path / f"{name}.onnx", *classes[name], label=bright))
    options = SessionOptions(1, allow_spinning=False)
    steps = steps_of(repository, OnnxNetworks(repository, options))
    ensemble = Ensemble(ENSEMBLES / "body_masks_full", repository, steps, options)
    asked = {"image": bytes_tensor([photo]), "parameters": json_tensor({"include": ["label_map"]})}
    answer = ensemble(asked)
    names = [name.decode() for name in answer["artifact_names"]]
    png = answer["artifacts"][names.index("label_map.png")]
    labels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.mean(labels == label) > 0.05
    assert np.mean((labels == label) | (labels == Atr.BACKGROUND)) > 0.9  # parsers of two sizes differ at edges


PAGE = CHECKOUT / "docs" / "checkpoints.md"
ADDED = re.findall(r"^maskwright models add (\S+) (\S+)(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def file_named(folder: Path, kind: str, name: str) -> Path:
    """A file as the page names it, with random weights."""
    path = folder / name
    if kind == "detector":
        base, scored = (np.delete(part, [4, 6], axis=1) for part in drawn_detectors.yolov8())
        return drawn_detectors.save(path, (base, scored))
    if path.suffix == ".onnx":
        return users_models.bright_parser(path, 20, 473, label=13)
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    if not drawn.MANIFESTS.is_dir():
        pytest.skip(f"{drawn.MANIFESTS} is not here")
    network = {"parser": "schp_atr", "pose": "openpose_body", "face-parser": "bisenet_face"}[kind]
    return drawn.legacy(path, drawn.weights(network), wrapped=kind == "parser")


@pytest.mark.parametrize(("kind", "name", "options"), ADDED)
def test_every_command_of_the_page_brings_a_file_to_its_first_result(
    repository: Path, tmp_path: Path, photo: bytes, kind: str, name: str, options: str
) -> None:
    file = file_named(tmp_path, kind, name)
    if kind == "pose":  # makes masks only beside a parser
        add(repository, "parser", users_models.bright_parser(tmp_path / "parsing_atr.onnx"))
    add(repository, kind, file, *options.split())
    pipeline, artifact = {
        "detector": ("detect_lite", b"detections.json"),
        "face-parser": ("face_contours_full", b"contours.svg"),
    }.get(kind, ("body_masks_full", b"upper_body_mask.png"))
    settings = SessionOptions(1, allow_spinning=False)
    steps = steps_of(repository, OnnxNetworks(repository, settings, load_fitting))
    answer = Ensemble(ENSEMBLES / pipeline, repository, steps, settings)(
        {"image": bytes_tensor([photo]), "parameters": json_tensor({})}
    )
    assert json_object(answer["result"])["status"] == "completed"
    assert artifact in answer["artifact_names"]


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway in this process."""
    address = {"triton_grpc_url": f"127.0.0.1:{settings.triton_grpc_port}"}
    app = create_app(settings.model_copy(update=address))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway", timeout=60) as client,
    ):
        yield client


@asynccontextmanager
async def triton(settings: Settings, repository: Path) -> AsyncIterator[None]:
    """Triton, started in a thread: it is asked whether it serves in an event loop of its own."""
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, serving(settings, repository))
        yield
        await asyncio.to_thread(stack.close)


async def run(client: httpx.AsyncClient, pipeline: str, photo: bytes, **fields: str) -> dict[str, object]:
    headers = {"Accept": "application/json"}
    answer = await client.post(f"/v1/run/{pipeline}", files={"image": photo}, data=fields, headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, object] = answer.json()
    return document


def made(document: dict[str, object]) -> tuple[str, str, set[str]]:
    """Profile, model, and the user's networks."""
    maker = document["made_by"]
    assert all(len(digest) == 64 for digest in maker["weights"].values())
    return maker["profile"], maker["model"], {*maker["weights"]} & {*USERS}


def assert_bright(document: dict[str, object], photo: bytes) -> None:
    """The label map has upper clothes where the photo is bright, as `bright_parser` says."""
    labels = cv2.imdecode(np.frombuffer(base64.b64decode(artifact(document, "label_map.png")), np.uint8), -1)
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(photo, np.uint8), 1), cv2.COLOR_BGR2RGB) / 255
    mean = cv2.blur(((pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).mean(axis=2), (5, 5))
    clear = np.abs(mean - users_models.BRIGHT) > 0.5
    assert set(np.unique(labels)) == {0, 4}
    x1, y1, x2, y2 = (round(side) for side in document["persons"][0]["box"])
    inside = np.s_[max(y1, 0) + 4 : y2 - 4, max(x1, 0) + 4 : x2 - 4]
    agreeing = (labels[inside] == 4) == (mean[inside] > users_models.BRIGHT)
    assert agreeing[clear[inside]].mean() > 0.97


def artifact(document: dict[str, object], name: str) -> str:
    return document["artifacts"][name]["base64"]


def top(document: dict[str, object]) -> float:
    """The highest point of the forehead, in pixels of the photo."""
    contours = json.loads(base64.b64decode(artifact(document, "contours.json")))["mask_contours"]
    return min(y for ring in contours["1"] for _, y in ring)


async def test_added_files_serve_when_triton_starts_again_and_answers_say_which(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    """One gateway lives on, and takes no result of other models from its cache."""
    settings = settings_of(tmp_path / "home", monkeypatch, DB_USE_DATABASE="false")
    fields = {"include": "label_map,keypoints"}
    async with gateway(settings) as client:
        async with triton(settings, repository):
            lite = await run(client, "body_masks", photo, **fields)
            lite_face = await run(client, "face_contours", photo, frame="source")
            assert made(lite) == ("lite", "body_masks_lite", set())
        add(repository, "parser", users_models.bright_parser(tmp_path / "parsing_atr.onnx"))
        async with triton(settings, repository):
            assert made(await run(client, "body_masks", photo, style="labels"))[0] == "full"
            mixed = await run(client, "body_masks", photo, **fields)
            assert made(mixed) == ("full", "body_masks_full", {"schp_atr"})
            assert mixed["persons"] == lite["persons"]  # MediaPipe's joints
            assert_bright(mixed, photo)
            listed = {one["name"]: one for one in (await client.get("/v1/pipelines")).json()["pipelines"]}
            assert (listed["body_masks"]["profile"], listed["face_contours"]["profile"]) == ("full", "lite")
            assert listed["body_masks"]["made_by"] == mixed["made_by"]
        users_models.blind_pose(repository)
        users_models.straight_hairline(repository)
        async with triton(settings, repository):
            face = await run(client, "face_contours", photo, frame="source", show_labels="true")
            assert made(face) == ("full", "face_contours_full", {"bisenet_face"})
            full = await run(client, "body_masks", photo, **fields)
            assert made(full) == ("full", "body_masks_full", {"schp_atr", "openpose_body"})
            assert full["persons"][0]["keypoints"] == [[0.0, 0.0, 0.0]] * 18
            assert abs(top(face) - top(lite_face)) > 1
            landmarks = await run(client, "face_contours", photo, include="landmarks")
            points = np.array(
                [
                    (point["x"], point["y"])
                    for point in json.loads(base64.b64decode(artifact(landmarks, "landmarks.json")))["landmarks"][0]
                ]
            )
            roi = parser_roi(points, MESH)
            ((_, row),) = transform_points(np.array([(256.0, users_models.HAIRLINE)]), roi.to_source(512))
            assert top(face) == pytest.approx(row, abs=0.06 * roi.side)


def test_the_full_profile_says_which_file_to_add_by_which_command(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "home", monkeypatch, PROFILE="full")
    add(repository, "parser", users_models.bright_parser(tmp_path / "parsing_atr.onnx"))
    folders = Folders(settings.maskwright_home)
    folders.create()
    triton = Triton(settings, folders, repository)
    with pytest.raises(StackError) as raised:
        triton.prepare()
    triton.clean_up()
    assert str(raised.value) == (
        "PROFILE=full, but face_contours needs a face parser: `maskwright models add face-parser FILE`, such as "
        "79999_iter.pth. PROFILE=auto serves the lite models until then"
    )


def test_the_lite_profile_leaves_users_networks_alone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: Path
) -> None:
    users_models.straight_hairline(repository)
    settings = settings_of(tmp_path / "home", monkeypatch, PROFILE="lite")
    with serving(settings, repository) as url:
        assert run_pipeline(url, "face_contours_lite", astronaut.read_bytes(), FACE).result["status"] == "completed"
        with pytest.raises(InferenceServerException, match="face_contours_full"):
            run_pipeline(url, "face_contours_full", astronaut.read_bytes(), FACE)
