"""Running a package manager."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from exporters.errors import FetchError

_TAIL_LINES = 5


def run(command: Sequence[str], folder: Path) -> None:
    """Run `command` in `folder`; raises FetchError with the end of what it printed when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:])
        raise FetchError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{tail}")
