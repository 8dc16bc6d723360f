"""The folders of a stack: closed to others, and refused where they may be theirs."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.embedded import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.rights import FIRST, LAST, Account
from gateway.cli.main import app

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")
STRANGER = 54_321
COMMANDS = (["up"], ["down"], ["status"], ["env"], ["logs"])


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    found = Folders(tmp_path / "home")
    found.create()
    for file in (found.secrets, found.state, found.lock, found.log("triton")):
        file.write_text("{}")
    return found


def lay(folders: Folders, trick: str) -> Path:
    """What a neighbour could have done; the path that is to be named."""
    what, _, how = trick.partition(" ")
    path = {"home": folders.home, "secrets": folders.secrets, "state": folders.state, "lock": folders.lock}.get(what)
    path = path or {"log": folders.log("triton"), "data": folders.data}[what]
    if how == "of another":
        os.chown(path, STRANGER, -1)
    elif how == "a link":
        target = path.rename(path.with_name("elsewhere"))
        path.symlink_to(target)
    else:
        path.chmod(path.stat().st_mode | {"open to all": 0o002, "open to a group": 0o020}[how])
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    "trick",
    [
        *("home open to all", "home open to a group", "secrets open to all", "secrets a link", "state a link"),
        *("lock a link", "log a link", "data open to all"),
        *(pytest.param(f"{name} of another", marks=as_root) for name in ("home", "secrets", "state", "lock", "log")),
    ],
)
def test_files_that_may_be_another_users_are_refused(folders: Folders, trick: str, command: list[str]) -> None:
    path = lay(folders, trick)
    result = CliRunner().invoke(app, command, env={"MASKWRIGHT_HOME": str(folders.home)})
    assert result.exit_code == 1, result.output
    assert str(path) in result.output.replace("\n", "")
    assert path.exists()


@as_root
def test_a_home_folder_that_is_another_users_link_is_refused(folders: Folders) -> None:
    link = folders.home.with_name("link")
    link.symlink_to(folders.home)
    assert Folders.at(link).home == folders.home
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    with pytest.raises(StackError, match=f"link that user {STRANGER} made"):
        Folders.at(link)


def test_a_kubernetes_volume_that_the_pods_group_can_write_is_accepted(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.home.chmod(0o2770)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(os, "getgroups", lambda: [folders.home.stat().st_gid])
    folders.create()
    assert folders.home.stat().st_mode & 0o027 == 0


def test_folders_left_open_by_an_earlier_version_are_closed(folders: Folders) -> None:
    for path in (folders.home, folders.logs, folders.data):
        path.chmod(0o755)
    for path in (folders.log("triton"), folders.state, folders.secrets):
        path.chmod(0o644)
    folders.create()
    assert [path.stat().st_mode & 0o007 for path in (folders.home, *folders.home.rglob("*"))].count(0) > 8
    assert {path.stat().st_mode & 0o077 for path in (folders.log("triton"), folders.state, folders.secrets)} == {0}


@as_root
def test_an_earlier_versions_data_get_the_servers_user_and_other_users_files_do_not(tmp_path: Path) -> None:
    folder, stranger, elsewhere = tmp_path / "data", tmp_path / "data" / "laid", tmp_path / "elsewhere"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "1").touch()
    stranger.touch()
    elsewhere.touch()
    (folder / "link").symlink_to(elsewhere)
    (folder / "other name").hardlink_to(elsewhere)
    for path in (folder, folder / "base", folder / "base" / "1", elsewhere):
        os.chown(path, 65_534, 65_534)
    os.chown(stranger, STRANGER, STRANGER)
    folder.chmod(0o755)
    Account(FIRST, FIRST).own(folder)
    owners = {path.name: path.lstat().st_uid for path in (folder, *folder.rglob("*"), elsewhere)}
    assert owners == {
        **dict.fromkeys(("data", "base", "1"), FIRST),
        "laid": STRANGER,
        "link": 0,
        "other name": 65_534,
        "elsewhere": 65_534,
    }
    assert folder.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_moved_home_folder_keeps_its_user_numbers(folders: Folders, tmp_path: Path) -> None:
    servers, decoder = folders.servers, folders.decoder
    assert FIRST <= servers.uid < decoder.uid <= LAST
    moved = Folders(folders.home.rename(tmp_path / "moved"))
    moved.create()
    assert (moved.servers, moved.decoder) == (servers, decoder)
    other = Folders(tmp_path / "other")
    other.create()
    assert not {servers.uid, decoder.uid} & {other.servers.uid, other.decoder.uid}
