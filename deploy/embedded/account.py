"""The user that PostgreSQL runs as: it refuses to run as root."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.errors import StackError

NOBODY = 65534
_DROPPED = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
_ADDED = ((), ("dac_read_search",), ("dac_override",))
"""Capabilities to add, least first. Without one, nobody can use a folder under /root or a private temporary folder.

The other way out, opening every parent folder to all users, would change folders that are not ours and outlive the
stack; a capability ends with the process. Each is less than what every other server has that root starts.
"""


def setpriv_options(programs: Path, folder: Path) -> Sequence[str]:
    """Options of setpriv(1) with which a server runs as another user than root; none where we are not root.

    The first that let the server execute `programs` and enter `folder`. Raises StackError where none does.
    """
    if os.geteuid() != 0:
        return ()
    for capabilities in _ADDED:
        added = ",".join(f"+{name}" for name in capabilities)
        options = (*_DROPPED, *((f"--inh-caps={added}", f"--ambient-caps={added}") if added else ()))
        if _reaches(options, programs, folder):
            return options
    raise StackError(
        f"PostgreSQL does not run as root, and user {NOBODY} can use {programs} or {folder} in no way; run as another "
        "user, move both to where all users may look, or give POSTGRES_DSN"
    )


def owner() -> int:
    """The id of the user that the server runs as."""
    return os.geteuid() or NOBODY


def _reaches(options: Sequence[str], programs: Path, folder: Path) -> bool:
    """Run a program and write into the folder, as the server will."""
    check = f'"{programs}/postgres" --version && test -w "{folder}"'
    command = ["setpriv", *options, "--", "sh", "-c", check]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
