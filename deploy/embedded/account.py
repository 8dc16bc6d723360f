"""The user that PostgreSQL runs as: it refuses to run as root."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.errors import StackError

NOBODY = 65534
_DROPPED = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
_ADDED = ((), ("dac_read_search",), ("dac_override",))
"""Capabilities to add, least first. Without one, nobody can use a data folder below /root or another closed folder.

The other way out, opening every parent folder to all users, would change folders that are not ours and outlive the
stack; a capability ends with the process. Each is less than what every other server has that root starts.
"""


def owner() -> int:
    """The id of the user that the server runs as."""
    return os.geteuid() or NOBODY


def has_name() -> bool:
    """Whether that user has an entry in passwd(5); in containers, users are often mere numbers."""
    try:
        pwd.getpwuid(owner())
    except KeyError:
        return False
    return True


def dropped() -> Sequence[str]:
    """Options of setpriv(1) with which a program runs as that user; none where we are not root."""
    return () if os.geteuid() else _DROPPED


def setpriv_options(folder: Path) -> Sequence[str]:
    """The same, with the first capabilities that let the server write into its data folder.

    Raises StackError where none does.
    """
    for capabilities in _ADDED if dropped() else ():
        added = ",".join(f"+{name}" for name in capabilities)
        options = (*dropped(), *((f"--inh-caps={added}", f"--ambient-caps={added}") if added else ()))
        if succeeds(options, 'test -w "$1"', folder):
            return options
    if dropped():
        raise StackError(
            f"PostgreSQL does not run as root, and user {NOBODY} can write {folder} in no way; run as another user, "
            "set MASKWRIGHT_HOME to a folder that all users may enter, or give POSTGRES_DSN"
        )
    return ()


def succeeds(options: Sequence[str], script: str, *arguments: Path) -> bool:
    """Whether a line of shell succeeds, run by setpriv with these options."""
    command = ["setpriv", *options, "--", "sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0
