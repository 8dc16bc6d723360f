"""Files inside a package of the npm registry, through the user's own npm."""

import gzip
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import BaseModel, ConfigDict

from exporters.errors import FetchError
from exporters.listener import Listener
from exporters.sources.part import Part
from exporters.sources.process import LARGEST_ARCHIVE, download

_SIP = 1 << 22
"""Bytes."""


class NpmSource(BaseModel):
    """One member of one npm package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["npm"]
    package: str
    version: str
    member: str

    @property
    def archive(self) -> str:
        """What is downloaded once for all its members."""
        return f"{self.package}@{self.version}"

    @property
    def obstacle(self) -> str | None:
        """Why this machine cannot fetch from here, if so."""
        return None if shutil.which("npm") else "npm is not installed"

    def retrieve(self, targets: Mapping[str, Part], listener: Listener) -> None:
        """Write each member of `targets` to its path; raises FetchError, also where npm is not installed."""
        npm = shutil.which("npm")
        if npm is None:
            raise FetchError(f"npm is not installed, and {self.archive} is an npm package")
        listener.started(self.archive, None)
        try:
            with TemporaryDirectory(prefix="maskwright-npm-") as folder:
                command = [npm, "pack", "--silent", "--ignore-scripts", self.archive]
                _extract(download(command, Path(folder), os.environ, "*.tgz"), targets)
        finally:
            listener.finished(self.archive)


class _Sips(gzip.GzipFile):
    """Gives so much at once as our members are read by: tarfile takes a header whole, as long as it says it is."""

    def read(self, size: int | None = -1) -> bytes:
        """As of any file. Raises tarfile.ReadError where that is much."""
        if size is None or not 0 <= size <= _SIP:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _extract(tarball: Path, targets: Mapping[str, Part]) -> None:
    """Only the content of members is used, never their names as paths. Raises FetchError."""
    absent = set(targets)
    try:
        with _Sips(tarball) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as archive:
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
    """A link would lead to another member, a device to one of this machine."""
    source = archive.extractfile(member) if member.isreg() else None
    if source is None:
        raise FetchError(f"{member.name} in {tarball} is not a file")
    with source:
        part.fill(source)
