"""What a launcher that was killed hard left: servers, told to end then, some take half a minute; folders elsewhere."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.plain_folder import remove_plain_folder
from deploy.embedded.programs import remove_copy
from deploy.embedded.state import StackState

_GRACE_S = 10.0
_INTERVAL_S = 0.1


@contextmanager
def only_launcher(folders: Folders) -> Iterator[None]:
    """Hold the lock of these folders. Raises StackError where another process holds it."""
    with open(os.open(folders.lock, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as lock:  # noqa: PTH123
        os.fchmod(lock.fileno(), 0o600)  # whoever may read it may hold it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"another stack runs in {folders.home}, starts or stops; `maskwright down` stops it once it runs"
            ) from error
        yield


def clear_away(folders: Folders) -> None:
    """End the servers, and remove what lies outside the folders; nothing where no launcher was, or another user's.

    Raises StackError where a launcher is there.
    """
    if os.access(folders.lock, os.W_OK):
        with only_launcher(folders):
            end_leftovers(folders)
            remove_plain_folder(folders.home)
            remove_copy(folders.home)


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
