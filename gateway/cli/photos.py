"""Which photos the command line names, and where the artifacts of each go."""

import glob
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})


@dataclass(frozen=True)
class PhotoFile:
    """A photo, or a video, and the folder for its artifacts."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        """By the name."""
        return self.source.suffix.lower() in VIDEO_SUFFIXES


def find_photos(names: Iterable[str], suffixes: Collection[str] = PHOTO_SUFFIXES) -> list[Path]:
    """Files as named, those of `suffixes` lying in folders, and what patterns match; each once, in order.

    A name that is nothing of these is kept, so that it is reported as a failure of its own.
    """
    return list(dict.fromkeys(path for name in names for path in _expand(name, suffixes)))


def plan(sources: Sequence[Path], folder: Path) -> list[PhotoFile]:
    """One folder for each photo, named by its stem, or by its whole name where several share the stem.

    Photos of one name in several folders get numbers, in the order given.
    """
    stems = Counter(source.stem for source in sources)
    taken: set[str] = set()
    planned = []
    for source in sources:
        own = source.stem if stems[source.stem] == 1 else source.name
        numbered = (f"{own}-{number}" for number in count(2))
        name = next(name for name in chain([own], numbered) if name not in taken)
        taken.add(name)
        planned.append(PhotoFile(source, folder / name))
    return planned


def _expand(name: str, suffixes: Collection[str]) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    if not path.exists() and glob.has_magic(name):
        return [Path(found) for found in sorted(glob.glob(name, recursive=True))] or [path]  # noqa: PTH207 absolute patterns
    return [path]
