"""Where the embedded stack keeps its files."""

from dataclasses import dataclass
from pathlib import Path

from gateway.settings.kept import lock_file

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Folders:
    """Paths under one home folder, `MASKWRIGHT_HOME`."""

    home: Path

    @property
    def logs(self) -> Path:
        """One log file a service."""
        return self.home / "logs"

    @property
    def state(self) -> Path:
        """The running stack's state, JSON."""
        return self.home / "stack.json"

    @property
    def lock(self) -> Path:
        """Locked for as long as a launcher runs."""
        return lock_file(self.home)

    @property
    def triton(self) -> Path:
        """What Triton is started on: backends and generated model folders."""
        return self.home / "triton"

    @property
    def data(self) -> Path:
        """What the servers keep, one folder each."""
        return self.home / "data"

    @property
    def secrets(self) -> Path:
        """The embedded servers' passwords, JSON."""
        return self.home / "secrets.json"

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"

    def create(self) -> None:
        """Make the folders that are missing."""
        for folder in (self.home, self.logs, self.triton, self.data):
            folder.mkdir(parents=True, exist_ok=True)
