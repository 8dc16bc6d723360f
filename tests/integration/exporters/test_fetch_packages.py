import shutil
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exporters import commands
from exporters.downloads import Listener
from exporters.errors import FetchError
from exporters.fetch import fetch_all
from tests.integration.exporters.conftest import Shelf

METADATA = "Metadata-Version: 2.1\nName: tinypack\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip looks for wheels in, and in nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tinypack-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinypack/a.bin", b"first")
        wheel.writestr("tinypack/b.bin", b"second")
        wheel.writestr("tinypack-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("tinypack-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("tinypack-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel_source(member: str, version: str = "1.0") -> str:
    tags = 'python = "3.11", platform = "manylinux_2_28_x86_64"'
    return f'{{ type = "wheel", package = "tinypack", version = "{version}", {tags}, member = "{member}" }}'


class Tasks(Listener):
    """A listener that keeps the names of the tasks."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, task: str, total: int | None) -> None:  # noqa: ARG002 - the listener's signature
        self.names.append(task)


@pytest.mark.usefixtures("wheels")
def test_two_members_of_a_wheel_take_one_download(shelf: Shelf) -> None:
    shelf.add("a.bin", b"first", wheel_source("tinypack/a.bin"))
    shelf.add("b.bin", b"second", wheel_source("tinypack/b.bin"))
    tasks = Tasks()
    fetch_all(paths=shelf.paths, listener=tasks)
    assert (shelf.content("a.bin"), shelf.content("b.bin")) == (b"first", b"second")
    assert len(tasks.names) == 1
    assert shelf.names == ["a.bin", "b.bin"]


@pytest.mark.usefixtures("wheels")
def test_a_member_missing_from_the_wheel_is_named(shelf: Shelf) -> None:
    shelf.add("c.bin", b"third", wheel_source("tinypack/c.bin"))
    with pytest.raises(FetchError, match=r"tinypack-1\.0-py3-none-any\.whl has no tinypack/c\.bin"):
        fetch_all(paths=shelf.paths)
    assert shelf.names == []


@pytest.mark.usefixtures("wheels")
def test_a_missing_version_is_reported_in_pips_own_words(shelf: Shelf) -> None:
    shelf.add("a.bin", b"first", wheel_source("tinypack/a.bin", version="9.9"))
    with pytest.raises(FetchError, match=r"No matching distribution found for tinypack==9\.9"):
        fetch_all(paths=shelf.paths)


@pytest.fixture
def npm_package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "tinypack", "version": "1.0.0"}')
    (folder / "a.bin").write_bytes(b"first")
    return folder


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_member_of_an_npm_package(shelf: Shelf, npm_package: Path) -> None:
    version = f"file:{npm_package}"
    source = f'{{ type = "npm", package = "tinypack", version = "{version}", member = "package/a.bin" }}'
    shelf.add("a.bin", b"first", source)
    fetch_all(paths=shelf.paths)
    assert shelf.content("a.bin") == b"first"
    assert shelf.names == ["a.bin"]


def test_without_npm_the_file_stays_missing_and_the_error_says_why(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = '{ type = "npm", package = "tinypack", version = "1.0.0", member = "package/a.bin" }'
    shelf.add("a.bin", b"first", source)
    with pytest.raises(FetchError, match="npm is not installed"):
        fetch_all(["a.bin"], paths=shelf.paths)
    assert shelf.names == []


@pytest.mark.usefixtures("wheels")
def test_without_npm_the_rest_is_fetched_and_the_command_says_what_is_missing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shelf.add("a.bin", b"first", wheel_source("tinypack/a.bin"))
    npm = '{ type = "npm", package = "tinypack", version = "1.0.0", member = "package/b.bin" }'
    shelf.add("b.bin", b"second", npm)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(commands, "DEFAULT_PATHS", shelf.paths)
    fetched = CliRunner().invoke(commands.app, ["fetch"])
    assert fetched.exit_code == 0
    assert "b.bin: missing, as npm is not installed" in fetched.output
    assert shelf.names == ["a.bin"]
    assert CliRunner().invoke(commands.app, ["verify"]).exit_code == 0
    assert CliRunner().invoke(commands.app, ["verify", "b.bin"]).exit_code == 1


@pytest.mark.usefixtures("wheels")
def test_an_unusable_proxy_is_named_in_the_download_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks4://proxy:1")
    shelf.add("a.bin", b"first", wheel_source("tinypack/a.bin", version="2.0"))
    with pytest.raises(FetchError, match=r"https_proxy=socks4://proxy:1: .* would be right"):
        fetch_all(paths=shelf.paths)


@pytest.mark.usefixtures("wheels")
def test_pip_is_set_up_as_for_the_environment(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nrequire-hashes = true\nconstraint = /nowhere/constraints.txt\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    shelf.add("a.bin", b"first", wheel_source("tinypack/a.bin"))
    fetch_all(paths=shelf.paths)
    assert shelf.content("a.bin") == b"first"
