"""Files inside a wheel of the Python package index, through the user's own pip."""

import stat
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import BaseModel, ConfigDict

from deploy.machine.environment import pip_environment
from exporters.errors import FetchError
from exporters.listener import Listener
from exporters.sources.part import Part
from exporters.sources.process import download


class WheelSource(BaseModel):
    """One member of one wheel: the tags are fixed, so that every machine gets the same wheel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["wheel"]
    package: str
    version: str
    python: str
    platform: str
    member: str

    @property
    def archive(self) -> str:
        """What is downloaded once for all its members."""
        return f"{self.package}=={self.version} (cp{self.python.replace('.', '')}, {self.platform})"

    @property
    def obstacle(self) -> None:
        """Nothing: pip is part of the environment."""

    def retrieve(self, targets: Mapping[str, Part], listener: Listener) -> None:
        """Write each member of `targets` to its path; raises FetchError."""
        listener.started(self.archive, None)
        try:
            with TemporaryDirectory(prefix="maskwright-wheel-") as folder:
                _extract(download(self._command(), Path(folder), pip_environment(), "*.whl"), targets)
        finally:
            listener.finished(self.archive)

    def _command(self) -> list[str]:
        python = self.python.replace(".", "")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        tags = ["--platform", self.platform, "--python-version", self.python]
        abi = ["--implementation", "cp", "--abi", f"cp{python}"]
        return [*pip, *tags, *abi, f"{self.package}=={self.version}"]


def _extract(wheel: Path, targets: Mapping[str, Part]) -> None:
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
