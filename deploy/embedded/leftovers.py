"""What a launcher that was killed hard left: servers, told to end then, some take half a minute; folders elsewhere."""

import fcntl
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.plain_folder import remove_plain_folder
from deploy.embedded.processes import signal_process, writers_to, writes_to
from deploy.embedded.programs import remove_copy

_GRACE_S = 10.0
_INTERVAL_S = 0.1
_SERVICES = re.compile(r"postgres|s3|kafka|triton|gateway|worker(-[0-9]+)?")
"""Other logs in the folder are of who starts us."""


@contextmanager
def only_launcher(folders: Folders) -> Iterator[None]:
    """Hold the lock of these folders. Raises StackError where another process holds it."""
    with open(_lock(folders), "w", encoding="utf-8") as lock:
        os.fchmod(lock.fileno(), 0o600)  # whoever may read it may hold it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"another stack runs in {folders.home}, starts or stops; `maskwright down` stops it once it runs"
            ) from error
        yield


def _lock(folders: Folders) -> int:
    """Open it, no link and nothing that would wait for another process. Raises StackError."""
    try:
        return os.open(folders.lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise StackError(f"{folders.lock} is not the file that `maskwright up` makes: {error.strerror}") from error


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

    Their ports would be taken, and what they write is what the new ones read. They are known by their output, which
    goes to our logs: of the numbers in a file none is believed, they may be others' by now.
    """
    logs = [path for path in folders.logs.glob("*.log") if _SERVICES.fullmatch(path.stem)]
    deadline = time.monotonic() + _GRACE_S
    while left := writers_to(logs, folders.own_users):
        if time.monotonic() > deadline:
            for pid in left:
                signal_process(pid, signal.SIGKILL, partial(writes_to, pid, logs, folders.own_users))
        time.sleep(_INTERVAL_S)
