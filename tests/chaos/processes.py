"""What Linux knows of the stack's processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.stack import RunningStack

PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """One process: memory it holds, in MiB, and its open files, sockets among them."""

    memory_mb: float
    files: int


def usage(stack: RunningStack) -> Mapping[str, Usage]:
    """By role and process id: the gateway, Triton, and Triton's python processes; a process that died has no entry."""
    gateway, triton = stack.pid("gateway"), stack.pid("triton")
    named = {f"gateway {gateway}": gateway, f"triton {triton}": triton}
    named |= {f"python {pid}": pid for pid in sorted(_children(triton))}
    return {name: Usage(_memory_mb(pid), len(list((PROC / str(pid) / "fd").iterdir()))) for name, pid in named.items()}


def _children(parent: int) -> list[int]:
    statuses = (path for path in PROC.glob("[0-9]*/status") if _field(path, "PPid") == str(parent))
    return [int(path.parent.name) for path in statuses]


def _memory_mb(pid: int) -> float:
    return int(_field(PROC / str(pid) / "status", "VmRSS").split()[0]) / 1024


def _field(status: Path, name: str) -> str:
    """A value of /proc/<pid>/status; empty where the process ended meanwhile."""
    try:
        lines = status.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")
