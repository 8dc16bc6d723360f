"""Starting and stopping the launcher's process from another one."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from deploy.embedded.environment import own_environment
from deploy.embedded.errors import StackError
from deploy.embedded.folders import CHECKOUT, Folders
from deploy.embedded.logs import last_lines, open_log
from deploy.embedded.processes import birth_of, signal_process
from deploy.embedded.state import StackState
from gateway.settings.origins import absolute_paths
from gateway.stopping import Stopping

START_TIMEOUT = 3600.0
STOP_TIMEOUT = 720.0
"""Seconds; above what the services have in turn to start, and to end by themselves with the longest grace."""
POLL_INTERVAL = 0.1

DETACHED = (sys.executable, "-m", "deploy.embedded")
"""The launcher, which outlives who started it."""
ATTACHED = ("setpriv", "--pdeathsig=SIGTERM", "--", *DETACHED)
"""The same, which is told to stop when who started it dies, however that comes."""


def running(folders: Folders) -> StackState | None:
    """The stack that runs in these folders, if one does."""
    state = StackState.read(folders.state)
    return state if state is not None and state.is_alive(folders.home) else None


def start(
    folders: Folders, stop: Stopping, command: Sequence[str], tell: Callable[[str], None] = lambda _: None
) -> "subprocess.Popen[bytes]":
    """Start the launcher in a session of its own; come back when the stack is ready, or this process told to stop.

    `command` is DETACHED or ATTACHED; `tell` is called with what the stack is at, again and again. Raises StackError.
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
    """Come back when the launcher has ended, with its exit status, or when this process is told to stop."""
    while not stop.told and launcher.poll() is None:
        time.sleep(POLL_INTERVAL)
    return launcher.poll()


def end(launcher: "subprocess.Popen[bytes]") -> int:
    """Stop a launcher that this process started; its exit status."""
    launcher.send_signal(signal.SIGTERM)
    try:
        return launcher.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise StackError(_still_stopping(launcher.pid)) from error


def stop(folders: Folders, state: StackState) -> None:
    """Stop a stack that another process started. Raises StackError where it does not end in time."""
    signal_process(state.pid, signal.SIGTERM, lambda: state.is_alive(folders.home))
    if not _poll(lambda: not state.is_alive(folders.home), STOP_TIMEOUT):
        raise StackError(_still_stopping(state.pid))


def _still_stopping(pid: int) -> str:
    return f"process {pid} is still stopping after {STOP_TIMEOUT:.0f} s; see `maskwright logs`"


def _is_settled(launcher: "subprocess.Popen[bytes]", birth: str, folders: Folders, tell: Callable[[str], None]) -> bool:
    """A state of the same process id may be of an earlier start of the machine, or of this container."""
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
