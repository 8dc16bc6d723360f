"""Running a package manager."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporters.errors import FetchError
from gateway.proxies import proxy_faults

_TAIL_LINES = 5


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
    """Run `command` in `folder` with these variables; raises FetchError with the end of what it printed when it fails.

    It takes the proxy of the environment by itself; one of a form that cannot be used is told with the error.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=_with_home(variables, folder),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = "\n".join([*(done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:], *proxy_faults()])
        raise FetchError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{tail}")


def _with_home(variables: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """A user without a home folder that can be written, as in containers, gets `folder` for the caches."""
    if os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111 - Path.expanduser raises where there is none
        return variables
    return {**variables, "HOME": str(folder)}
