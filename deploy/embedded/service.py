"""One server of the stack: how to start it, and how to tell that it serves."""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.embedded.account import Account
from deploy.embedded.ports import Listener
from deploy.embedded.rights import Rights


class Service(ABC):
    """What the supervisor needs to know of a server."""

    name: str
    after: frozenset[str] = frozenset()
    """Services of the stack that must serve before this one starts, and outlive it."""
    stop_signal: signal.Signals = signal.SIGTERM
    """What makes it end by itself, and what it gets when the launcher dies."""
    stop_timeout: float = 35.0
    """Seconds it has to end by itself."""
    start_timeout: float = 300.0
    """Seconds it has to come up, if it works all the time."""

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
        """The ports that others use, by the setting that gives each."""

    @abstractmethod
    async def probe(self) -> None:
        """Return once the server has served a request; raise where it has not."""

    @abstractmethod
    def clean_up(self) -> None:
        """Remove what a killed server leaves behind; called when no process of it is left."""

    def doing(self, log: str) -> str:  # noqa: ARG002 - most are up before anybody could ask
        """What it is at while it starts, by what it has logged since; empty where it does not say."""
        return ""

    def notes(self) -> Sequence[str]:
        """What of it does not work although it serves, one line each."""
        return ()

    def renew(self) -> None:
        """Make ready for another start, when no process of the one before is left. Raises StackError."""
        self.clean_up()

    def listens(self) -> Sequence[Listener]:
        """Every port it takes, each with the setting that moves it."""
        return [Listener(setting, port) for setting, port in self.ports().items()]

    def rights(self) -> Rights:
        """As whom it runs, and which files it reaches; those of this process, where it says nothing else."""
        return Rights(Account(os.geteuid(), os.getegid()), [], write=[Path("/")])
