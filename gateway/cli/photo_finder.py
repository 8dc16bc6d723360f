"""Find the photos that the command line names by files, folders, patterns and addresses; report what is skipped."""

import glob
import os
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import typer

from gateway.cli.photo_paths import (
    PHOTO_SUFFIXES,
    VIDEO_SUFFIXES,
    Layout,
    NamedPhoto,
    PhotoFile,
    folder_of_photos_and_results,
    parts_of,
    plan,
    suffix_of,
)
from gateway.cli.terminal import complain

MAX_DEPTH = 100
"""How many folders deep a photo may lie. Python cannot make deeper folders for the results."""

_LOCATIONS = {"http": "url", "https": "url", "s3": "s3"}
_LONGEST = 160
"""The most bytes of a part of an address in a path. Suffixes and the names of artifacts are added to it."""
_FOLDER_LINK = "a link to a folder; name it to have it looked into"


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is skipped, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Finder:
    """Finds files with one of the `suffixes`, in upper or lower case, in folders; if `recursive`, in their folders too.

    The folder `results` is skipped, because an earlier run may have written it. A link is followed if it is named
    itself, and skipped if it is found in a folder, because it may lead anywhere.
    """

    suffixes: Collection[str] = PHOTO_SUFFIXES
    recursive: bool = False
    results: Path | None = None

    def find(self, names: Iterable[str]) -> tuple[Sequence[NamedPhoto], Sequence[Skipped]]:
        """Each photo once, in the order of the names; those of a folder sorted by name.

        A named file is taken whatever it is, and a missing one too, so that it is reported as a failure. Photos of one
        folder keep their paths below it. If several folders are named, the paths begin with the folder's name.
        """
        found_in: dict[Path, Path | None] = {}
        for path, below in (one for name in names for one in _expand(name).items()):
            found_in[path] = below and found_in.get(path, below)
        folders = {parts_of(path) for path in found_in if path.is_dir()}
        known: dict[tuple[str, ...], NamedPhoto] = {}
        skipped: list[Skipped] = []
        for path, below in found_in.items():
            outside = len(parts_of(path)) - (len(folders) > 1)
            for found in self._inside(path, below):
                if isinstance(found, Skipped):
                    skipped.append(found)
                else:
                    parts, root = parts_of(found), path if found != path else below
                    known.setdefault(parts, NamedPhoto(found, max(len(parts) - outside, 1), root))
        return list(known.values()), skipped

    def _inside(self, path: Path, below: Path | None) -> Iterable[Path | Skipped]:
        if below is not None and (reason := _skip_reason_of_match(path, below)):
            return (Skipped(path, reason),)
        if not path.is_dir():
            return (path,)
        if self.recursive and self._is_results(path):
            return (Skipped(path, "the folder for the results; name another by --output, or leave --recursive"),)
        return self._look(path)

    def _look(self, folder: Path) -> Iterator[Path | Skipped]:
        """The content of a folder, sorted by name. There is no recursion, because folders may be too deep for it."""
        waiting: list[Path | Skipped] = [folder]
        while waiting:
            path = waiting.pop()
            if isinstance(path, Skipped) or (path != folder and not path.is_dir()):
                yield path
            else:
                waiting.extend(self._children(path))

    def _children(self, folder: Path) -> list[Path | Skipped]:
        """The last name first."""
        try:
            return [self._checked(path) for path in sorted(folder.iterdir(), reverse=True)]
        except OSError as error:
            return [Skipped(folder, f"cannot be looked into: {error.strerror}")]

    def _checked(self, path: Path) -> Path | Skipped:
        try:
            reason = self._skip_reason(path)
        except OSError as error:
            reason = error.strerror or "cannot be looked at"
        return Skipped(path, reason) if reason else path

    def _skip_reason(self, path: Path) -> str:
        """Why a path is skipped. Empty if it is taken. Raises OSError."""
        if path.name.startswith("."):
            return "hidden"
        if path.is_dir():
            return self._skip_reason_of_folder(path)
        if path.is_symlink():
            return "a link; name it to have it taken" if path.exists() else "a link to nothing"
        if not path.is_file():
            return "no file"
        suffix = suffix_of(path.name).lower()
        if suffix in self.suffixes:
            return ""
        return "a film; only privacy_blur takes films" if suffix in VIDEO_SUFFIXES else "no photo by its name"

    def _skip_reason_of_folder(self, folder: Path) -> str:
        if self._is_results(folder):
            return "the folder for the results"
        if not self.recursive:
            return "a folder; --recursive looks into it"
        if folder.is_symlink():
            return _FOLDER_LINK
        return f"more than {MAX_DEPTH} folders deep" if len(parts_of(folder)) > MAX_DEPTH else ""

    def _is_results(self, folder: Path) -> bool:
        return self.results is not None and self.results.exists() and folder.samefile(self.results)


