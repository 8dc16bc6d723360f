"""Files of the wrong kind are refused by name, quickly, and nothing of them is run or left."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS
from tests.integration.exporters.wrong_files import SCHP, WRONG, Maker, checkpoint

SECONDS = 5


def test_a_right_file_without_torch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    monkeypatch.setattr(commands, "DEFAULT_PATHS", replace(DEFAULT_PATHS, model_repository=tmp_path / "repository"))
    checkpoint(fushion__3__weight=(18, 4, 1, 1), **SCHP)(file := tmp_path / "exp-schp-201908301523-atr.pth")
    result = CliRunner().invoke(commands.app, ["add", "parser", str(file)])
    assert result.exit_code == 1
    assert f"{file} is SCHP's parser of ATR, and its model is made with torch and onnxscript" in result.output
    assert "-m pip install torch onnxscript" in result.output
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(("kind", "make", "told"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_file_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, make: Maker, told: str
) -> None:
    repository = tmp_path / "model_repository"
    repository.mkdir()
    monkeypatch.setattr(commands, "DEFAULT_PATHS", replace(DEFAULT_PATHS, model_repository=repository))
    monkeypatch.chdir(repository)
    make(file := tmp_path / "my.pth")
    started = time.monotonic()
    result = CliRunner().invoke(commands.app, ["add", kind, str(file)])
    assert time.monotonic() - started < SECONDS
    assert result.exit_code == 1, result.output
    assert told in result.output
    assert f"`models add {kind}` takes " in result.output
    assert len(result.output.splitlines()) == 1
    assert list(repository.iterdir()) == []
