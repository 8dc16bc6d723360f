"""`maskwright run` against the running stack."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app

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
