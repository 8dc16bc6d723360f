"""Files of the wrong kind are refused by name, quickly, and nothing of them is run or left."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS
from tests.integration.exporters.wrong_files import WRONG, Maker

SECONDS = 5


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