def find_or_exit(names: Iterable[str], finder: Finder) -> Sequence[NamedPhoto]:
    """The photos. Each skipped file gets a line on standard error. Raises typer.Exit if no photo is found."""
    found, skipped = finder.find(names)
    complain_of_skipped(skipped)
    if not found:
        complain("No photos there.")
        raise typer.Exit(1)
    return found


def complain_of_skipped(skipped: Iterable[Skipped]) -> None:
    """Write a line to standard error for each skipped file."""
    for one in skipped:
        complain(f"{one.path}: not taken: {one.reason}")


def safe_or_exit(photos: Sequence[PhotoFile]) -> Sequence[PhotoFile]:
    """The same photos. Raises typer.Exit after a message, if results cannot be written or could replace a photo."""
    root = photos[0].results.root if photos else None
    if root is not None and root.exists() and not root.is_dir():
        complain(f"{root} is no folder; name one for the results by --output.")
        raise typer.Exit(2)
    folder = folder_of_photos_and_results(photos)
    if folder is not None:
        complain(f"Photos lie in {folder}, and results would go there too; name another folder by --output.")
        raise typer.Exit(2)
    return photos


@dataclass(frozen=True)
class Source:
    """A photo as the command line names it, and where its artifacts go, if they are wanted.

    `key` identifies the request, so that it can be repeated safely.
    """

    name: str
    named: NamedPhoto
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
    """The photos that the names stand for, then the addresses among the names, each once; and the skipped files."""
    files, skipped = finder.find(name for name in names if not _is_location(name))
    locations = list(dict.fromkeys(filter(_is_location, names)))
    found = [*files, *map(_named_by_address, locations)]
    called = [*(str(file.path) for file in files), *locations]
    photos = [None] * len(found) if folder is None else plan(found, folder, layout)
    return [Source(*one) for one in zip(called, found, photos, strict=True)], skipped


def _expand(name: str) -> Mapping[Path, Path | None]:
    """The paths that a pattern matches, each with the folder before its first wildcard. Else the name itself."""
    path = Path(name)
    if path.exists() or not glob.has_magic(name):
        return {path: None}
    parts = path.parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    below, sought = Path(*parts[:first]), [*map(_for_pathlib, parts[first:])]
    pattern = str(Path(*sought, *(["*"] if sought[-1] == "**" else [])))
    found = sorted(one for one in below.glob(pattern) if _is_visible(one.relative_to(below).parts, sought))
    return dict.fromkeys(found, below) or {path: None}


def _for_pathlib(part: str) -> str:
    """`**` alone means any number of folders. Inside a longer part, pathlib refuses it, so it becomes `*`."""
    return part if part == "**" else re.sub(r"\*{2,}", "*", part)


def _is_visible(found: Sequence[str], sought: Sequence[str]) -> bool:
    """Whether no part of the path is hidden, unless the pattern itself has a part with a leading dot."""
    dots = [part for part in sought if part.startswith(".")]
    return bool(dots) or not any(part.startswith(".") for part in found)


def _skip_reason_of_match(path: Path, below: Path) -> str:
    """Why a path that a pattern matched is skipped, such as a link in it. Empty if it is taken."""
    ways = [one for one in (path, *path.parents) if one != below and one.is_relative_to(below)]
    if not any(one.is_symlink() for one in ways):
        return "" if path.is_dir() or path.is_file() else "no file"
    return _FOLDER_LINK if path.is_dir() else "a link; name it to have it taken"


def _named_by_address(location: str) -> NamedPhoto:
    """An address as a file in a folder with the name of the host, without a login."""
    path = re.split(r"[?#]", location.partition("://")[2], maxsplit=1)[0]
    host, slash, below = path.partition("/")
    plain = host.rpartition("@")[2] + slash + below
    return NamedPhoto(Path("/", *map(_shortened, plain.replace("\0", "").split("/"))))


def _shortened(part: str) -> str:
    """A name that file systems accept. The end of a long one is replaced by a digest."""
    content = os.fsencode(part)
    if len(content) <= _LONGEST:
        return part
    return content[:_LONGEST].decode(errors="ignore") + "-" + sha256(content).hexdigest()[:16] + suffix_of(part)[-16:]


def _is_location(name: str) -> bool:
    return _scheme(name) in _LOCATIONS


def _scheme(name: str) -> str:
    scheme, found, _ = name.partition("://")
    return scheme.lower() if found else ""
