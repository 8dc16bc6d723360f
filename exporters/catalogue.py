"""The catalogue of checkpoints and photos that can be fetched, and the places of them and of the built models."""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exporters.downloads import UrlSource
from exporters.errors import CatalogueError, UnknownNameError
from exporters.packages import NpmSource, WheelSource

Source = Annotated[WheelSource | NpmSource | UrlSource, Field(discriminator="type")]
MODEL_FILE, PARITY_FILE, FORM_FILE = "model.onnx", "parity.json", "form.json"
"""Names in the folder of a model's one version."""
_ROOT = Path(__file__).resolve().parent.parent


class Entry(BaseModel):
    """One file: what it is, where it comes from, and how to verify it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    kind: Literal["checkpoint", "photo"]
    licence: str
    bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    purpose: str
    used_by: tuple[str, ...]
    """Pipelines, or `demo`. Empty if nothing uses the file yet."""
    source: Source


class Catalogue(BaseModel):
    """All entries, in the order of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: tuple[Entry, ...]

    @property
    def names(self) -> list[str]:
        """Names of all entries."""
        return [entry.name for entry in self.file]

    def select(self, names: Sequence[str]) -> list[Entry]:
        """The entries called `names`, or without names those that something uses. Raises UnknownNameError."""
        if not names:
            return [entry for entry in self.file if entry.used_by]
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise UnknownNameError(unknown, self.names)
        return [entry for entry in self.file if entry.name in names]


def load(path: Path) -> Catalogue:
    """Read and check a catalogue. Raises CatalogueError."""
    try:
        catalogue = Catalogue.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    repeated = [name for name, count in Counter(catalogue.names).items() if count > 1]
    if repeated:
        raise CatalogueError(f"{path}: entries called {', '.join(repeated)} appear more than once")
    return catalogue


@dataclass(frozen=True)
class Paths:
    """The folders that exporters read and write, by default those of this checkout."""

    catalogue: Path = _ROOT / "checkpoints" / "catalogue.toml"
    files: Path = _ROOT / "checkpoints" / "files"
    model_repository: Path = _ROOT / "model_repository"
    ensembles: Path = _ROOT / "ensembles"

    def model(self, name: str) -> Path:
        """The ONNX file of a model."""
        return self.model_repository / name / "1" / MODEL_FILE

    def parity(self, name: str) -> Path:
        """The parity report beside a model."""
        return self.model_repository / name / "1" / PARITY_FILE


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


DEFAULT_PATHS = Paths()
