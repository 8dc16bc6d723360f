"""Servers of a launcher that was killed hard: told to end then, some take half a minute for it."""

import contextlib
import os
import signal
import time
from pathlib import Path

from deploy.embedded.folders import Folders
from deploy.embedded.state import StackState

_GRACE_S = 10.0
_INTERVAL_S = 0.1


def end_leftovers(folders: Folders) -> None:
    """Wait for the servers that an earlier launcher left in these folders, SIGKILL after some seconds.

    Their ports would be taken, and what they write is what the new ones read.
    """
    state = StackState.read(folders.state)
    found = {service.name: service.pid for service in state.services.values() if service.pid} if state else {}
    deadline = time.monotonic() + _GRACE_S
    while left := [pid for name, pid in found.items() if _writes_to(pid, folders.log(name))]:
        if time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        time.sleep(_INTERVAL_S)


def _writes_to(pid: int, log: Path) -> bool:
    """Whether the process is still that service's: the id may be another program's by now."""
    try:
        return Path(f"/proc/{pid}/fd/1").readlink() == log
    except OSError:
        return False
