"""Running a package manager."""

import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.errors import FetchError
from gateway.proxies import proxy_faults

LARGEST_ARCHIVE = 1 << 30
"""Bytes of a file that a package manager may write, and of what is unpacked of it."""
_TAIL_LINES = 5


def download(command: Sequence[str], folder: Path, variables: Mapping[str, str], pattern: str) -> Path:
    """Run `command` in `folder` with these variables; the one file of this pattern that it leaves there.

    It takes the proxy of the environment by itself; one of a form that cannot be used is told with the error. Raises
    FetchError with the end of what it printed when it fails, also where a file grows above `LARGEST_ARCHIVE` bytes.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=_with_home(variables, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (LARGEST_ARCHIVE, LARGEST_ARCHIVE))
        printed, _ = process.communicate()
    if process.returncode:
        tail = "\n".join([*printed.strip().splitlines()[-_TAIL_LINES:], *proxy_faults()])
        raise FetchError(f"{' '.join(command)} failed with exit code {process.returncode}:\n{tail}")
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise FetchError(f"{' '.join(command)} left {len(files)} files {pattern}, where one was expected")
    return files[0]


def _with_home(variables: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """A user without a home folder that can be written, as in containers, gets `folder` for the caches."""
    if os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - Path.expanduser raises where there is none
        return variables
    return {**variables, "HOME": str(folder)}
