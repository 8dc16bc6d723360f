"""Processes of this machine."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_GRACE_S = 10.0


def group_members(pid: int) -> list[int]:
    """Living processes of a process group; a zombie no longer counts."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) == pid and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


def processes_in(folder: Path) -> list[str]:
    """Command lines of living processes that work in a folder or name it in their arguments or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            place = str((process / "cwd").readlink())
            told = command + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder) in place or str(folder).encode() in told:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def is_running(pid: int) -> bool:
    """Whether the process has not ended; a zombie has."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def leftovers(mark: str) -> list[str]:
    """Number and command line of processes, but this one, with the mark in their environment; killed then.

    What is ending gets its time.
    """
    deadline = time.monotonic() + _GRACE_S
    while (left := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{pid} {command}" for pid, command in left.items()]


def _marked(mark: str) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found
