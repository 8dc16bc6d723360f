"""The launcher as other processes see it: start, stop, one per folder, and cleaning up after a killed one."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from deploy.embedded import CHECKOUT, StackError
from deploy.embedded.folders import Folders, StackState
from deploy.embedded.logs import last_lines, open_log
from deploy.embedded.own_processes import own_environment
from deploy.embedded.processes import birth_of, signal_process, writers_to, writes_to
from deploy.embedded.triton_wheel import remove_plain_folder
from gateway.background import Stopping
from gateway.settings.sources import absolute_paths

START_TIMEOUT = 3600.0
STOP_TIMEOUT = 720.0
"""Seconds. More than the services need to start one after the other, and to end with the longest grace."""
POLL_INTERVAL = 0.1
DETACHED = (sys.executable, "-m", "deploy.embedded.stack")
"""The launcher that outlives the process that started it."""
ATTACHED = ("setpriv", "--pdeathsig=SIGTERM", "--", *DETACHED)
"""The same, but it is told to stop when the process that started it dies in any way."""
_GRACE_S = 10.0
_INTERVAL_S = 0.1
_SERVICES = re.compile(r"postgres|s3|kafka|triton|gateway|worker(-[0-9]+)?")
"""Other logs in the folder belong to the process that starts us."""


def running(folders: Folders) -> StackState | None:
    """The stack that runs in these folders, if there is one."""
    state = StackState.read(folders.state)
    return state if state is not None and state.is_alive(folders.home) else None


def start(
    folders: Folders, stop: Stopping, command: Sequence[str], tell: Callable[[str], None] = lambda _: None
) -> "subprocess.Popen[bytes]":
    """Start the launcher in its own session. Return when the stack is ready, or this process is told to stop.

    `command` is DETACHED or ATTACHED. `tell` is called repeatedly with what the stack is doing. Raises StackError.
    """
    with open_log(folders.log("launcher")) as log:
        launcher = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=own_environment({**absolute_paths(), "MASKWRIGHT_HOME": str(folders.home)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    birth = birth_of(launcher.pid)
    in_time = _poll(lambda: stop.told or _is_settled(launcher, birth, folders, tell), START_TIMEOUT)
    if launcher.poll() is not None:
        raise StackError(_failure(birth, folders))
    if not in_time:
        end(launcher)
        raise StackError(f"not ready after {START_TIMEOUT:.0f} s; see `maskwright logs`")
    return launcher


def wait(launcher: "subprocess.Popen[bytes]", stop: Stopping) -> int | None:
    """Return when the launcher has ended, with its exit status, or when this process is told to stop."""
    while not stop.told and launcher.poll() is None:
        time.sleep(POLL_INTERVAL)
    return launcher.poll()


def end(launcher: "subprocess.Popen[bytes]") -> int:
    """Stop a launcher that this process started, and return its exit status."""
    launcher.send_signal(signal.SIGTERM)
    try:
        return launcher.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise StackError(_still_stopping(launcher.pid)) from error


def stop(folders: Folders, state: StackState) -> None:
    """Stop a stack that another process started. Raises StackError if it does not end in time."""
    signal_process(state.pid, signal.SIGTERM, lambda: state.is_alive(folders.home))
    if not _poll(lambda: not state.is_alive(folders.home), STOP_TIMEOUT):
        raise StackError(_still_stopping(state.pid))


@contextmanager
def only_launcher(folders: Folders) -> Iterator[None]:
    """Hold the lock of these folders. Raises StackError if another process holds it."""
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
    """Open the lock file. It must not be a link, nor anything that waits for another process. Raises StackError."""
    try:
        return os.open(folders.lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise StackError(f"{folders.lock} is not the file that `maskwright up` makes: {error.strerror}") from error


def clear_away(folders: Folders) -> None:
    """End the servers, and remove files outside the folders. Nothing happens if no launcher of this user was there.

    Raises StackError if a launcher is there.
    """
    if os.access(folders.lock, os.W_OK):
        with only_launcher(folders):
            end_leftovers(folders)
            remove_plain_folder(folders.home)


def end_leftovers(folders: Folders) -> None:
    """Wait for the servers that an earlier launcher left in these folders. SIGKILL after some seconds.

    They would hold their ports and write files that the new servers read. They are recognised by their output, which
    goes to our logs. Process ids in a file are not trusted, because they may belong to other programs by now.
    """
    logs = [path for path in folders.logs.glob("*.log") if _SERVICES.fullmatch(path.stem)]
    deadline = time.monotonic() + _GRACE_S
    while left := writers_to(logs, folders.own_users):
        if time.monotonic() > deadline:
            for pid in left:
                signal_process(pid, signal.SIGKILL, partial(writes_to, pid, logs, folders.own_users))
        time.sleep(_INTERVAL_S)


def _still_stopping(pid: int) -> str:
    return f"process {pid} is still stopping after {STOP_TIMEOUT:.0f} s; see `maskwright logs`"


def _is_settled(launcher: "subprocess.Popen[bytes]", birth: str, folders: Folders, tell: Callable[[str], None]) -> bool:
    """A state with the same process id may be from before a restart of the machine, or of this container."""
    if launcher.poll() is not None:
        return True
    state = StackState.read(folders.state)
    if state is None or state.birth != birth:
        return False
    tell(f"{state.state} the stack{state.doing}")
    return state.state == "ready"


def _failure(birth: str, folders: Folders) -> str:
    state = StackState.read(folders.state)
    if state is not None and state.birth == birth and state.message:
        return state.message
    return "\n".join(last_lines(folders.log("launcher"), 10))


def _poll(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True
