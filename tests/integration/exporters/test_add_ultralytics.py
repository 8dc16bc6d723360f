"""Checkpoints of Ultralytics: its own exporter makes them ONNX where it is installed."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, Paths
from exporters.detectors import ultralytics
from steps.object_detectors import detector_models
from tests.unit.exporters.networks import drawn

ROLE = ("--role", "objects")
ONE = {"a.weight": np.ones((3, 2), np.float32)}
THEIRS = "ultralytics.nn.tasks.DetectionModel"
YOLO = shutil.which("yolo")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return replace(DEFAULT_PATHS, model_repository=tmp_path / "model_repository")


def add(paths: Paths, file: Path) -> Result:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "DEFAULT_PATHS", paths)
        return CliRunner().invoke(commands.app, ["add", "detector", str(file), *ROLE])


def checkpoint(path: Path, *names: str) -> Path:
    return drawn.zipped(path, ONE, extra=b"".join(drawn.name(one) + b")R0" for one in names))


def test_without_their_exporter_the_two_commands_are_told(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ultralytics, "_program", lambda: None)
    result = add(paths, file := checkpoint(tmp_path / "my.pt", THEIRS))
    assert result.exit_code == 1
    assert f"`yolo export model={file} format=onnx`" in result.output
    assert f"`maskwright models add detector {file.with_suffix('.onnx')} --role" in result.output


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            (THEIRS, "posix.system"),
            "names posix.system, which no checkpoint of Ultralytics needs; nothing was run",
        ),
        ((THEIRS, "ultralytics.utils.checks.check_requirements"), "names ultralytics.utils.checks.check_requirements"),
        ((THEIRS, "torch.hub.load"), "names torch.hub.load"),
        (("models.yolo.DetectionModel",), "python export.py --weights"),
        (("torchvision.models.resnet.ResNet",), "is a checkpoint of another network"),
        ((), "is a checkpoint of another network"),
    ],
)
def test_a_checkpoint_of_others_is_refused(paths: Paths, tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    result = add(paths, checkpoint(tmp_path / "my.pt", *names))
    assert result.exit_code == 1
    assert told in result.output
    assert not paths.model_repository.exists()


@pytest.mark.parametrize("content", [b"", b"<html>", b"version https://git-lfs.github.com/spec/v1", b"\x80\x04."])
def test_what_is_no_checkpoint_is_named(paths: Paths, tmp_path: Path, content: bytes) -> None:
    (file := tmp_path / "my.pt").write_bytes(content)
    assert "`models add detector` takes an ONNX file, or a .pt of Ultralytics" in add(paths, file).output


@pytest.mark.skipif(YOLO is None, reason="Ultralytics is not installed")
@pytest.mark.parametrize("network", ["yolov8n", "yolo11n"])
def test_their_exporter_makes_a_detector_of_it(paths: Paths, tmp_path: Path, network: str) -> None:
    names = {index: f"thing {index}" for index in range(80)}
    code = (
        f"from ultralytics import YOLO; yolo = YOLO('{network}.yaml'); yolo.model.names = {names}; yolo.save('my.pt')"
    )
    python = Path(str(YOLO)).with_name("python")
    subprocess.run([python, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    result = add(paths, tmp_path / "my.pt")
    assert result.exit_code == 0, result.output
    (model,) = detector_models(paths.model_repository)
    assert (len(model.detector.labels), model.detector.labels[0]) == (80, "thing 0")
    assert [path.name for path in tmp_path.glob("*.onnx")] == []
