"""`maskwright run` against the running stack."""

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from vision.photo import inspect

pytestmark = pytest.mark.stack


def test_photos_are_done_and_a_bad_one_is_reported(gateway_url: str, astronaut: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(os.urandom(64))
    arguments = ["run", "body_masks", str(astronaut), str(bad), "-o", str(tmp_path / "out"), "--url", gateway_url]
    result = CliRunner().invoke(app, [*arguments, "--mask-types", "upper_body,dress", "--include", "overlay"])
    assert result.exit_code == 1
    assert "image_unsupported" in result.output
    written = sorted(path.name for path in (tmp_path / "out" / astronaut.stem).iterdir())
    assert written == ["dress_mask.png", "overlay.jpg", "upper_body_mask.png"]
    assert not (tmp_path / "out" / "bad").exists()


def test_success_is_exit_code_zero(gateway_url: str, astronaut: Path, tmp_path: Path) -> None:
    arguments = ["run", "body_masks", str(astronaut), "-o", str(tmp_path), "--person", "all", "--url", gateway_url]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert (tmp_path / astronaut.stem / "person_0" / "dress_mask.png").is_file()


def test_copies_of_a_folder_are_its_mirror(gateway_url: str, astronaut: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "photos" / "out"
    for folder in ("a", "b"):
        (photos / folder).mkdir(parents=True)
        shutil.copy(astronaut, photos / folder / "1.PNG")
    (photos / "notes.txt").touch()
    arguments = ["run", "privacy_blur", str(photos), "-r", "-o", str(out), "--url", gateway_url, "--hide", "faces"]
    arguments += ["--include", "detections", "--format", "jpeg"]
    for _ in range(2):  # the second run takes nothing that the first one made
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert f"{photos}/notes.txt: not taken: no photo by its name" in result.stderr
        written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        assert written == ["a/1.detections.json", "a/1.jpg", "b/1.detections.json", "b/1.jpg"]
    assert inspect((out / "a" / "1.jpg").read_bytes()).format == "jpeg"


def test_copies_are_never_written_over_the_photos(gateway_url: str, astronaut: Path, tmp_path: Path) -> None:
    photo = shutil.copy(astronaut, tmp_path / "1.png")
    before = photo.read_bytes()
    arguments = ["run", "privacy_blur", str(tmp_path), "-o", str(tmp_path), "--url", gateway_url]
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert photo.read_bytes() == before
    assert list(tmp_path.iterdir()) == [photo]
