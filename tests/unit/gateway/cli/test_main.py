import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import COMMANDS, LazyCommand, app

OWN = [command for command in COMMANDS if command.target.startswith("gateway.")]


@pytest.mark.parametrize("command", OWN, ids=lambda command: command.name)
def test_every_command_loads_and_shows_its_help(command: LazyCommand) -> None:
    result = CliRunner().invoke(app, [command.name, "--help"])
    assert result.exit_code == 0
    assert f"maskwright {command.name}" in result.output


def test_help_lists_all_commands() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert all(command.name in result.output for command in COMMANDS)


def test_a_missing_gateway_ends_a_command_with_how_to_start_one(tmp_path: object) -> None:
    arguments = ["run", "body_masks", "x.jpg", "-o", str(tmp_path), "--url", "http://127.0.0.1:1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "maskwright up" in result.output


@pytest.mark.parametrize("url", ["http://xn--a/", "http://xn--ls8h.la/", "http://①.test/", "http://a:9999999999/"])
def test_an_invalid_url_ends_a_command_with_an_example_of_a_valid_one(url: str) -> None:
    result = CliRunner().invoke(app, ["jobs", "list", "--url", url])
    assert result.exit_code in {1, 2}
    assert isinstance(result.exception, SystemExit)
    assert url in result.output


def test_videos_without_their_package_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.cli.videos", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setitem(sys.modules, "av.error", None)
    (tmp_path / "film.mp4").touch()
    ended = CliRunner().invoke(app, ["run", "privacy_blur", str(tmp_path / "film.mp4"), "-o", str(tmp_path / "out")])
    assert ended.exit_code == 1
    assert "pip install 'maskwright[video]'" in ended.output
    assert "package_missing" in ended.output


@pytest.mark.parametrize("option", [["-F", "colors=@{}"], ["-F", "\x1b[31m=@{}"]])
def test_a_missing_file_of_a_field_is_reported_in_printable_text(option: list[str], tmp_path: Path) -> None:
    missing = tmp_path / "\x1b]0;owned\x07"
    result = CliRunner().invoke(app, ["submit", "photo.jpg", *(part.format(missing) for part in option)])
    assert result.exit_code == 2
    assert "No such file" in result.output
    assert not {"\x1b", "\x07"} & set(result.output)


def test_a_file_of_landmarks_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.safe_files.MOST_BYTES", 2**20)
    photo, landmarks = tmp_path / "face.jpg", tmp_path / "points.json"
    photo.touch()
    landmarks.write_bytes(bytes(2**20 + 1))
    arguments = ["run", "face_contours", str(photo), "-o", str(tmp_path / "out"), "--landmarks", str(landmarks)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--landmarks" in result.output
    assert "Larger than 1 MiB" in result.output
