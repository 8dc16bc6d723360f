"""The photos and videos of a command, and the path of each artifact."""

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

from gateway.cli.safe_files import Results, open_regular, read_regular

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".heic", ".heif", ".avif"}
    | {".tif", ".tiff", ".gif"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})

COPY = "blurred"
"""The name of the changed copy of a photo or video among its artifacts, without suffix."""
_ALIKE = ({".jpg", ".jpeg", ".jpe", ".jfif"}, {".png", ".apng"}, {".mp4", ".m4v"})
_COPIES = frozenset({".jpg", ".png", ".webp"})
_NAMELESS = "photo"
"""The name of a photo without one, such as an address without a path."""
_DEEPEST, _LONGEST, _ODD = 8, 200, frozenset('\\:*?"<>|')
"""Limits of artifacts' names: the most parts, the most letters of a part, and forbidden letters."""


class Layout(StrEnum):
    """Where artifacts lie in the output folder."""

    FOLDERS = "folders"
    """A folder for each photo: `out/a/1/upper_body_mask.png` of `a/1.jpg`."""
    MIRROR = "mirror"
    """The copy where the photo was, other artifacts beside it: `out/a/1.jpg`, `out/a/1.detections.json`."""


@dataclass(frozen=True)
class NamedPhoto:
    """A photo that was named or found. The path of its artifacts keeps the last `parts` parts of its own.

    `below` is the folder in which it was found. None if it was named itself: then it may be a link.
    """

    path: Path
    parts: int = 1
    below: Path | None = None

    def open(self) -> BinaryIO:
        """The file, open for reading. Raises OSError."""
        return open_regular(self.path, self.below)

    def read(self) -> bytes:
        """Its content. Raises OSError."""
        return read_regular(self.path, self.below)


@dataclass(frozen=True)
class PhotoFile:
    """A photo or video, and where its artifacts go.

    `name` is the path among the results: of the folder for its artifacts, or of its copy without a suffix.
    """

    photo: NamedPhoto
    results: Results
    name: Path
    layout: Layout = Layout.FOLDERS

    @property
    def source(self) -> Path:
        """Where it lies."""
        return self.photo.path

    @property
    def target(self) -> Path:
        """The folder for its artifacts, or the copy's path without a suffix."""
        return self.results.root / self.name

    @property
    def is_video(self) -> bool:
        """Whether its suffix is that of a video."""
        return _is_video(self.source)

    @property
    def folder(self) -> Path:
        """The folder in which its artifacts lie, perhaps beside those of other photos."""
        return self.target if self.layout is Layout.FOLDERS else self.target.parent

    def place(self, artifact: str) -> Path:
        """The path of an artifact. Raises PermissionError if the server's name for it would lead out of the folder."""
        parts = _artifact_parts(artifact)
        if self.layout is Layout.FOLDERS:
            return self.target.joinpath(*parts)
        if parts[-1].partition(".")[0] != COPY:
            return self.target.with_name(".".join((self.target.name, *parts)))
        return self.target.with_name(self._copy_name(suffix_of(parts[-1])))

    def save(self, artifact: str, content: bytes) -> Path:
        """Write an artifact, whole or not at all, and return its path. Raises OSError."""
        return self.results.write(self.place(artifact), content)

    def _copy_name(self, suffix: str) -> str:
        """The photo's own name, if its suffix fits the format of the copy."""
        own, name = suffix_of(self.source.name), self.target.name
        if not _same_format(own, suffix):
            return name + suffix
        return name if name == self.source.name else name + own


def plan(named: Sequence[NamedPhoto], folder: Path, layout: Layout = Layout.FOLDERS) -> list[PhotoFile]:
    """Give each photo its own path for artifacts.

    As many folders of a photo's path are kept as `parts` says, and more if two photos would get the same path:
    `a/1.jpg`, `b/1.jpg`. Photos of one folder that differ only in suffix keep their whole names: `1.jpg`, `1.png`.
    """
    results, places = Results(folder), _distinct_places(named)
    stems = Counter(_stem_key(place, layout) for place in places)
    taken: set[str] = set()
    planned = []
    for one, place in zip(named, places, strict=True):
        own = _without_suffix(place) if stems[_stem_key(place, layout)] == 1 else place
        numbered = (own.with_name(f"{own.name}-{number}") for number in count(2))
        photos = (PhotoFile(one, results, name, layout) for name in chain([own], numbered))
        photo = next(photo for photo in photos if taken.isdisjoint(_possible_paths(photo)))
        taken.update(_possible_paths(photo))
        planned.append(photo)
    return planned


