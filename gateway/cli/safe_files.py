"""Read and write files safely: only links that a person named are followed, and reading has a limit."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from secrets import token_hex
from typing import BinaryIO

MOST_BYTES = 512 * 2**20
"""The largest photo, and the largest file given to an option."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STEPS = frozenset({"", ".", ".."})


class NotRegularError(OSError):
    """The path is not a file but a folder, pipe, device or socket."""


def open_regular(path: Path, below: Path | None = None) -> BinaryIO:
    """Open a regular file for reading, without waiting for pipes.

    If it was found in the folder `below`, no part of its path below that folder may be a link. Raises OSError, and
    NotRegularError if it is no regular file.
    """
    descriptor = os.open(path, _READ) if below is None else _open_below(below, path, _READ)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(errno.EINVAL, "No regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, below: Path | None = None) -> bytes:
    """The content of a regular file. Raises OSError, also if it has more than MOST_BYTES."""
    with open_regular(path, below) as file:
        return read_bounded(file, path)


def read_bounded(file: BinaryIO, path: Path) -> bytes:
    """The content of an open file. Raises OSError if it has more than MOST_BYTES."""
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MOST_BYTES >> 20} MiB", str(path))
    return content


class Results:
    """The folder for results. It may itself be a link, but links below it are not followed.

    Each path is written only once in a run, in any case: a second result for it is an error and replaces nothing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._taken: set[str] = set()

    def write(self, path: Path, content: bytes) -> Path:
        """Write a file, whole or not at all. A link at its path is replaced, not followed. Raises OSError."""
        with self.draft(path) as draft, os.fdopen(os.dup(draft.descriptor), "wb") as file:
            file.write(content)
            file.flush()
            draft.keep()
        return path

    @contextmanager
    def draft(self, path: Path) -> "Iterator[Draft]":
        """A file that gets its name when it is kept, else is removed with the folders made for it. Raises OSError."""
        parts = self._claimed(path)
        is_new, made, draft = not self.root.exists(), 0, None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            folder, made = _folder_below(self.root, parts[:-1], _made_one)
            draft = Draft(folder, parts[-1])
            yield draft
        finally:
            if draft is not None:
                draft.close()
            if draft is None or not draft.kept:
                self._taken.discard(_key(parts))
                _remove_folders(self.root, parts[:-1], made)
                if is_new:
                    with suppress(OSError):
                        self.root.rmdir()

    def _claimed(self, path: Path) -> Sequence[str]:
        """The parts of the path below the root. Raises OSError for a path elsewhere, or one already written."""
        parts = path.parts[len(self.root.parts) :]
        if not path.is_relative_to(self.root) or not parts or _STEPS.intersection(parts):
            raise PermissionError(errno.EPERM, "Outside the folder for the results", str(path))
        if _key(parts) in self._taken:
            raise FileExistsError(errno.EEXIST, "Another result of this run is there", str(path))
        self._taken.add(_key(parts))
        return parts


class Draft:
    """A file without its final name, in an open folder. It stays in that folder even if the folder is renamed."""

    def __init__(self, folder: int, name: str) -> None:
        self._folder, self._name, self._part = folder, name, f".{token_hex(8)}.part"
        self.kept = False
        try:
            self.descriptor = os.open(self._part, _NEW, 0o666, dir_fd=folder)
        except OSError:
            os.close(folder)
            raise

    @property
    def path(self) -> str:
        """A path at which this process can always open exactly this file."""
        return f"/proc/self/fd/{self.descriptor}"

    def keep(self) -> None:
        """Give the file its name. Raises OSError."""
        os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self.kept = True

    def close(self) -> None:
        """Close the file, and remove it if it was not kept."""
        if not self.kept:
            with suppress(FileNotFoundError):
                os.unlink(self._part, dir_fd=self._folder)
        os.close(self.descriptor)
        os.close(self._folder)


def _open_below(root: Path, path: Path, flags: int) -> int:
    *folders, name = path.relative_to(root).parts
    folder, _ = _folder_below(root, folders, _made_none)
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        os.close(folder)


def _folder_below(root: Path, names: Sequence[str], ensure: Callable[[str, int], int]) -> tuple[int, int]:
    """An open folder below the root, and how many folders on the way `ensure` made. Raises OSError if one is a link."""
    folder, made = os.open(root, _FOLDER), 0
    for place, name in enumerate(names):
        try:
            made += ensure(name, folder)
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            raise _explained(error, root.joinpath(*names[: place + 1])) from error
        finally:
            os.close(folder)
        folder = inner
    return folder, made


def _made_none(_name: str, _folder: int) -> int:
    return 0


def _made_one(name: str, folder: int) -> int:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return 0
    return 1


def _remove_folders(root: Path, names: Sequence[str], count: int) -> None:
    """Remove the last `count` folders, if they are empty."""
    for last in range(len(names), len(names) - count, -1):
        with suppress(OSError):
            folder, _ = _folder_below(root, names[: last - 1], _made_none)
            try:
                os.rmdir(names[last - 1], dir_fd=folder)
            finally:
                os.close(folder)


def _explained(error: OSError, path: PurePath) -> OSError:
    """The error with the whole path. ELOOP and ENOTDIR mean that there is a link, which is not followed."""
    is_link = error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and Path(path).is_symlink())
    said = "A link lies there, and is not followed" if is_link else error.strerror
    return OSError(error.errno, said, str(path))


def _key(parts: Sequence[str]) -> str:
    """The same text for names that differ only in case."""
    return "/".join(parts).casefold()
