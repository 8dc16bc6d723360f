"""Processes identified by more than their id, which another program may get once the process was waited for."""

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PROCESSES = Path("/proc")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STATE, _SESSION, _START_TIME = 0, 3, 19
_FAULTS, _TIMES = 9, slice(11, 15)
"""Positions in `_stat`: page faults from disk; clock ticks of computing, its own and its children's."""
_OUTPUTS = ("fd/1", "fd/2")
_ENDED = "ZX"
"""States of processes that nobody has waited for. In some containers no program does."""


def birth_of(pid: int) -> str:
    """A process's id, its start time, and the machine's start: no two share all three. Raises OSError."""
    return f"{_boot()}/{_stat(pid)[_START_TIME]}/{pid}"


def signal_process(pid: int, number: signal.Signals, is_meant: Callable[[], bool]) -> None:
    """Signal a process if `is_meant` confirms that it is the right one. Nothing happens if it has ended.

    `is_meant` is asked while a handle on the process is held, so that the id cannot become another's before the signal.
    """
    with contextlib.suppress(ProcessLookupError), _handle(pid) as handle:
        if not is_meant():
            return
        if handle is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)


def process_ids() -> Iterator[int]:
    """The id of every process."""
    return (int(process.name) for process in _PROCESSES.glob("[0-9]*"))


def work_of_session(session: int) -> int:
    """Of all processes of a session: clock ticks of computing, 100 a second, and page faults from disk."""
    work = 0
    for pid in process_ids():
        with contextlib.suppress(OSError):  # it has ended
            fields = _stat(pid)
            if int(fields[_SESSION]) == session:
                work += int(fields[_FAULTS]) + sum(map(int, fields[_TIMES]))
    return work


def writers_to(files: Collection[Path], users: Collection[int]) -> list[int]:
    """The processes that write to one of the files. `users` are those that belong only to the stack."""
    return [pid for pid in process_ids() if pid != os.getpid() and writes_to(pid, files, users)]


def writes_to(pid: int, files: Collection[Path], users: Collection[int]) -> bool:
    """Whether output and errors of a process both go to one of the files: its parent gave it these."""
    try:
        found = [(_PROCESSES / str(pid) / output).stat() for output in _OUTPUTS]
    except PermissionError:
        return runs_as(pid, users)
    except OSError:  # it has ended
        return False
    wanted = {_identity(file.stat()) for file in files if file.is_file()}
    return all(stat.S_ISREG(one.st_mode) and _identity(one) in wanted for one in found)


def runs_as(pid: int, users: Collection[int]) -> bool:
    """Whether a process that has not ended belongs to one of these users.

    Root can see no more of it in Docker's containers, which lack CAP_SYS_PTRACE.
    """
    try:
        return (_PROCESSES / str(pid)).stat().st_uid in users and _stat(pid)[_STATE] not in _ENDED
    except OSError:
        return False


def _stat(pid: int) -> Sequence[str]:
    """The fields of proc_pid_stat(5) from the third on, after the name. Raises OSError."""
    text = (_PROCESSES / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:  # some sandboxes have none
        return ""


@contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    """A descriptor of the process. None before Linux 5.3, which has none. Raises ProcessLookupError."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
