import re
from pathlib import Path

import pytest

from gateway.cli.photo_paths import Layout, NamedPhoto, PhotoFile
from gateway.cli.safe_files import Results
from gateway.cli.sender import Outcome, print_summary, video_progress

NAME = "[red]car[/b].jpg"


def photo(source: str, name: str, layout: Layout = Layout.FOLDERS) -> PhotoFile:
    return PhotoFile(NamedPhoto(Path(source)), Results(Path("out")), Path(name), layout)


def test_names_with_markup_are_shown_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([Outcome(photo(NAME, "out[/i]"))])
    shown = capsys.readouterr().out
    assert NAME in shown
    assert "out[/i]" in shown


def test_line_breaks_and_terminal_codes_in_a_name_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([Outcome(photo("a\n\x1b[31mb.jpg", "out"))])
    assert "a\\n\\x1b[31mb.jpg" in capsys.readouterr().out


def test_a_mirror_prints_the_path_of_the_copy(capsys: pytest.CaptureFixture[str]) -> None:
    copied = photo("1.heic", "1", Layout.MIRROR)
    print_summary([Outcome(copied, (Path("out", "1.jpg"), Path("out", "1.blur.json")))])
    assert str(Path("out", "1.jpg")) in capsys.readouterr().out


def test_a_videos_name_is_shown_as_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    with video_progress(NAME) as told:
        told("hiding", 1, 2)
    assert f"{NAME}: hiding" in capsys.readouterr().err


def test_progress_bar_shows_frames_done_frames_in_all_and_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with video_progress("film") as told:
        for done in range(1, 8):
            told("finding", done, 9)
    assert re.search(r"film: finding .* 7/9 [0-9.]+ frames/s \d+:\d\d:\d\d", capsys.readouterr().err)


def test_the_summary_has_the_result_of_each_photo_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    one, two, bad = (photo(f"{name}.jpg", name) for name in ("one", "two", "bad"))
    first, second = Path("a"), Path("b")
    print_summary([Outcome(one, (first,)), Outcome(two, (first, second)), Outcome(bad, code="image_empty")])
    shown = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    assert cells == [
        ["one.jpg", "1 file", str(Path("out", "one"))],
        ["two.jpg", "2 files", str(Path("out", "two"))],
        ["bad.jpg", "image_empty", ""],
    ]
    assert "2 of 3 photos done, 1 failed" in shown
