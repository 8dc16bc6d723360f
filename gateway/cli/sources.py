"""What `maskwright submit` takes: photos on this machine, and where others are."""

import os
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from gateway.cli.folders import Finder, Skipped
from gateway.cli.photos import Layout, Named, PhotoFile, plan, suffix_of

_LOCATIONS = {"http": "url", "https": "url", "s3": "s3"}
_LONGEST = 160
"""Bytes of a part of an address that become a part of a path: suffixes and the artifacts' names are added."""


@dataclass(frozen=True)
class Source:
    """A photo as named on the command line, and where its artifacts go, if they are wanted.

    `key` names the request, so that it may be sent again.
    """

    name: str
    named: Named
    photo: PhotoFile | None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def location_kind(self) -> str | None:
        """`url` or `s3`; None for a file."""
        return _LOCATIONS.get(_scheme(self.name))

    def read(self) -> bytes:
        """The file's content. Raises OSError."""
        return self.named.read()


def find_sources(
    names: Sequence[str], finder: Finder, folder: Path | None, layout: Layout
) -> tuple[Sequence[Source], Sequence[Skipped]]:
    """The photos that names stand for, then the locations among them, each once; and the files not taken."""
    files, skipped = finder.find(name for name in names if not _is_location(name))
    locations = list(dict.fromkeys(filter(_is_location, names)))
    found = [*files, *map(_named, locations)]
    called = [*(str(file.path) for file in files), *locations]
    photos = [None] * len(found) if folder is None else plan(found, folder, layout)
    return [Source(*one) for one in zip(called, found, photos, strict=True)], skipped


def _named(location: str) -> Named:
    """A location as if it were a file, in a folder called as its host; no login in it is a part of that name."""
    path = re.split(r"[?#]", location.partition("://")[2], maxsplit=1)[0]
    host, slash, below = path.partition("/")
    plain = host.rpartition("@")[2] + slash + below
    return Named(Path("/", *map(_shortened, plain.replace("\0", "").split("/"))))


def _shortened(part: str) -> str:
    """A name that a file system takes, with a digest in place of its end where it is longer."""
    content = os.fsencode(part)
    if len(content) <= _LONGEST:
        return part
    return content[:_LONGEST].decode(errors="ignore") + "-" + sha256(content).hexdigest()[:16] + suffix_of(part)[-16:]


def _is_location(name: str) -> bool:
    return _scheme(name) in _LOCATIONS


def _scheme(name: str) -> str:
    scheme, found, _ = name.partition("://")
    return scheme.lower() if found else ""
