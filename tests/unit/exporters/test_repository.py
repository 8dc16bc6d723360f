"""The model repository is never half changed, whenever who changes it is killed."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, Paths
from exporters.repository import BUILDING, building, half_built
from tests.unit.steps.detector_folders import add_detector

KILLED = """
import os, pathlib, signal, sys
from exporters import repository
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
repo, moment = pathlib.Path(sys.argv[1]), sys.argv[2]
if moment == "settling":
    repository._settle = die
rename = pathlib.Path.rename
if moment == "between":
    pathlib.Path.rename = lambda one, other: die() if one.name.startswith("new-") else rename(one, other)
with repository.building(repo) as change, change.draft(repo / "mine") as draft:
    (draft / "1").mkdir()
    (draft / "1" / "model.onnx").write_bytes(b"half")
    if moment == "writing":
        die()
    (draft / "config.pbtxt").write_text("")
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    repository = tmp_path / "repository"
    repository.mkdir()
    return Paths(DEFAULT_PATHS.catalogue, tmp_path / "files", repository, tmp_path / "ensembles")


@pytest.fixture
def wide_open() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("moment", ["writing", "settling", "between"])
def test_a_killed_export_leaves_no_partial_model(paths: Paths, moment: str, there: bool) -> None:  # noqa: FBT001
    model = paths.model_repository / "mine"
    if there:
        add_detector(paths.model_repository, "mine", "faces")
    before = sorted(path.relative_to(model) for path in model.rglob("*"))
    command = [sys.executable, "-c", KILLED, str(paths.model_repository), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = sorted(path.relative_to(model) for path in model.rglob("*"))
    assert left == ([] if moment == "between" else before)
    assert any(name.startswith(f"{BUILDING}/new-") for name in half_built(paths, ()))
    with building(paths.model_repository) as change, change.draft(model) as draft:
        (draft / "whole").touch()
    assert [path.name for path in model.iterdir()] == ["whole"]
    assert list(half_built(paths, ())) == ["mine"]  # it has no configuration


def test_an_error_leaves_what_was_there(paths: Paths) -> None:
    add_detector(paths.model_repository, "mine", "faces")
    mine = paths.model_repository / "mine"
    with suppress(ZeroDivisionError), building(paths.model_repository) as change, change.draft(mine) as draft:
        (draft / "half").write_bytes(bytes(1 // 0))
    assert (paths.model_repository / "mine" / "config.pbtxt").is_file()
    assert [path.name for path in (paths.model_repository / BUILDING).iterdir()] == [".lock"]


@pytest.mark.usefixtures("wide_open")
def test_a_full_disk_is_told_with_its_folder(paths: Paths) -> None:
    mine = paths.model_repository / "mine"
    with (
        pytest.raises(OSError, match=f"No space left on device: '{paths.model_repository}/.building'"),
        building(paths.model_repository) as change,
        change.draft(mine),
    ):
        Path("/dev/full").write_bytes(b"x")
    assert not mine.exists()


def test_published_models_are_readable_by_tritons_user(paths: Paths) -> None:
    with building(paths.model_repository) as change, change.draft(paths.model_repository / "mine") as draft:
        (draft / "1").mkdir()
        (draft / "1" / "model.onnx").write_bytes(b"")
    model = paths.model_repository / "mine"
    modes = [path.stat().st_mode & 0o777 for path in (model, model / "1", model / "1" / "model.onnx")]
    assert modes == [0o755, 0o755, 0o644]


def test_one_process_builds_at_a_time_and_its_folder_is_not_called_left_over(paths: Paths) -> None:
    with building(paths.model_repository) as change, change.draft(paths.model_repository / "mine"):
        assert half_built(paths, ()) == {}
        with (paths.model_repository / BUILDING / ".lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_verify_names_what_is_half_there(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "DEFAULT_PATHS", paths)
    repository = paths.model_repository
    add_detector(repository, "without_model", "faces", ready=False)
    add_detector(repository, "without_report", "plates")
    add_detector(repository, "centernet", "objects", added=False, ready=False)
    add_detector(repository, "cut", "objects")
    (repository / "cut" / "1" / "model.onnx").write_bytes(b"\x3a\x09")
    (repository / "without_config" / "1").mkdir(parents=True)
    result = CliRunner().invoke(commands.app, ["verify"])
    assert result.exit_code == 1
    said = dict(line.split(": ", 1) for line in result.output.splitlines() if ": " in line)
    assert said["without_model"] == "a config.pbtxt without its model"
    assert said["without_report"] == "a model without its parity.json"
    assert said["without_config"] == "a folder without config.pbtxt"
    assert said["cut"].endswith("it is cut short")
    assert said["centernet"] == "missing", "it is ours: an export makes it"
    assert CliRunner().invoke(commands.app, ["verify", "without_config"]).exit_code == 1