def folder_of_photos_and_results(photos: Iterable[PhotoFile]) -> Path | None:
    """A folder of photos of this run into which artifacts would go, so that a photo could be replaced; or None."""
    photos = list(photos)
    sources = {_identity(folder) for photo in photos for folder in _source_folders(photo.source)} - {None}
    return next((photo.folder for photo in photos if _identity(photo.folder) in sources), None)


def parts_of(path: Path) -> tuple[str, ...]:
    """The parts of the absolute path. Links in it are not followed."""
    return Path(os.path.abspath(path)).parts[1:]  # noqa: PTH100 it would follow links


def suffix_of(name: str) -> str:
    """The name from its last dot on. Empty if there are only dots before it: `...jpg` has no suffix."""
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix if stem.strip(".") and suffix else ""


def _without_suffix(place: Path) -> Path:
    suffix = suffix_of(place.name)
    return place.with_name(place.name.removesuffix(suffix)) if suffix else place


def _artifact_parts(name: str) -> Sequence[str]:
    """The parts of a server's name for an artifact. Raises PermissionError unless it is a plain relative path."""
    parts = name.split("/")
    if len(parts) > _DEEPEST or not all(map(_is_plain, parts)):
        raise PermissionError(errno.EPERM, "no name for an artifact", name[:_LONGEST])
    return parts


def _is_plain(part: str) -> bool:
    """Whether it is a name that all file systems accept, and not that of a hidden file."""
    return 0 < len(part) < _LONGEST and part.isprintable() and part[0] != "." and not _ODD.intersection(part)


def _distinct_places(named: Sequence[NamedPhoto]) -> list[Path]:
    """The last parts of each photo's path: as many as asked for, and more while two different photos get the same."""
    paths = [parts_of(one.path) or (_NAMELESS,) for one in named]
    keep = [one.parts for one in named]
    while True:
        places = [Path(*parts[-kept:]) for parts, kept in zip(paths, keep, strict=True)]
        ways = {(_caseless(place), _caseless(Path(*parts))) for place, parts in zip(places, paths, strict=True)}
        met = Counter(place for place, _ in ways)
        wider = [
            kept + (met[_caseless(place)] > 1 and kept < len(parts))
            for place, parts, kept in zip(places, paths, keep, strict=True)
        ]
        if wider == keep:
            return places
        keep = wider


def _caseless(path: Path) -> str:
    """The same key for paths that are equal where case makes no difference."""
    return str(path).casefold()


def _stem_key(place: Path, layout: Layout) -> tuple[str, bool]:
    """In a mirror, a photo and a video of one stem, as phones make them, differ: their copies have other suffixes."""
    return _caseless(_without_suffix(place)), layout is Layout.MIRROR and _is_video(place)


def _possible_paths(photo: PhotoFile) -> set[str]:
    """The paths that this photo may write, for any format of its copy."""
    if photo.layout is Layout.FOLDERS:
        return {_caseless(photo.target)}
    return {_caseless(photo.place(COPY + suffix)) for suffix in ({".mp4"} if photo.is_video else _COPIES)}


def _same_format(suffix: str, other: str) -> bool:
    suffix, other = suffix.lower(), other.lower()
    return suffix == other or any({suffix, other} <= alike for alike in _ALIKE)


def _source_folders(source: Path) -> Iterator[Path]:
    yield source.parent
    if source.is_symlink():
        yield Path(os.path.realpath(source)).parent


def _identity(folder: Path) -> tuple[int, int] | None:
    """The same for all paths of one folder. None if it does not exist."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_video(path: Path) -> bool:
    return suffix_of(path.name).lower() in VIDEO_SUFFIXES
