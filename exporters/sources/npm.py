"""Files inside a package of the npm registry, through the user's own npm."""

import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import BaseModel, ConfigDict

from exporters.errors import FetchError
from exporters.listener import Listener
from exporters.sources.process import run


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

    def retrieve(self, targets: Mapping[str, Path], listener: Listener) -> None:
        """Write each member of `targets` to its path; raises FetchError, also where npm is not installed."""
        npm = shutil.which("npm")
        if npm is None:
            raise FetchError(f"npm is not installed, and {self.archive} is an npm package")
        listener.started(self.archive, None)
        try:
            with TemporaryDirectory(prefix="maskwright-npm-") as folder:
                run([npm, "pack", "--silent", self.archive], Path(folder), os.environ)
                (tarball,) = Path(folder).glob("*.tgz")
                _extract(tarball, targets)
        finally:
            listener.finished(self.archive)


def _extract(tarball: Path, targets: Mapping[str, Path]) -> None:
    with tarfile.open(tarball) as archive:
        absent = set(targets).difference(archive.getnames())
        if absent:
            raise FetchError(f"{tarball.name} has no {', '.join(sorted(absent))}")
        for member, path in targets.items():
            source = archive.extractfile(member)
            if source is None:
                raise FetchError(f"{member} in {tarball.name} is not a file")
            with source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
