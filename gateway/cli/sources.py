"""What `maskwright submit` takes: photos on this machine, and where others are."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.folders import Finder, Skipped
from gateway.cli.photos import Layout, Named, PhotoFile, plan

_LOCATIONS = {"http": "url", "https": "url", "s3": "s3"}


@dataclass(frozen=True)
class Source:
    """A photo as named on the command line, and where its artifacts go, if they are wanted.

    `key` names the request, so that it may be sent again.
    """

    name: str
    photo: PhotoFile | None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def location_kind(self) -> str | None:
        """`url` or `s3`; None for a file."""
        return _LOCATIONS.get(_scheme(self.name))

    def read(self) -> bytes:
        """The file's content. Raises OSError."""
        return Path(self.name).read_bytes()


def find_sources(
    names: Sequence[str], finder: Finder, folder: Path | None, layout: Layout
) -> tuple[Sequence[Source], Sequence[Skipped]]:
    """The photos that names stand for, then the locations among them, each once; and the files not taken."""
    files, skipped = finder.find(name for name in names if not _is_location(name))
    locations = list(dict.fromkeys(filter(_is_location, names)))
    found = [*files, *map(_named, locations)]
    called = [*(str(file.path) for file in files), *locations]
    photos = [None] * len(found) if folder is None else plan(found, folder, layout)
    return [Source(name, photo) for name, photo in zip(called, photos, strict=True)], skipped


def _named(location: str) -> Named:
    """A location as if it were a file, in a folder called as its host."""
    path = location.partition("://")[2].partition("?")[0].partition("#")[0]
    return Named(Path("/", path))


def _is_location(name: str) -> bool:
    return _scheme(name) in _LOCATIONS


def _scheme(name: str) -> str:
    scheme, found, _ = name.partition("://")
    return scheme.lower() if found else ""
