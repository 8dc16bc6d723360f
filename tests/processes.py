"""Processes of this machine."""

from pathlib import Path


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
