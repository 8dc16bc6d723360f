"""Files inside packages of the Python package index and of npm, through the user's own pip and npm."""

import gzip
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from typing_extensions import override

from deploy.machine.environment import pip_environment
from exporters.downloads import FileSource, Listener, Part
from exporters.errors import FetchError
from gateway.hosts import proxy_faults

LARGEST_ARCHIVE = 1 << 30
"""Largest file that a package manager may write, and largest unpacked content, in bytes."""
_TAIL_LINES = 5
_LARGEST_READ = 1 << 22
"""Bytes."""


class WheelSource(FileSource):
    """One member of one wheel. The tags are fixed, so that every machine gets the same wheel."""

    type: Literal["wheel"]
    package: str
    version: str
    python: str
    platform: str
    member: str

    @property
    def archive(self) -> str:
        """The package in this version."""
        return f"{self.package}=={self.version} (cp{self.python.replace('.', '')}, {self.platform})"

    def retrieve(self, targets: Mapping[str, Part], listener: Listener) -> None:
        """Write each member of `targets` to its path. Raises FetchError."""
        with listener.watching(self.archive), TemporaryDirectory(prefix="maskwright-wheel-") as folder:
            _unpack_wheel(download(self._command(), Path(folder), pip_environment(), "*.whl"), targets)

    def _command(self) -> list[str]:
        python = self.python.replace(".", "")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        tags = ["--platform", self.platform, "--python-version", self.python]
        abi = ["--implementation", "cp", "--abi", f"cp{python}"]
        return [*pip, *tags, *abi, f"{self.package}=={self.version}"]


def _unpack_wheel(wheel: Path, targets: Mapping[str, Part]) -> None:
    """Only the content of members is used, never their names as paths. Raises FetchError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            absent = set(targets).difference(archive.namelist())
            if absent:
                raise FetchError(f"{wheel.name} has no {', '.join(sorted(absent))}")
            for member, part in targets.items():
                if stat.S_IFMT(archive.getinfo(member).external_attr >> 16) not in {0, stat.S_IFREG}:
                    raise FetchError(f"{member} in {wheel.name} is not a file")
                with archive.open(member) as source:
                    part.fill(source)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FetchError(f"{wheel.name} cannot be unpacked: {error}") from error


class NpmSource(FileSource):
    """One member of one npm package."""

    type: Literal["npm"]
    package: str
    version: str
    member: str

    @property
    def archive(self) -> str:
        """The package in this version."""
        return f"{self.package}@{self.version}"

    @property
    @override
    def obstacle(self) -> str | None:
        return None if shutil.which("npm") else "npm is not installed"

    def retrieve(self, targets: Mapping[str, Part], listener: Listener) -> None:
        """Write each member of `targets` to its path. Raises FetchError, also if npm is not installed."""
        npm = shutil.which("npm")
        if npm is None:
            raise FetchError(f"npm is not installed, and {self.archive} is an npm package")
        with listener.watching(self.archive), TemporaryDirectory(prefix="maskwright-npm-") as folder:
            command = [npm, "pack", "--silent", "--ignore-scripts", self.archive]
            _unpack_tarball(download(command, Path(folder), os.environ, "*.tgz"), targets)


def _unpack_tarball(tarball: Path, targets: Mapping[str, Part]) -> None:
    """Only the content of members is used, never their names as paths. Raises FetchError."""
    absent = set(targets)
    try:
        with _SmallReads(tarball) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
            while absent and (member := archive.next()) is not None:
                if member.size < 0 or member.offset_data + member.size > LARGEST_ARCHIVE:
                    raise FetchError(f"{tarball.name} holds more than {LARGEST_ARCHIVE} bytes")
                if member.name in absent:
                    _fill(tarball.name, archive, member, targets[member.name])
                    absent.remove(member.name)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FetchError(f"{tarball.name} cannot be unpacked: {error}") from error
    if absent:
        raise FetchError(f"{tarball.name} has no {', '.join(sorted(absent))}")


def _fill(tarball: str, archive: tarfile.TarFile, member: tarfile.TarInfo, part: Part) -> None:
    """Only regular files: a link would lead to another member, a device to one of this machine."""
    source = archive.extractfile(member) if member.isreg() else None
    if source is None:
        raise FetchError(f"{member.name} in {tarball} is not a file")
    with source:
        part.fill(source)


class _SmallReads(gzip.GzipFile):
    """Allows only small reads. tarfile reads a header at once, however long it claims to be."""

    @override
    def read(self, size: int | None = -1) -> bytes:
        """Raises tarfile.ReadError if more is requested."""
        if size is None or not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def download(command: Sequence[str], folder: Path, variables: Mapping[str, str], pattern: str) -> Path:
    """Run `command` in `folder` with these variables. Returns the one file of this pattern that it leaves there.

    It uses the proxy of the environment by itself. If the proxy has an unusable form, the error says so. Raises
    FetchError with the end of the command's output if it fails, also if a file grows above `LARGEST_ARCHIVE` bytes.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=_with_home(variables, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (LARGEST_ARCHIVE, LARGEST_ARCHIVE))
        printed, _ = process.communicate()
    if process.returncode:
        tail = "\n".join([*printed.strip().splitlines()[-_TAIL_LINES:], *proxy_faults()])
        raise FetchError(f"{' '.join(command)} failed with exit code {process.returncode}:\n{tail}")
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise FetchError(f"{' '.join(command)} left {len(files)} files {pattern}, where one was expected")
    return files[0]


def _with_home(variables: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """A user without a writable home folder, as in containers, gets `folder` for the caches."""
    if os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - Path.expanduser raises where there is none
        return variables
    return {**variables, "HOME": str(folder)}
