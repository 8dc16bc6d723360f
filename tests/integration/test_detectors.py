"""Detectors that users bring, and those that are missing, on a real Triton."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.utils

from deploy.embedded import CHECKOUT, StackError
from deploy.embedded.folders import Folders
from deploy.embedded.triton import MODELS, Triton
from exporters.catalogue import DEFAULT_PATHS
from exporters.detectors.adding import Addition, add_detector
from exporters.downloads import Listener
from gateway.settings import Settings
from gateway.triton import connect
from steps.networks import IN_USE
from steps.object_detectors import chosen_detectors
from tests.servers import Server, kept
from tests.stack import eventually, stack_environment
from tests.triton_client import run_pipeline
from tests.unit.exporters.detectors import drawn

pytestmark = pytest.mark.skipif("faces" not in chosen_detectors(MODELS), reason="CenterFace is not exported")

WHITE = cv2.imencode(".png", np.full((64, 64, 3), 255, np.uint8))[1].tobytes()
BOX = [10.0, 20.0, 34.0, 52.0]
EVERYTHING: dict[str, object] = {"hide": ["faces", "plates"], "style": "solid", "include": ["detections"]}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The model repository without CenterNet, as on a machine that has no npm."""
    copied = tmp_path / "model_repository"
    shutil.copytree(MODELS, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "centernet" / "1" / "model.onnx").unlink(missing_ok=True)
    return copied


