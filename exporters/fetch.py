"""Fetch catalogued files. Each is verified before it gets its name."""

import fcntl
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from exporters.catalogue import DEFAULT_PATHS, Catalogue, Entry, Paths, load, sha256
from exporters.downloads import Listener, Part
from exporters.errors import IntegrityError


class State(StrEnum):
    """State of a catalogued file on this machine."""

    READY = "ready"
    MISSING = "missing"
    CORRUPT = "corrupt"


def state(entry: Entry, files: Path) -> State:
    """Whether the file exists and is the catalogued one."""
    path = files / entry.name
    if not path.exists():
        return State.MISSING
    return State.READY if _matches(path, entry) else State.CORRUPT


def unobtainable(catalogue: Catalogue, files: Path) -> dict[str, str]:
    """Missing entries that this machine has no means to fetch, and why."""
    missing = [entry for entry in catalogue.file if state(entry, files) is State.MISSING]
    return {entry.name: entry.source.obstacle for entry in missing if entry.source.obstacle}


def selectable(names: Sequence[str], paths: Paths) -> Catalogue:
    """The catalogue to select `names` from. Without names, what this machine has or can fetch."""
    catalogue = load(paths.catalogue)
    absent = {} if names else unobtainable(catalogue, paths.files)
    return Catalogue(file=tuple(entry for entry in catalogue.file if entry.name not in absent))


def fetch_all(
    names: Sequence[str] = (), *, listener: Listener | None = None, paths: Paths = DEFAULT_PATHS
) -> list[Path]:
    """Fetch the entries `names` that are not ready. Without names, all that something uses and that can be had here.

    Returns their paths. Each archive is downloaded once for all its members. Raises UnknownNameError, FetchError, and
    IntegrityError for a file that differs from the catalogued one: it is removed.
    """
    entries = selectable(names, paths).select(names)
    paths.files.mkdir(parents=True, exist_ok=True)
    with _exclusive(paths.files):
        for group in _archives([entry for entry in entries if state(entry, paths.files) is not State.READY]):
            _fetch(group, paths.files, listener or Listener())
    return [paths.files / entry.name for entry in entries]


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Let only one process at a time fetch into `folder`."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _archives(entries: Sequence[Entry]) -> list[list[Entry]]:
    groups: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.source.archive].append(entry)
    return list(groups.values())


def _fetch(group: Sequence[Entry], files: Path, listener: Listener) -> None:
    parts = {entry.source.member: Part(files / f"{entry.name}.part", entry.bytes) for entry in group}
    group[0].source.retrieve(parts, listener)
    for entry in group:
        part = parts[entry.source.member].path
        if not _matches(part, entry):
            raise _refuse(part, entry)
        part.replace(files / entry.name)


def _matches(path: Path, entry: Entry) -> bool:
    return path.stat().st_size == entry.bytes and sha256(path) == entry.sha256


def _refuse(part: Path, entry: Entry) -> IntegrityError:
    actual = f"{part.stat().st_size} bytes with SHA-256 {sha256(part)}"
    part.unlink()
    return IntegrityError(
        f"{entry.name}: expected {entry.bytes} bytes with SHA-256 {entry.sha256}, got {actual}; the file was removed"
    )
