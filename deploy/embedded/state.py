"""What the running stack says of itself, in a file that other commands read."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from deploy.embedded.processes import birth_of
from gateway.settings.files import is_launcher, read_short


@dataclass(frozen=True)
class ServiceState:
    """One service: waiting, starting, ready, restarting, stopping or stopped; `doing` says what a start is at.

    `notes` say what of it does not work although it serves.
    """

    name: str
    state: str
    pid: int | None
    ports: dict[str, int]
    restarts: int = 0
    doing: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StackState:
    """The stack: starting, ready, failed, stopping or stopped; `message` says why it failed."""

    pid: int
    state: str
    services: dict[str, ServiceState] = field(default_factory=dict)
    message: str = ""
    birth: str = ""
    """Of the launcher, as `birth_of` says it: its number may be another program's by now."""

    @classmethod
    def of_launcher(cls, services: dict[str, ServiceState]) -> "StackState":
        """That of a stack which this process begins to start."""
        return cls(os.getpid(), "starting", services, birth=birth_of(os.getpid()))

    def with_service(self, service: ServiceState) -> "StackState":
        """The same stack with one service's new state."""
        return replace(self, services={**self.services, service.name: service})

    @property
    def ports(self) -> dict[str, int]:
        """The ports by the setting that gives each; of several workers the first's."""
        services = reversed(self.services.values())
        return {setting: port for service in services for setting, port in service.ports.items()}

    @property
    def doing(self) -> str:
        """What the services that start are at, as the rest of a sentence."""
        starting = [one for one in self.services.values() if one.state == "starting"]
        words = [f"{one.name} ({one.doing})" if one.doing else one.name for one in starting]
        return f": {', '.join(words)}" if words else ""

    def write(self, path: Path) -> None:
        """Replace the file in one step: no reader sees half of it."""
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> "StackState | None":
        """What the file says, or None where there is none, or one of another version."""
        try:
            return TypeAdapter(cls).validate_json(read_short(path))
        except (OSError, ValueError):
            return None

    def is_alive(self, home: Path) -> bool:
        """Whether the launcher that wrote this still runs, in this home folder."""
        return self.pid != os.getpid() and self._is_born() and is_launcher(self.pid, home)

    def _is_born(self) -> bool:
        """A launcher of an older version says nothing of its birth; the lock tells it."""
        try:
            return self.birth in {"", birth_of(self.pid)}
        except OSError:
            return False
