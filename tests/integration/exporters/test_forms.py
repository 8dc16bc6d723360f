"""`maskwright models optimise`, and `use` of what it makes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, Paths, load
from exporters.fetch import State, state
from steps.networks import ready_models
from steps.object_detectors import chosen_detectors
from steps.run_models import ATR, SIDES
from tests import users_models

PHOTOS = [entry for entry in load(DEFAULT_PATHS.catalogue).file if entry.kind == "photo"]
pytestmark = pytest.mark.skipif(
    any(state(entry, DEFAULT_PATHS.files) is not State.READY for entry in PHOTOS), reason="the photos are not fetched"
)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    repository = tmp_path / "model_repository"
    repository.mkdir()
    paths = Paths(model_repository=repository)
    monkeypatch.setattr(commands, "DEFAULT_PATHS", paths)
    return paths


def run(*words: object) -> Result:
    return CliRunner().invoke(commands.app, [str(word) for word in words])


def serving(paths: Paths) -> str:
    return ready_models(paths.model_repository, SIDES)[ATR]


def test_a_form_serves_when_it_is_chosen_and_until_its_model_is_chosen_again(paths: Paths, tmp_path: Path) -> None:
    assert run("add", "parser", users_models.bright_parser(tmp_path / "a.onnx")).exit_code == 0
    made = run("optimise", ATR, "--int8")
    assert made.exit_code == 0, made.output
    assert "of the pixels have the same label" in made.output
    assert "compared on 3 photos (those that gave its ranges" in made.output
    assert serving(paths) == ATR
    assert f"{ATR}_int8 serves instead of {ATR}" in run("use", f"{ATR}_int8").output
    assert serving(paths) == f"{ATR}_int8"
    run("optimise", ATR, "--int8")
    assert serving(paths) == f"{ATR}_int8", "made again, it stays chosen"
    assert f"{ATR} serves" in run("use", ATR).output
    assert serving(paths) == ATR


def test_a_form_of_a_replaced_model_serves_no_longer(paths: Paths, tmp_path: Path) -> None:
    run("add", "parser", users_models.bright_parser(tmp_path / "a.onnx"))
    run("optimise", ATR, "--fp16")
    run("use", f"{ATR}_fp16")
    assert f"{ATR}_fp16" not in run("verify", f"{ATR}_fp16").output
    run("add", "parser", users_models.bright_parser(tmp_path / "b.onnx", label=5))
    assert serving(paths) == ATR
    assert f"{ATR}_fp16: stale" in run("verify", f"{ATR}_fp16").output
    refused = run("use", f"{ATR}_fp16")
    assert refused.exit_code == 1
    assert "was made of a model that was replaced since" in refused.output


def test_a_damaged_form_serves_no_longer(paths: Paths, tmp_path: Path) -> None:
    run("add", "parser", users_models.bright_parser(tmp_path / "a.onnx"))
    run("optimise", ATR, "--fp16")
    run("use", f"{ATR}_fp16")
    paths.model(f"{ATR}_fp16").write_bytes(b"")
    assert f"{ATR}_fp16: corrupt" in run("verify", f"{ATR}_fp16").output
    assert serving(paths) == ATR
    refused = run("use", f"{ATR}_fp16")
    assert refused.exit_code == 1
    assert "is not built (it is empty)" in refused.output


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["schp_atr", "--int8"], 2, "unknown name: schp_atr"),
        (["../schp_atr", "--int8"], 2, "unknown name"),
        (["pose_landmark_full", "--int8"], 1, "is a part of ensembles, which run it by its name"),
        (["schp_atr"], 2, "give one of --int8 and --fp16"),
        (["schp_atr", "--int8", "--fp16"], 2, "give one of --int8 and --fp16"),
        (["schp_atr", "--int8", "--calibration", "nowhere"], 2, "does not exist"),
    ],
)
def test_a_wrong_wish_is_refused_and_leaves_nothing(paths: Paths, words: list[str], code: int, told: str) -> None:
    refused = run("optimise", *words)
    assert refused.exit_code == code
    assert told in " ".join(refused.output.split())
    assert list(paths.model_repository.iterdir()) == []


@pytest.mark.skipif(not DEFAULT_PATHS.model("centernet").exists(), reason="centernet is not exported")
def test_a_detector_in_eight_bits_finds_what_it_found_and_looks_when_chosen(paths: Paths) -> None:
    (paths.model_repository / "centernet").symlink_to(DEFAULT_PATHS.model_repository / "centernet")
    made = run("optimise", "centernet", "--int8")
    assert made.exit_code == 0, made.output
    assert "it finds 100.0% of 9 boxes; 100.0% of its own are right" in made.output
    assert chosen_detectors(paths.model_repository)["objects"].model == "centernet"
    run("use", "centernet_int8")
    assert chosen_detectors(paths.model_repository)["objects"].model == "centernet_int8"
