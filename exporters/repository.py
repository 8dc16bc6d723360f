"""Changes of the model repository. A folder is built aside and gets its name when complete, one process at a time.

A process that is killed leaves the repository as it was or, between two renames, without that model, but never with
half of it. The next change removes what was left in `.building`.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from exporters.catalogue import FORM_FILE, PARITY_FILE, Paths
from steps.model_folder import BrokenModelError, readable_config
from steps.object_detectors import MODEL, detectors_of

BUILDING = ".building"
"""A folder in the repository, on the same file system as the folders that are moved into place from it."""
_LOCK = ".lock"
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
"""Triton may run as another user than the exporter."""


class Building:
    """The folder in which one process builds at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def draft(self, target: Path) -> Iterator[Path]:
        """An empty folder that replaces `target` at the end. After an error nothing is left."""
        draft = Path(mkdtemp(prefix="new-", dir=self._folder))
        try:
            yield draft
            _settle(draft)
            self.remove(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(target)
            _flush(target.parent)
        except OSError as error:
            if error.filename is None:  # as of a full disk
                raise OSError(error.errno, error.strerror, str(self._folder)) from error
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def remove(self, target: Path) -> None:
        """Remove a folder in one step, if it is there."""
        aside = Path(mkdtemp(prefix="old-", dir=self._folder))
        with contextlib.suppress(FileNotFoundError):
            target.rename(aside / "old")
        shutil.rmtree(aside)

    def clear(self) -> None:
        """Remove what a killed process left."""
        for left in _leftovers(self._folder):
            shutil.rmtree(left)


@contextmanager
def building(model_repository: Path) -> Iterator[Building]:
    """Wait until nobody else changes the repository, and keep others out. Raises OSError."""
    folder = model_repository / BUILDING
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        change = Building(folder)
        change.clear()
        yield change


def half_built(paths: Paths, ours: Container[str]) -> Mapping[str, str]:
    """By name, what in the repository is unusable, what users' models lack, and what a killed process left.

    `ours` are the models that Maskwright comes with, which are exported by name.
    """
    found = dict(detectors_of(paths.model_repository).broken)
    for folder in paths.model_repository.glob("[!.]*/"):
        fault = _fault(folder, folder.name in ours)
        if fault:
            found.setdefault(folder.name, fault)
    for left in _abandoned(paths.model_repository / BUILDING):
        found[f"{BUILDING}/{left.name}"] = "left by an export that was ended; the next export removes it"
    return found


def _fault(folder: Path, is_ours: bool) -> str:  # noqa: FBT001 - a fact about the folder
    """What a model's folder lacks. Empty if nothing, or if it is none of an ONNX model."""
    try:
        config = readable_config(folder)
    except BrokenModelError as error:
        return str(error) if (folder / "config.pbtxt").is_file() else "a folder without config.pbtxt"
    if is_ours or config.backend != "onnxruntime":
        return ""
    if not (folder / MODEL).exists():
        return "a config.pbtxt without its model"
    reports = [(folder / MODEL).with_name(name) for name in (PARITY_FILE, FORM_FILE)]
    return "" if any(report.exists() for report in reports) else f"a model without its {PARITY_FILE}"


def _abandoned(folder: Path) -> list[Path]:
    """Folders that nobody works on."""
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return _leftovers(folder)
    except OSError:  # nothing was ever built, or something is right now
        return []


def _leftovers(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != _LOCK)


def _settle(folder: Path) -> None:
    """Make it readable by everybody, and have it on the disk before it gets its name."""
    for path in (*(path for path in folder.rglob("*") if not path.is_symlink()), folder):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
        _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
