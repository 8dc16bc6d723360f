"""Which photos the names on the command line stand for, and which files are not taken."""

import glob
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from gateway.cli.files import shown
from gateway.cli.photos import PHOTO_SUFFIXES, VIDEO_SUFFIXES, Named, PhotoFile, endangered, parts_of

MAX_DEPTH = 100
"""How many folders deep a photo may lie: deeper ones no system's tools make, and Python cannot make the folders."""


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not taken."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Finder:
    """Takes from folders what has one of `suffixes`, in any case; looks into folders in them where it is `recursive`.

    What lies in the folder `results` is never taken: it was made by an earlier run.
    """

    suffixes: Collection[str] = PHOTO_SUFFIXES
    recursive: bool = False
    results: Path | None = None

    def find(self, names: Iterable[str]) -> tuple[Sequence[Named], Sequence[Skipped]]:
        """Photos each once, in the names' order; a folder's by name.

        Files are taken as named, whatever they are; what is nothing at all too, so that it is reported as a failure.
        The photos of one folder keep their paths in it; those of several, the names of the folders too.
        """
        paths = [path for name in names for path in _expand(name)]
        folders = {parts_of(path) for path in paths if path.is_dir()}
        known: dict[tuple[str, ...], Named] = {}
        skipped: list[Skipped] = []
        for path in paths:
            outside = len(parts_of(path)) - (len(folders) > 1)
            for found in self._inside(path):
                if isinstance(found, Skipped):
                    skipped.append(found)
                else:
                    parts = parts_of(found)
                    known.setdefault(parts, Named(found, max(len(parts) - outside, 1)))
        return list(known.values()), skipped

    def _inside(self, path: Path) -> Iterable[Path | Skipped]:
        if not path.is_dir():
            return (path,)
        if self.recursive and self._is_results(path):
            return (Skipped(path, "the folder for the results; name another by --output, or leave --recursive"),)
        return self._look(path)

    def _look(self, folder: Path) -> Iterator[Path | Skipped]:
        """What lies in a folder, in the order of the names; not by recursion, which deep folders would exhaust."""
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
            return [self._judged(path) for path in sorted(folder.iterdir(), reverse=True)]
        except OSError as error:
            return [Skipped(folder, f"cannot be looked into: {error.strerror}")]

    def _judged(self, path: Path) -> Path | Skipped:
        try:
            reason = self._against(path)
        except OSError as error:
            reason = error.strerror or "cannot be looked at"
        return Skipped(path, reason) if reason else path

    def _against(self, path: Path) -> str:
        """Why it is not taken; empty where it is. Raises OSError."""
        if path.name.startswith("."):
            return "hidden"
        if path.is_dir():
            return self._against_folder(path)
        if not path.is_file():
            return "a link to nothing" if path.is_symlink() else "no file"
        suffix = path.suffix.lower()
        if suffix in self.suffixes:
            return ""
        return "a film; only privacy_blur takes films" if suffix in VIDEO_SUFFIXES else "no photo by its name"

    def _against_folder(self, folder: Path) -> str:
        if self._is_results(folder):
            return "the folder for the results"
        if not self.recursive:
            return "a folder; --recursive looks into it"
        if folder.is_symlink():
            return "a link to a folder; name it to have it looked into"
        return f"more than {MAX_DEPTH} folders deep" if len(parts_of(folder)) > MAX_DEPTH else ""

    def _is_results(self, folder: Path) -> bool:
        return self.results is not None and self.results.exists() and folder.samefile(self.results)


def told(names: Iterable[str], finder: Finder) -> Sequence[Named]:
    """The photos; standard error hears what is not taken, a line each. Raises typer.Exit where there is none."""
    found, skipped = finder.find(names)
    tell(skipped)
    if not found:
        typer.echo("No photos there.", err=True)
        raise typer.Exit(1)
    return found


def tell(skipped: Iterable[Skipped]) -> None:
    """Write a line for each file that is not taken to standard error."""
    for one in skipped:
        typer.echo(shown(f"{one.path}: not taken: {one.reason}"), err=True)


def harmless(photos: Sequence[PhotoFile]) -> Sequence[PhotoFile]:
    """The same, if no artifact goes where a photo lies that could be replaced. Raises typer.Exit after a message."""
    folder = endangered(photos)
    if folder is None:
        return photos
    typer.echo(
        shown(f"Photos lie in {folder}, and results would go there too; name another folder by --output."), err=True
    )
    raise typer.Exit(2)


def _expand(name: str) -> Sequence[Path]:
    """What a pattern matches; the name itself where it is none, or matches nothing."""
    path = Path(name)
    if not path.exists() and glob.has_magic(name):
        return [Path(found) for found in sorted(glob.glob(name, recursive=True))] or [path]  # noqa: PTH207 absolute patterns
    return [path]
