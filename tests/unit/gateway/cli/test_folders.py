import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from gateway.cli.photo_finder import MAX_DEPTH, Finder, find_or_exit, safe_or_exit
from gateway.cli.photo_paths import PHOTO_SUFFIXES, VIDEO_SUFFIXES, Layout, NamedPhoto, plan

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "photos"

    return make


def kept(found: NamedPhoto) -> str:
    return "/".join(found.path.parts[-found.parts :])


def test_files_folders_and_patterns_give_each_photo_once_in_order(tree: Tree) -> None:
    folder = tree("b.jpg", "a.PNG", "notes.txt", "deep/c.webp")
    names = [folder / "b.jpg", folder, folder / "**" / "*.webp", folder / "deep" / ".." / "b.jpg"]
    found, skipped = Finder().find(map(str, names))
    assert [one.path.name for one in found] == ["b.jpg", "a.PNG", "c.webp"]
    assert {one.path.name: one.reason for one in skipped} == {
        "notes.txt": "no photo by its name",
        "deep": "a folder; --recursive looks into it",
    }


def test_a_missing_path_is_kept_so_that_it_is_reported(tmp_path: Path) -> None:
    names = [str(tmp_path / "none.jpg"), str(tmp_path / "*.jpg")]
    found, _ = Finder().find(names)
    assert [str(one.path) for one in found] == names


def test_known_suffixes_of_photos_are_found_in_upper_and_lower_case(tree: Tree) -> None:
    names = sorted(f"{number:02}{suffix.upper()}" for number, suffix in enumerate(sorted(PHOTO_SUFFIXES)))
    found, skipped = Finder().find([str(tree(*names))])
    assert [one.path.name for one in found] == names
    assert not skipped


def test_a_skipped_file_is_reported_with_the_reason(tree: Tree, tmp_path: Path) -> None:
    folder = tree("1.jpg", "film.MOV", "._1.jpg", ".trash/2.jpg", "no_suffix", "made.jpg/inner.jpg")
    (folder / "away.jpg").symlink_to(folder / "none")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "beside.jpg").symlink_to(folder / "1.jpg")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.jpg")
    found, skipped = Finder(recursive=True).find([str(folder)])
    assert [kept(one) for one in found] == ["1.jpg", "made.jpg/inner.jpg"]
    assert {one.path.name: one.reason for one in skipped} == {
        "film.MOV": "a film; only privacy_blur takes films",
        "._1.jpg": "hidden",
        ".trash": "hidden",
        "no_suffix": "no photo by its name",
        "away.jpg": "a link to nothing",
        "loop.jpg": "a link to nothing",
        "beside.jpg": "a link; name it to have it taken",
        "up": "a link to a folder; name it to have it looked into",
        "pipe.jpg": "no file",
    }
    assert [one.path.name for one in skipped] == sorted(one.path.name for one in skipped)


@pytest.mark.parametrize("pattern", ["**/*.jpg", "*/*.jpg", "**", "*", "a/**.jpg", "*/*/*.jpg"])
def test_a_pattern_follows_no_links(tree: Tree, tmp_path: Path, pattern: str) -> None:
    folder = tree("a/1.jpg", "a/.hidden/2.jpg", "a/b/1.jpg")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "3.jpg").touch()
    (folder / "a" / "3.jpg").symlink_to(secret / "3.jpg")
    (folder / "link").symlink_to(secret)
    for name in ("round", "and"):
        (folder / "a" / name).symlink_to(folder)
    os.mkfifo(folder / "a" / "pipe.jpg")
    found, skipped = Finder().find([str(folder / pattern)])
    assert {kept(one) for one in found} <= {"1.jpg", "a/1.jpg", "b/1.jpg"}
    assert found or pattern == "*/*/*.jpg"
    assert all(one.below is not None and one.path.resolve().is_relative_to(folder) for one in found)
    assert all(re.search("link|folder", one.reason) for one in skipped if one.path.is_symlink())


