import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from deploy.embedded.triton import ENSEMBLES, MODELS, write_ensembles
from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, Paths, load
from exporters.commands import app
from exporters.detectors.adding import LABELS as LABEL_OF
from exporters.fetch import State, state
from gateway.triton import WEIGHTS
from steps.detect import GROUPS
from steps.ensemble import Ensemble, load_fitting, steps_of
from steps.model_folder import ModelConfig
from steps.networks import IN_USE
from steps.object_detectors import detector_models
from steps.onnx_session import OnnxNetworks, SessionOptions
from steps.tensors import bytes_tensor, json_object
from tests.detecting import load_detector
from tests.unit.exporters.detectors import drawn
from tests.unit.exporters.networks import drawn_onnx
from tests.unit.steps.detector_folders import add_detector

PHOTOS = [entry for entry in load(DEFAULT_PATHS.catalogue).file if entry.kind == "photo"]
pytestmark = pytest.mark.skipif(
    any(state(entry, DEFAULT_PATHS.files) is not State.READY for entry in PHOTOS),
    reason="the sample photos are not fetched",
)
LABELS = "car,license_plate,truck"
Run = Callable[..., Result]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return replace(DEFAULT_PATHS, model_repository=tmp_path / "model_repository")


@pytest.fixture
def run(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(commands, "DEFAULT_PATHS", paths)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize("batch", [1, "N"])
def test_a_users_own_detector_works_without_code(run: Run, paths: Paths, tmp_path: Path, batch: int | str) -> None:
    file = drawn.save(tmp_path / "mine.onnx", drawn.yolov8(), batch=batch)
    added = run("add", "detector", file, "--labels", LABELS, "--role", "plates")
    assert added.exit_code == 0, added.output
    (model,) = detector_models(paths.model_repository)
    assert (model.role, model.detector.labels) == ("plates", ("car", "license_plate", "truck"))
    load_fitting(paths.model_repository / "mine", SessionOptions(1))
    photo = np.full((64, 128, 3), 255, np.uint8)
    found = load_detector("mine", paths.model_repository).detect(cv2.imencode(".png", photo)[1].tobytes(), 0.5)
    assert found.labels == ("license_plate",)
    # 128×64 is halved and lies 16 pixels below the top of 64×64
    np.testing.assert_allclose(found.boxes, [(20, 8, 68, 64)], atol=1e-3)
    assert found.scores[0] == pytest.approx((255 + 114) / 2 / 255, rel=1e-4)


@pytest.mark.parametrize("role", ["plates", "objects", "faces"])
def test_the_pipelines_run_an_added_detector(run: Run, paths: Paths, tmp_path: Path, role: str) -> None:
    shutil.copytree(MODELS, paths.model_repository)
    file = drawn.save(tmp_path / "mine.onnx", drawn.yolov8())
    labels = "face,license_plate,truck"
    assert run("add", "detector", file, "--labels", labels, "--role", role).exit_code == 0
    write_ensembles(ENSEMBLES, paths.model_repository, tmp_path / "ensembles", {"detect_lite"})
    options = SessionOptions(1)
    steps = steps_of(paths.model_repository, OnnxNetworks(paths.model_repository, options))
    pipeline = Ensemble(tmp_path / "ensembles" / "detect_lite", paths.model_repository, steps, options)
    photo = cv2.imencode(".png", np.full((64, 128, 3), 255, np.uint8))[1].tobytes()
    answer = pipeline(
        {"image": bytes_tensor([photo]), "parameters": bytes_tensor([b'{"rotations": "none", "smallest_face": 64}'])}
    )
    found = [one for one in json_object(answer["result"])["detections"] if one["model"] == "mine"]
    assert [one["label"] for one in found] == ["license_plate"]
    np.testing.assert_allclose(found[0]["box"], (20, 8, 68, 64), atol=0.01)


def test_a_choice_that_cannot_be_written_is_told_in_one_line(run: Run, paths: Paths) -> None:
    add_detector(paths.model_repository, "mine", "faces")
    (paths.model_repository / "mine" / IN_USE).mkdir()  # as good as a read-only folder, also for root
    result = run("use", "mine")
    assert result.exit_code == 1
    assert f"'{paths.model_repository / 'mine' / IN_USE}'" in result.output
    assert len(result.output.splitlines()) == 1


def test_an_ensemble_says_what_it_is_made_of(paths: Paths, tmp_path: Path) -> None:
    shutil.copytree(MODELS, paths.model_repository)

    def weights() -> str:
        write_ensembles(ENSEMBLES, paths.model_repository, tmp_path / "ensembles", {"detect_lite"})
        return ModelConfig(tmp_path / "ensembles" / "detect_lite").parameters[WEIGHTS]

    first = weights()
    assert weights() == first
    with (paths.model_repository / "centerface" / "1" / "model.onnx").open("ab") as model:
        model.write(b"other weights")
    assert weights() != first


def test_an_ensemble_without_its_networks_is_told_of_and_one_that_asks_for_them_is_written(
    paths: Paths, tmp_path: Path
) -> None:
    shutil.copytree(MODELS, paths.model_repository, ignore=shutil.ignore_patterns("*.onnx"))
    wanted = {"detect_lite", "body_masks_lite"}
    missing = write_ensembles(ENSEMBLES, paths.model_repository, tmp_path / "ensembles", wanted)
    assert missing == {"detect_lite": [], "body_masks_lite": ["pose_detection", "pose_landmark_full"]}
    assert [folder.name for folder in (tmp_path / "ensembles").iterdir()] == ["detect_lite"]


def test_a_single_class_gets_the_name_that_the_pipelines_know(run: Run, paths: Paths, tmp_path: Path) -> None:
    base, scored = (np.delete(part, [4, 6], axis=1) for part in drawn.yolov8())
    file = drawn.save(tmp_path / "mine.onnx", (base, scored))
    assert run("add", "detector", file, "--labels", "Nummernschild", "--role", "plates").exit_code == 0
    (model,) = detector_models(paths.model_repository)
    assert model.detector.labels == GROUPS["plates"]


@pytest.mark.parametrize("role", LABEL_OF)
def test_the_pipelines_know_the_labels_of_detector_roles(role: str) -> None:
    assert GROUPS[role] == (LABEL_OF[role],)


def test_a_list_of_labels_may_be_longer_than_a_path(run: Run, tmp_path: Path) -> None:
    file = drawn.save(tmp_path / "mine.onnx", drawn.yolov8())
    words = ("add", "detector", file, "--labels", ",".join(["a long name of a class"] * 80), "--role", "objects")
    assert "3 classes apart, and 80 labels are given" in run(*words).output


def test_an_added_detector_is_listed_and_verified(run: Run, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("car\nplate\ntruck\n")
    file = drawn.save(tmp_path / "mine.onnx", drawn.yolov5())
    words = ("add", "detector", file, "--labels", tmp_path / "names.txt", "--role", "objects", "--name", "street")
    assert run(*words).exit_code == 0
    assert "street" in run("list").output
    assert run("verify", "street").exit_code == 0
    with paths.model("street").open("ab") as model:
        model.write(b"x")
    assert "street: corrupt" in run("verify", "street").output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--role", "plates", "--labels", "one"), 1, "3 classes apart, and 1 labels are given"),
        (("--role", "dogs", "--labels", LABELS), 2, "unknown name: dogs; known names: faces, plates, objects"),
        (
            ("--role", "plates", "--labels", LABELS, "--name", "../x"),
            1,
            "is no name for a model: choose another --name",
        ),
        (("--role", "plates", "--labels", LABELS, "--name", "detect_lite"), 1, "is the name of a pipeline"),
        (("--role", "plates", "--labels", "car,plate,truck"), 1, "call that class license_plate with --labels"),
        (("--role", "plates", "--labels", LABELS, "--form", "yolo0"), 2, "unknown name: yolo0"),
    ],
)
def test_detector_that_cannot_be_added_leaves_nothing(
    run: Run, paths: Paths, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    file = drawn.save(tmp_path / "mine.onnx", drawn.yolov8())
    result = run("add", "detector", file, *words)
    assert (result.exit_code, message in result.output) == (code, True)
    assert not paths.model_repository.exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.mkfifo, "is no regular file"),
        (lambda path: path.touch() or os.truncate(path, 1 << 35), "is larger than 2 GiB"),
        (lambda path: drawn_onnx.save(path, drawn_onnx.parser()), "an output of shape (1, 18, 128, 128)"),
    ],
)
def test_a_file_that_would_be_read_for_long_is_refused_soon(
    run: Run, paths: Paths, tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    make(file := tmp_path / "mine.onnx")
    result = run("add", "detector", file, "--role", "plates")
    assert (result.exit_code, told in result.output) == (1, True)
    assert not paths.model_repository.exists()


def test_a_name_that_is_taken_is_refused(run: Run, paths: Paths, tmp_path: Path) -> None:
    file = drawn.save(tmp_path / "mine.onnx", drawn.yolov8())
    words = ("add", "detector", file, "--labels", LABELS, "--role", "plates")
    assert run(*words).exit_code == 0
    before = paths.model("mine").read_bytes()
    assert "exists: choose another --name" in run(*words).output
    assert paths.model("mine").read_bytes() == before
