from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from exporters import commands
from exporters.commands import app
from tests.integration.exporters.conftest import FileServer, Shelf

Run = Callable[..., Result]


@pytest.fixture
def run(shelf: Shelf, file_server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    shelf.add("file.bin", file_server.content, f'{{ type = "url", url = "{file_server.url}" }}')
    monkeypatch.setattr(commands, "DEFAULT_PATHS", shelf.paths)
    return lambda *words: CliRunner().invoke(app, words)


def test_fetch_then_verify_then_damage(run: Run, shelf: Shelf) -> None:
    assert run("verify", "file.bin").exit_code == 1
    assert run("fetch").exit_code == 0
    assert run("verify", "file.bin").exit_code == 0
    (shelf.paths.files / "file.bin").write_bytes(b"damaged")
    damaged = run("verify", "file.bin")
    assert damaged.exit_code == 1
    assert "file.bin: corrupt" in damaged.output


def test_list_shows_the_state(run: Run) -> None:
    assert "missing" in run("list").output


@pytest.mark.parametrize("command", ["fetch", "export", "verify"])
def test_an_unknown_name_exits_2_and_lists_the_known_ones(run: Run, command: str) -> None:
    result = run(command, "nonsense")
    assert result.exit_code == 2
    assert "unknown name: nonsense; known names: " in result.output