def test_a_link_named_on_the_command_line_is_followed(tree: Tree, tmp_path: Path) -> None:
    folder = tree("1.jpg", "2.jpg")
    (tmp_path / "named.jpg").symlink_to(folder / "1.jpg")
    (tmp_path / "photos too").symlink_to(folder)
    found, skipped = Finder().find([str(tmp_path / "named.jpg"), str(tmp_path / "photos too"), str(tmp_path / "*.jpg")])
    assert [one.path.name for one in found] == ["named.jpg", "1.jpg", "2.jpg"]
    assert [one.below for one in found] == [None, tmp_path / "photos too", tmp_path / "photos too"]
    assert not skipped


def test_a_file_in_place_of_the_folder_for_results_ends_the_command(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree("a/1.jpg", "out")
    with pytest.raises(typer.Exit) as ended:
        safe_or_exit(plan([NamedPhoto(folder / "a" / "1.jpg")], folder / "out"))
    assert ended.value.exit_code == 2
    assert f"{folder}/out is no folder" in capsys.readouterr().err


def test_videos_are_found_only_where_their_suffixes_are_given(tree: Tree) -> None:
    found, skipped = Finder(PHOTO_SUFFIXES | VIDEO_SUFFIXES).find([str(tree("film.MOV"))])
    assert [one.path.name for one in found] == ["film.MOV"]
    assert not skipped


def test_photos_keep_their_path_below_a_named_folder_and_its_name_if_several_are_named(tree: Tree) -> None:
    folder = tree("a/1.jpg", "b/1.jpg", "b/c/1.jpg")
    finder = Finder(recursive=True)
    found, _ = finder.find([str(folder)])
    assert [kept(one) for one in found] == ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]
    found, _ = finder.find([str(folder / "a"), str(folder / "b")])
    assert [kept(one) for one in found] == ["a/1.jpg", "b/1.jpg", "b/c/1.jpg"]
    found, _ = finder.find([str(folder / "b")])
    assert [kept(one) for one in found] == ["1.jpg", "c/1.jpg"]


def test_results_of_an_earlier_run_are_skipped(tree: Tree) -> None:
    folder = tree("1.jpg", "out/1.jpg", "out/a/1.jpg")
    found, skipped = Finder(recursive=True, results=folder / "out" / ".." / "out").find([str(folder)])
    assert [kept(one) for one in found] == ["1.jpg"]
    assert [(one.path.name, one.reason) for one in skipped] == [("out", "the folder for the results")]
    found, skipped = Finder(recursive=True, results=folder).find([str(folder)])
    assert not found
    assert "name another by --output" in skipped[0].reason


def test_folders_below_the_deepest_level_are_skipped(tree: Tree) -> None:
    folder = tree("/".join(["d"] * MAX_DEPTH) + "/1.jpg", "1.jpg")
    found, skipped = Finder(recursive=True).find([str(folder)])
    assert [kept(one) for one in found] == ["1.jpg"]
    assert [one.reason for one in skipped] == [f"more than {MAX_DEPTH} folders deep"]


def test_each_skipped_file_gets_one_line_even_if_its_name_has_line_breaks(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree("1.jpg", "a\n\x1b[31m\u202e.txt", os.fsdecode(b"\xff.txt"))
    find_or_exit([str(folder)], Finder())
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert f"{folder}/a\\n\\x1b[31m\\u202e.txt: not taken: no photo by its name" in said


def test_the_command_ends_with_status_1_if_no_photo_is_found(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        find_or_exit([str(tree("notes.txt"))], Finder())
    assert ended.value.exit_code == 1
    assert "notes.txt: not taken" in capsys.readouterr().err


def test_copies_into_the_photos_own_folder_are_refused(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tree("1.jpg")
    with pytest.raises(typer.Exit) as ended:
        safe_or_exit(plan([NamedPhoto(folder / "1.jpg")], folder, Layout.MIRROR))
    assert ended.value.exit_code == 2
    assert "name another folder by --output" in capsys.readouterr().err
