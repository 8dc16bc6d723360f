"""Reading the services' log files."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

POLL_INTERVAL = 0.25


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to it. Nobody else can read it, and no link leads elsewhere. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab")


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=count)]


def text_from(path: Path, offset: int) -> str:
    """What follows the first `offset` bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def follow(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """New lines of the files, for ever."""
    files = [(path, path.open(encoding="utf-8", errors="replace")) for path in paths]
    for _, file in files:
        file.seek(0, 2)
    while True:
        fresh = [(path, line) for path, file in files for line in file]
        yield from ((path, line.rstrip("\n")) for path, line in fresh)
        if not fresh:
            time.sleep(POLL_INTERVAL)
