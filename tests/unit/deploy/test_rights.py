"""As whom a server would run, and with which capabilities; what is said where it cannot be limited."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import landlock, rights
from deploy.embedded.rights import FIRST, Account, Rights

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as another user")
OTHER = Account(FIRST, FIRST)


@pytest.fixture
def tree() -> Iterator[Path]:
    """A folder that all users may read, below two that all may enter."""
    top = Path(tempfile.mkdtemp(prefix="maskwright-test-", dir="/var/tmp"))
    inner = top / "between" / "tree" / "package"
    inner.mkdir(parents=True)
    for path in (top, *top.rglob("*")):
        path.chmod(0o755)
    (inner / "code.py").touch(mode=0o644)
    (inner / "program").touch(mode=0o755)
    yield inner.parent
    shutil.rmtree(top)


def capabilities(tree: Path) -> list[str]:
    return list(Rights(OTHER, [tree / "package" / "program"], read=[tree], write=[tree]).capabilities())


@as_root
def test_a_server_that_can_read_all_its_files_gets_no_capability(tree: Path) -> None:
    assert capabilities(tree) == []


@as_root
@pytest.mark.parametrize("closed", ["..", "../..", ".", "package", "package/code.py"])
def test_a_closed_folder_or_file_needs_the_least_capability(tree: Path, closed: str) -> None:
    path = (tree / closed).resolve()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode & 0o700)
    try:
        assert capabilities(tree) == ["dac_read_search"]
    finally:
        path.chmod(mode)


@as_root
def test_program_that_only_root_may_run_needs_dac_override(tree: Path) -> None:
    (tree / "package" / "program").chmod(0o700)
    assert capabilities(tree) == ["dac_override"]


@as_root
def test_dac_override_is_used_if_dac_read_search_is_missing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "has_capability", lambda capability: capability == "dac_override")
    tree.chmod(0o700)
    assert capabilities(tree) == ["dac_override"]


@as_root
def test_server_starts_without_landlock_and_says_what_is_not_limited(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    open_, closed = Rights(OTHER, [], read=[tree]), Rights(OTHER, [], read=[tree], always_confined=True)
    assert open_.faults() == []
    (fault,) = closed.faults()
    assert "no Landlock, which came with Linux 5.13" in fault
    assert closed.command(["true"])[-2:] == ["--", "true"]


@as_root
def test_root_that_cannot_drop_its_rights_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "can_drop", lambda: False)
    user = rights.servers_of(tmp_path)
    assert user == Account(0, os.getegid())
    (fault,) = Rights(user, []).faults()
    assert fault.startswith("it runs as root")
    assert str(rights._PROGRAM) in Rights(user, []).command(["true"]), "its files are limited all the same"


LIFE = """
import sys
from pathlib import Path
from deploy.embedded.folders import Folders
folders = Folders(Path(sys.argv[1]))
for _ in range(2):
    folders.create()
print(folders.servers.is_other)
"""


@as_root
@pytest.mark.parametrize("lacking", ["", "dac_override", "fowner"])
def test_root_drops_its_rights_only_with_all_the_needed_capabilities(tmp_path: Path, lacking: str) -> None:
    held = ",".join(f"+{name}" for name in rights.NEEDED if name != lacking)
    container = ["setpriv", f"--bounding-set=-all,{held}", "--inh-caps=-all", "--"]
    command = [*container, sys.executable, "-c", LIFE, str(tmp_path / "home")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == (f"{not lacking}\n", "")


def test_an_ordinary_user_starts_servers_as_itself_without_new_rights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    rights.can_drop.cache_clear()
    user = rights.servers_of(tmp_path)
    assert (user.uid, rights.triton_of(tmp_path)) == (1000, user)
    assert Rights(user, [], ports=[80]).command(["true"]) == ["setpriv", "--no-new-privs", "--", "true"]
    monkeypatch.undo()
    rights.can_drop.cache_clear()


ATTEMPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import landlock
landlock.abi = lambda: int(sys.argv[3])
landlock.confine(json.loads(sys.argv[2]))
for path, mode in (("read", "rb"), ("read", "wb"), ("write", "wb"), ("other", "rb"), ("other", "wb"), ("gone", "rb")):
    try:
        open(path, mode).close()
        print(path, mode)
    except (PermissionError, FileNotFoundError):
        pass
"""


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
@pytest.mark.parametrize("version", [1, 2, 3, 5, 6])
def test_a_confined_program_reaches_only_the_paths_in_its_rules(tmp_path: Path, version: int) -> None:
    if version > landlock.abi():
        pytest.skip(f"this kernel has version {landlock.abi()}")
    for name in ("read", "write", "other"):
        (tmp_path / name).touch()
    python = [sys.base_prefix, "/usr/lib", "/lib", "/lib64"]
    rules = {"read": [*python, str(tmp_path / "read"), "/nowhere"], "write": [str(tmp_path / "write")]}
    folder = str(Path(landlock.__file__).parent)
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ATTEMPT, folder, json.dumps(rules), str(version)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines() == ["read rb", "write wb"]
