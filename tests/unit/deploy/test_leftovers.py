from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.launcher import clear_away, only_launcher
from deploy.embedded.triton_wheel import plain_folder


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    found = Folders(tmp_path / "mein Ordner ü")
    found.create()
    return found


def test_files_of_a_killed_launcher_outside_its_folder_are_removed(folders: Folders) -> None:
    with only_launcher(folders):
        left = plain_folder(folders.home)
    clear_away(folders)
    assert not left.exists()


def test_files_used_by_a_running_launcher_are_left_alone(folders: Folders) -> None:
    with only_launcher(folders):
        used = plain_folder(folders.home)
        with pytest.raises(StackError, match="another stack runs in"):
            clear_away(folders)
        assert used.exists()
    clear_away(folders)


def test_a_folder_without_a_stack_is_not_changed(tmp_path: Path) -> None:
    clear_away(Folders(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []
