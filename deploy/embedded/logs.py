"""The services' log files: reading them, and keeping them small while they are written to."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gateway.cli.safe_files import open_regular

LARGEST = 32 * 1024 * 1024
"""Bytes of a log above which its content becomes the older log. There is one older log."""
POLL_INTERVAL = 0.25
_TAIL, _LINE = 2**22, 2**14
"""Bytes from a log's end that are read, and the longest line in bytes."""
_COLLAPSE_RANGE = 0x08
"""`FALLOC_FL_COLLAPSE_RANGE` of fallocate(2): ext4 and XFS remove whole blocks from a file's beginning in one step.

So nothing is lost. On other file systems, lines written between the last read and the truncation are lost. On a busy
machine these are the lines of some milliseconds.
"""


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to it. Nobody else can read it, and no link leads elsewhere. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab")


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines, including the older log's. Empty if there is no such file, or it is something else."""
    text = b"".join(_tail(file) for file in (older(path), path))[-_TAIL:].removesuffix(b"\n")
    return [line[:_LINE].decode(errors="replace") for line in text.split(b"\n")[-count:]] if count and text else []


def older(path: Path) -> Path:
    """The file for the lines that a log had before it grew too large."""
    return path.with_name(f"{path.name}.1")


def rotate_all(folder: Path, largest: int = LARGEST) -> None:
    """Turn the content of each log in a folder into its older one, if it has more than so many bytes."""
    for path in folder.glob("*.log"):
        with contextlib.suppress(OSError), open(path, "r+b", buffering=0, opener=_no_link) as log:
            if os.fstat(log.fileno()).st_size > largest:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no reader is between two looks
                _become_older(log, path)


def _no_link(path: str, flags: int) -> int:
    """A link could lead to a file that is not ours."""
    return os.open(path, flags | os.O_NOFOLLOW)


class LogReader:
    """Continues reading a log from its end, even if it was rotated meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        with contextlib.suppress(OSError), self._open() as log:
            self._offset = os.fstat(log.fileno()).st_size
            self._mark = _mark(older(path))
            return
        self._mark = _mark(older(path))

    def read(self) -> bytes:
        """What was written since the last call. Raises OSError."""
        with self._open() as log:
            passed = self._passed()
            if self._offset > os.fstat(log.fileno()).st_size:  # somebody emptied it
                self._offset = 0
            log.seek(self._offset)
            fresh = log.read()
        self._offset += len(fresh)
        return passed + fresh

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """No rotation happens while it is open."""
        with _opened(self._path) as log:
            fcntl.flock(log, fcntl.LOCK_SH)
            yield log

    def _passed(self) -> bytes:
        """The unread part of the lines that have become the older log."""
        mark = _mark(older(self._path))
        if mark in {None, self._mark}:
            return b""
        self._mark = mark
        with _opened(older(self._path)) as log:
            passed = log.read()
        rest, self._offset = passed[self._offset :], max(0, self._offset - len(passed))
        return rest


def follow(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Lines that the files get from now on, for ever."""
    return _lines({path: LogReader(path) for path in paths})


def _lines(readers: Mapping[Path, LogReader]) -> Iterator[tuple[Path, str]]:
    begun = dict.fromkeys(readers, b"")
    while True:
        found = []
        for path, reader in readers.items():
            with contextlib.suppress(OSError):
                *lines, begun[path] = (begun[path] + reader.read()).split(b"\n")
                found += [(path, line[:_LINE].decode(errors="replace")) for line in lines]
                begun[path] = begun[path][:_LINE]
        yield from found
        if not found:
            time.sleep(POLL_INTERVAL)


def _opened(path: Path) -> BinaryIO:
    """Open a regular file. A link is not followed, because ours are never links. Raises OSError."""
    return open_regular(path, path.parent)


def _tail(path: Path) -> bytes:
    with contextlib.suppress(OSError), _opened(path) as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL))
        return log.read(_TAIL)
    return b""


def _become_older(log: BinaryIO, path: Path) -> None:
    """Copy first, then remove: a kill between the two leaves lines twice, but loses none."""
    draft = path.with_name(f"{path.name}.part")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b", buffering=0) as copy:
            shutil.copyfileobj(log, copy)
            draft.replace(older(path))
            _take_away(log, copy)
    except OSError:  # a full disk: the older one makes room for the next try
        draft.unlink(missing_ok=True)
        older(path).unlink(missing_ok=True)


def _take_away(log: BinaryIO, copy: BinaryIO) -> None:
    """Remove what was copied from the log, except the rest of its last block, or remove all of it."""
    found = os.fstat(log.fileno())
    whole = (copy.tell() - 1) // found.st_blksize * found.st_blksize
    if whole and _fallocate(log.fileno(), _COLLAPSE_RANGE, 0, whole) == 0:
        copy.truncate(whole)
        return
    shutil.copyfileobj(log, copy)
    log.truncate(0)


def _fallocate(descriptor: int, mode: int, offset: int, length: int) -> int:
    """fallocate(2), whose modes Python does not know. Returns 0 on success."""
    call = ctypes.CDLL(None).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return int(call(descriptor, mode, offset, length))


def _mark(path: Path) -> tuple[int, int] | None:
    """What distinguishes a file from the one that had its name before."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
