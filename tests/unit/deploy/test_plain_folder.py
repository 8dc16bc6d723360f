import os
import stat
import subprocess
from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.triton_wheel import (
    keeping_from_sweeps,
    plain_folder,
    put_link,
    remove_plain_folder,
    shared_folder,
)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    home = tmp_path / "mein Ordner ü"
    home.mkdir()
    return home


def test_a_home_with_a_plain_path_contains_the_plain_folder(tmp_path: Path) -> None:
    assert plain_folder(tmp_path) == tmp_path / "plain"


@pytest.mark.parametrize(
    "name", ["a b", "é", "a$b", "a;b", "a'b", 'a"b', "a\nb", "a:b", "a\\b", "*", "~", "(a)", "a#b"]
)
def test_home_with_an_odd_path_gets_a_private_folder_with_a_plain_path(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    home.mkdir()
    folder = plain_folder(home)
    assert not set(str(folder)) - set("/-_.+0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    remove_plain_folder(home)
    assert not folder.exists()
    assert list(home.iterdir()) == []


def test_the_next_start_finds_the_same_folder(odd: Path) -> None:
    assert plain_folder(odd) == plain_folder(odd)
    remove_plain_folder(odd)


@pytest.mark.parametrize("trick", ["open to others", "a file", "a link", "of another home"])
def test_folder_that_was_not_made_for_this_home_is_left_alone(odd: Path, tmp_path: Path, trick: str) -> None:
    laid = tmp_path / "laid"
    (laid if trick != "a link" else tmp_path / "elsewhere").mkdir(mode=0o700)
    if trick == "open to others":
        (laid / "home").symlink_to(odd)
        laid.chmod(0o755)
    elif trick == "a file":
        laid.rmdir()
        laid.touch(mode=0o700)
    elif trick == "a link":
        (tmp_path / "elsewhere" / "home").symlink_to(odd)
        laid.symlink_to(tmp_path / "elsewhere")
    else:
        (laid / "home").symlink_to(tmp_path)
    (odd / "plain").symlink_to(laid)
    assert plain_folder(odd) != laid
    remove_plain_folder(odd)
    assert laid.exists()


def test_a_folder_where_other_users_could_rename_ours_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert shared_folder() != tmp_path
    tmp_path.chmod(0o1777)
    assert shared_folder() == tmp_path


def test_a_temporary_folder_with_an_odd_path_is_skipped(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(odd))
    assert shared_folder() == Path("/var/tmp")


def test_a_used_folder_is_locked_against_cleaners_of_temporary_files(tmp_path: Path) -> None:
    sweep = ["flock", "--exclusive", "--nonblock", str(tmp_path), "true"]
    with keeping_from_sweeps(tmp_path):
        assert subprocess.run(sweep, check=False).returncode == 1
    assert subprocess.run(sweep, check=False).returncode == 0


def test_without_a_safe_folder_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StackError, match="set TMPDIR to one with a plain path, or move Maskwright"):
        shared_folder()


def test_put_link_changes_an_existing_link(tmp_path: Path) -> None:
    for target in (tmp_path / "one", tmp_path / "two"):
        put_link(tmp_path / "link", target)
        assert (tmp_path / "link").readlink() == target
