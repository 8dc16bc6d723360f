"""What the launcher must know about each server, and one run of its process."""

import asyncio
import contextlib
import errno
import importlib.metadata
import os
import signal
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.embedded import StackError
from deploy.embedded.logs import open_log
from deploy.embedded.rights import Account, Rights


class Listener(NamedTuple):
    """A port that a service uses, and the setting that changes it."""

    setting: str
    port: int
    host: str = "127.0.0.1"


class Service(ABC):
    """One server: how to start it, its user, and how to tell that it is ready."""

    name: str
    after: frozenset[str] = frozenset()
    """Services of the stack that must be ready before this one starts, and outlive it."""
    stop_signal: signal.Signals = signal.SIGTERM
    """The signal that makes it end by itself. It also gets it when the launcher dies."""
    stop_timeout: float = 35.0
    """Seconds that it has to end by itself."""
    start_timeout: float = 300.0
    """Seconds that it has to come up, if it makes progress all the time."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """The whole environment of the process."""

    @abstractmethod
    def ports(self) -> Mapping[str, int]:
        """The ports that others use, by the setting of each."""

    @abstractmethod
    async def probe(self) -> None:
        """Return once the server has served a request. Raise if it has not."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Make what the server needs on disk. Raises StackError."""

    def clean_up(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what a killed server leaves behind. Called when no process of it is left."""

    def doing(self, log: str) -> str:  # noqa: ARG002 - most are up before anybody could ask
        """What it is doing while it starts, judged by its log since then. Empty if it does not say."""
        return ""

    def notes(self) -> Sequence[str]:
        """What does not work although it is ready, one line each."""
        return ()

    def renew(self) -> None:
        """Prepare another start, when no process of the last one is left. Raises StackError."""
        self.clean_up()

    def listens(self) -> Sequence[Listener]:
        """Every port that it uses, each with the setting that changes it."""
        return [Listener(setting, port) for setting, port in self.ports().items()]

    def rights(self) -> Rights:
        """Its user, and the files that it can reach. By default those of this process."""
        return Rights(Account(os.geteuid(), os.getegid()), [], write=[Path("/")])


class ServiceProcess:
    """A started server. It leads a process group, so that nothing it started outlives it.

    Its process id, which is also the group's, stays its own until the process was waited for. So the group is killed
    first, and nothing is signalled after that: the id may then belong to another program.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", service: Service) -> None:
        self._process = process
        self._service = service
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._notice_end, args=(asyncio.get_running_loop(),), daemon=True).start()

    @classmethod
    async def start(cls, service: Service, log: Path) -> "ServiceProcess":
        """Start the service with its output appended to `log`.

        If the launcher is killed hard, its servers end too, and their ports are free for the next one.
        """
        on_death = f"--pdeathsig={service.stop_signal.name}"
        command = await asyncio.to_thread(service.rights().command, service.command(), on_death)
        with open_log(log) as output:
            process = subprocess.Popen(  # noqa: ASYNC220 - the thread that starts it must live on, or it is told to end
                command,
                env=dict(service.environment()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process, service)

    @property
    def pid(self) -> int:
        """Process id, also the id of the group."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it was waited for. Then its process id means nothing any more."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for the end of the process and its group. Returns the exit status, negative for a signal."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Ask it to end, and send SIGKILL after its timeout. Afterwards nothing of the group is left."""
        if not self.has_ended:
            os.kill(self.pid, self._service.stop_signal)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.wait(), self._service.stop_timeout)
        self.kill()
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to the whole group, unless it has ended."""
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _notice_end(self, loop: asyncio.AbstractEventLoop) -> None:
        """In its own thread: wait without collecting the exit status, which would free the process id."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._bury)

    def _bury(self) -> None:
        """The python processes of a dead Triton outlive it. They are killed while the group's id is reserved."""
        self.kill()
        self._ended.set_result(self._process.wait())


def require_free(listeners: Iterable[Listener]) -> None:
    """Raise StackError for the first port that is in use, or given twice."""
    seen: dict[int, Listener] = {}
    for listener in listeners:
        if listener.port in seen:
            both = f"{listener.setting} and {seen[listener.port].setting}"
            raise StackError(f"{both} both take port {listener.port}; give each its own")
        seen[listener.port] = listener
    for listener in seen.values():
        _require_free(*listener)


def _require_free(setting: str, port: int, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StackError(f"port {port} is taken by another program; move {setting} to a free one") from error
            raise StackError(f"cannot listen on {host}:{port} ({setting}): {error.strerror}") from error


def installed_binary(distribution: str, name: str) -> Path:
    """The program of that file name in an installed distribution. Of several releases in it, the last.

    Raises StackError if there is none that can run.
    """
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise StackError(f"{distribution} is not installed; run `pip install -e '.[embedded]'`") from error
    paths = [Path(str(file.locate())).resolve() for file in files if file.name == name]
    programs = [path for path in paths if path.is_file() and os.access(path, os.X_OK)]
    if not programs:
        raise StackError(f"{distribution} holds no program {name} for this machine; install another version of it")
    return max(programs)
