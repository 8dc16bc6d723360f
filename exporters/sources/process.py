"""Running a package manager."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from exporters.errors import FetchError
from gateway.proxies import proxy_faults

_TAIL_LINES = 5


def run(command: Sequence[str], folder: Path) -> None:
    """Run `command` in `folder`; raises FetchError with the end of what it printed when it fails.

    It takes the proxy of the environment by itself; one of a form that cannot be used is told with the error.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join([*(done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:], *proxy_faults()])
        raise FetchError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{tail}")
