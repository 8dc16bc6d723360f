"""Reading the services' log files."""

import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from gateway.cli.files import open_regular

POLL_INTERVAL = 0.25
_TAIL, _LINE = 2**22, 2**14
"""Bytes from a log's end that are looked at, and letters of a line."""


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines; none where there is no such file, or where it is something else."""
    with suppress(OSError), _opened(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        text = file.read(_TAIL).removesuffix("\n")
        return [line[:_LINE] for line in text.split("\n")[-count:]] if count and text else []
    return []


def text_from(path: Path, offset: int) -> str:
    """What follows the first `offset` bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def follow(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """New lines of the files, for ever; a long one in pieces."""
    files: list[tuple[Path, TextIO]] = []
    for path in paths:
        with suppress(OSError):
            files.append((path, _opened(path)))
    for _, file in files:
        file.seek(0, 2)
    while True:
        fresh = False
        for path, file in files:
            while line := file.readline(_LINE):
                fresh = True
                yield path, line.rstrip("\n")
        if not fresh:
            time.sleep(POLL_INTERVAL)


def _opened(path: Path) -> TextIO:
    """A regular file; a link is not followed, as none of ours is one. Raises OSError."""
    return io.TextIOWrapper(open_regular(path, path.parent), encoding="utf-8", errors="replace", newline="\n")
