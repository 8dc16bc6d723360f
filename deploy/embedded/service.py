"""One server of the stack: how to start it, and how to tell that it serves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping


class Service(ABC):
    """What the supervisor needs to know of a server."""

    name: str

    @abstractmethod
    def prepare(self) -> None:
        """Make what the server needs on disk. Raises StackError."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """The whole environment of the process."""

    @abstractmethod
    def ports(self) -> Mapping[str, int]:
        """The ports it listens on, by the setting that gives each."""

    @abstractmethod
    async def probe(self) -> None:
        """Return once the server has served a request; raise where it has not."""

    @abstractmethod
    def clean_up(self) -> None:
        """Remove what a killed server leaves behind; called when no process of it is left."""
