from pathlib import Path

import pytest

from gateway.cli.photos import PhotoFile
from gateway.cli.report import print_summary, video_progress
from gateway.cli.sender import Outcome

NAME = "[red]car[/b].jpg"


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([Outcome(PhotoFile(Path(NAME), Path("out[/i]")))])
    shown = capsys.readouterr().out
    assert NAME in shown
    assert "out[/i]" in shown


def test_a_videos_name_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with video_progress(NAME) as told:
        told(1, 2)
    assert f"{NAME}: hiding" in capsys.readouterr().err
