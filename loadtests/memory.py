"""Memory of the stack's processes."""

from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.folders import StackState
from gateway.settings import Settings

_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Resident memory of each service's own process, in MiB."""

    services: dict[str, float]

    @classmethod
    def now(cls, settings: Settings) -> "Memory":
        """What /proc says at this moment."""
        state = StackState.read(settings.maskwright_home.resolve() / "stack.json")
        services = state.services.values() if state else ()
        return cls({one.name: _resident(one.pid) for one in services if one.pid})


def _resident(pid: int) -> float:
    """MiB. Raises OSError if the process is gone."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / _KIB
