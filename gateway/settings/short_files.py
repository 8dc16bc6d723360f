"""Files that settings name: short ones, whatever lies there."""

import os
from pathlib import Path

MOST_BYTES = 2**20
"""Of a file of settings, or of a secret."""


def read_short(path: Path) -> bytes:
    """What it holds; a pipe that a shell made for a secret is read too.

    Raises OSError; and ValueError where it is long, or a pipe that nobody writes to.
    """
    waits = os.O_NONBLOCK if path.is_fifo() and not str(path.resolve()).startswith("/proc/") else 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | waits), "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it holds more than {MOST_BYTES >> 20} MiB")
    if waits and not content:
        raise ValueError("it is a pipe that nobody writes to")
    return content