@pytest.fixture(params=["fused", "ensemble"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    given = {"TRITON_LAYOUT": request.param, "PIPELINES": "privacy_blur,detect"}
    for name, value in stack_environment(tmp_path / "home", **given).items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


@contextmanager
def serving(settings: Settings, repository: Path) -> Iterator[str]:
    """Triton on these models; its address."""
    folders = Folders(settings.maskwright_home)
    folders.create()
    triton = Triton(settings, folders, repository)
    triton.prepare()
    with folders.log("triton").open("wb") as log:
        process = subprocess.Popen(
            triton.command(), env=dict(triton.environment()), cwd=CHECKOUT, stdout=log, stderr=log
        )
    try:
        eventually(lambda: process.poll() is not None or _serves(triton), 60, "Triton serves every pipeline")
        assert process.poll() is None, folders.log("triton").read_text()[-2000:]
        yield f"127.0.0.1:{settings.triton_grpc_port}"
    finally:
        process.terminate()
        process.wait(30)
        triton.clean_up()


def _serves(triton: Triton) -> bool:
    try:
        asyncio.run(triton.probe())
    except tritonclient.utils.InferenceServerException:
        return False
    return True


def add(repository: Path, tmp_path: Path, name: str, role: str, batch: int | str) -> None:
    base, scored = (np.delete(part, [4, 6], axis=1) for part in drawn.yolov8())
    file = drawn.save(tmp_path / f"{name}.onnx", (base, scored), batch=batch)
    paths = replace(DEFAULT_PATHS, model_repository=repository)
    add_detector(Addition(file, name, role, ("mine",)), listener=Listener(), paths=paths)


def found(url: str, model: str, parameters: dict[str, object]) -> list[tuple[object, object, object]]:
    answer = run_pipeline(url, model, WHITE, parameters)
    assert answer.result["status"] == "completed", answer.result
    return [(one["label"], one["model"], one["box"]) for one in answer.result["detections"]]


def said(settings: Settings, model: str) -> str | None:
    """What Triton says that a pipeline's model is made of."""

    async def ask() -> str | None:
        async with connect(settings) as triton:
            return await triton.weights(model, 5.0)

    return asyncio.run(ask())


def test_without_centernet_faces_and_plates_are_hidden_and_triton_says_that_another_detector_looks(
    settings: Settings, repository: Path
) -> None:
    """Else the cache would go on answering with what the one before has found, or missed."""
    with serving(settings, repository) as url:
        ours = said(settings, "privacy_blur_lite")
        assert run_pipeline(url, "privacy_blur_lite", WHITE, EVERYTHING).result["status"] == "completed"
        assert found(url, "detect_lite", {}) == []
        refused = run_pipeline(url, "privacy_blur_lite", WHITE, {"hide": ["persons"]}).result
        assert (refused["status"], refused["reason"]) == ("failed", "class_unknown")
    (repository / "centerface_int8" / IN_USE).touch()
    with serving(settings, repository):
        eight_bits = said(settings, "privacy_blur_lite")
    assert said(settings, "privacy_blur_lite") is None
    assert ours
    assert eight_bits
    assert ours != eight_bits


def test_pipelines_run_the_detectors_that_a_user_chose(settings: Settings, repository: Path, tmp_path: Path) -> None:
    add(repository, tmp_path, "my_faces", "faces", 1)
    add(repository, tmp_path, "my_plates", "plates", "N")
    face, plate = ("face", "my_faces", BOX), ("license_plate", "my_plates", BOX)
    with serving(settings, repository) as url:
        assert found(url, "detect_lite", {"classes": ["faces"]}) == [face]
        assert found(url, "privacy_blur_lite", {"hide": ["faces"]}) == [face]
        assert sorted(found(url, "detect_lite", {})) == [face, plate]
        answer = run_pipeline(url, "privacy_blur_lite", WHITE, {**EVERYTHING, "shape": "box"})
        assert [one["action"] for one in answer.result["detections"]] == ["hidden", "hidden"]
        (copy,) = (data for name, data in answer.artifacts.items() if name.endswith(".png"))
        blurred = cv2.imdecode(np.frombuffer(copy, np.uint8), cv2.IMREAD_COLOR)
        assert (blurred[20:52, 10:34] == 0).all()


def test_a_running_triton_takes_up_newly_chosen_detectors_by_itself_except_broken_ones(
    settings: Settings, repository: Path, tmp_path: Path
) -> None:
    folders = Folders(settings.maskwright_home)
    folders.create()
    server = Server(f"127.0.0.1:{settings.triton_grpc_port}")
    with kept(Triton(settings, folders, repository), folders, server):
        old = server.pid
        for name, role in (("my_plates", "plates"), ("my_faces", "faces"), ("half", "faces")):
            add(repository, tmp_path, name, role, 1)
        (repository / "my_faces" / "config.pbtxt").write_text('backend: "onnx')
        half = repository / "half" / "1" / "model.onnx"
        half.write_bytes(half.read_bytes()[:-500])

        def notes() -> str:
            return "\n".join(server.states[-1].notes) if server.is_ready() else ""

        eventually(lambda: "half/1/model.onnx: it is cut short" in notes(), 90, "Triton is started again")
        assert server.pid != old
        assert "my_faces/config.pbtxt: 1:10" in notes()
        assert found(server.address, "detect_lite", {}) == [("license_plate", "my_plates", BOX)]


def test_an_unreadable_step_leaves_out_only_its_pipelines(settings: Settings, repository: Path) -> None:
    config = repository / "privacy_blur_draw" / "config.pbtxt"
    config.write_text('backend: "onnx')
    folders = Folders(settings.maskwright_home)
    folders.create()
    triton = Triton(settings, folders, repository)
    triton.prepare()
    (option,) = (one for one in triton.command() if one.startswith("--model-repository="))
    served = {folder.name for folder in Path(option.partition("=")[2]).iterdir()}
    assert {name for name in served if name.endswith("_lite")} == {"detect_lite"}
    assert not served & {"privacy_blur_draw", "pose_input"}
    assert f"{config}: 1:10" in "".join(triton.notes())
    blur_alone = Triton(settings.model_copy(update={"pipelines": ("privacy_blur",)}), folders, repository)
    with pytest.raises(StackError, match=f"(?s)privacy_blur_draw.*{config}: 1:10"):
        blur_alone.prepare()
