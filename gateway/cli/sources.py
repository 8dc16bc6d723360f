"""What `maskwright submit` takes: photos on this machine, and where others are."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.photos import find_photos, plan

_LOCATIONS = {"http": "url", "https": "url", "s3": "s3"}


@dataclass(frozen=True)
class Source:
    """A photo as named on the command line, and the folder for its artifacts, if they are wanted.

    `key` names the request, so that it may be sent again.
    """

    name: str
    target: Path | None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def location_kind(self) -> str | None:
        """`url` or `s3`; None for a file."""
        return _LOCATIONS.get(urlsplit(self.name).scheme)

    def read(self) -> bytes:
        """The file's content. Raises OSError."""
        return Path(self.name).read_bytes()


def find_sources(names: Iterable[str], folder: Path | None) -> Sequence[Source]:
    """Locations as named, and the photos that the other names stand for; each once, in order."""
    found = list(dict.fromkeys(one for name in names for one in _expand(name)))
    return [Source(name, target) for name, target in zip(found, _targets(found, folder), strict=True)]


def _targets(names: Sequence[str], folder: Path | None) -> Sequence[Path | None]:
    if folder is None:
        return [None] * len(names)
    paths = [Path(urlsplit(name).path if _is_location(name) else name) for name in names]
    return [planned.target for planned in plan(paths, folder)]


def _expand(name: str) -> Iterable[str]:
    return [name] if _is_location(name) else map(str, find_photos([name]))


def _is_location(name: str) -> bool:
    return urlsplit(name).scheme in _LOCATIONS
