"""A service of the stack: what the launcher must know of it, a run of its process, and its supervision."""

import asyncio
import contextlib
import errno
import importlib.metadata
import os
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from deploy.embedded import StackError
from deploy.embedded.folders import ServiceState
from deploy.embedded.logs import LogReader, last_lines, open_log
from deploy.embedded.processes import work_of_session
from deploy.embedded.rights import Account, Rights
from gateway.logs import get_logger
from gateway.timing import Backoff

READY_INTERVAL = 0.1
PROBE_INTERVAL = 1.0
PROBES_TO_FAIL = 2
"""Seconds between probes until a service is ready and afterwards, and the number of failed ones in a row after which it
counts as down."""
RESTART_BACKOFF = Backoff(first_s=0.5, longest_s=5.0)
LEAST_WORK = 10
"""Increase of `work_of_session` that counts as a sign of work.

A Triton whose model sleeps makes 1 in 5 seconds. So does one that loads on a machine that is a hundred times too busy.
"""
LONGEST_TEXT = 4 * 1024 * 1024
"""Bytes of a log that are searched for what a server is doing."""
LOG_TAIL = 200
_OUTDATED = "its files are others now"
LINES_SHOWN = 3
"""Lines of the log that are searched for errors, and shown, when a service does not come up."""

_log = get_logger("deploy.embedded")


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
    beside: frozenset[str] = frozenset()
    """Those that only outlive it: it starts beside them, and waits for them itself when it needs them."""
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
        """Make what the server needs on disk. Called before each start. Raises StackError."""

    def clean_up(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what a killed server leaves behind. Called when no process of it is left."""

    def is_outdated(self) -> bool:
        """Whether it would run with other files if it were started now. Asked every second while it is ready."""
        return False

    def doing(self, log: str) -> str:  # noqa: ARG002 - most are up before anybody could ask
        """What it is doing while it starts, judged by its log since then. Empty if it does not say."""
        return ""

    def notes(self) -> Sequence[str]:
        """What does not work although it is ready, one line each."""
        return ()

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
        threading.Thread(target=self._wait_in_thread, args=(asyncio.get_running_loop(),), daemon=True).start()

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

    async def ended_within(self, seconds: float) -> int | None:
        """The same, but None if it has not ended after so many seconds."""
        await asyncio.wait({self._ended}, timeout=seconds)
        return self._ended.result() if self._ended.done() else None

    async def stop(self) -> None:
        """Ask it to end, and send SIGKILL after its timeout. Afterwards nothing of the group is left."""
        if not self.has_ended:
            os.kill(self.pid, self._service.stop_signal)
            await self.ended_within(self._service.stop_timeout)
        self.kill()
        await self.wait()

    def kill(self) -> None:
        """SIGKILL to the whole group, unless it has ended."""
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _wait_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        """In its own thread: wait without collecting the exit status, which would free the process id."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
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


@dataclass(frozen=True)
class StallTimeout:
    """Seconds without a sign of work after which a start is given up, and seconds between two checks."""

    seconds: float = 60.0
    check_interval: float = 1.0


USUAL_STALL = StallTimeout()


class ServiceSupervisor:
    """One supervised service. `changed` is called with each new state."""

    def __init__(
        self, service: Service, log: Path, changed: Callable[[ServiceState], None], stall: StallTimeout = USUAL_STALL
    ) -> None:
        self._service = service
        self._log_file = log
        self._changed = changed
        self._process: ServiceProcess | None = None
        self._stall = stall
        self._prepared = False
        self._restarts = 0
        self._faults: Sequence[str] = ()

    async def start(self) -> None:
        """Start and wait until it is ready. Raises StackError with the end of its log if that fails."""
        self._prepared = True
        await asyncio.to_thread(self._service.prepare)
        try:
            await self._come_up("starting")
        except StackError as error:
            await self.stop()
            raise StackError(f"{self._service.name} did not start: {error}\n{self._log_end()}") from error

    async def watch(self) -> None:
        """Restart the service whenever it dies, hangs or is outdated, for ever.

        An outdated one is killed, too: callers then ask again. A Triton that ends by itself tells them for seconds that
        its models are not there.
        """
        while True:
            reason = await self._until_down()
            _log.warning("service is down, starting it again", service=self._service.name, reason=reason)
            await self._restart()

    async def stop(self) -> None:
        """End the service and remove what it left. What another one left on the same ports is not removed."""
        if self._process is not None:
            self._report("stopping")
            await self._process.stop()
        if self._prepared:
            await asyncio.to_thread(self._service.clean_up)
        self._report("stopped")

    async def _come_up(self, state: str) -> None:
        """Start the process and wait until it is ready, for as long as it makes progress. Raises StackError."""
        log = LogReader(self._log_file)
        self._faults = await asyncio.to_thread(lambda: self._service.rights().faults())
        self._process = await ServiceProcess.start(self._service, self._log_file)
        self._report(state)
        tasks = [asyncio.ensure_future(one) for one in (self._until_ready(), self._until_stalled(state, log))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _restart(self) -> None:
        for pause_s in chain([0.0], RESTART_BACKOFF.pauses()):
            if self._process is not None:
                self._process.kill()
                await self._process.wait()
            await asyncio.sleep(pause_s)
            self._restarts += 1
            try:
                await asyncio.to_thread(self._service.prepare)
                await self._come_up("restarting")
            except (OSError, StackError) as error:
                _log.warning("service did not start", service=self._service.name, reason=str(error))
            else:
                return

    async def _until_ready(self) -> None:
        process, status = self._running(), None
        while status is None:
            if await self._serves():
                self._report("ready")
                return
            status = await process.ended_within(READY_INTERVAL)
        raise StackError(f"it ended with exit status {status}")

    async def _until_stalled(self, state: str, log: LogReader) -> None:
        """Report what the start is doing whenever that changes. Raises StackError when it stalls, or takes too long."""
        pid, began = self._running().pid, time.monotonic()
        seen, work, text, doing = began, work_of_session(pid), b"", ""
        while True:
            await asyncio.sleep(self._stall.check_interval)
            now, fresh = time.monotonic(), log.read()
            text = (text + fresh)[-LONGEST_TEXT:]
            if fresh or work_of_session(pid) >= work + LEAST_WORK:
                work, seen = work_of_session(pid), now
            if (does := self._service.doing(text.decode(errors="replace"))) != doing:
                doing = does
                self._report(state, doing)
            if now - seen > self._stall.seconds:
                raise StackError(f"{doing or 'it started'}, then did nothing for {self._stall.seconds:.0f} s")
            if now - began > self._service.start_timeout:
                raise StackError(f"{doing or 'it works'}, but is not ready after {self._service.start_timeout:.0f} s")

    async def _until_down(self) -> str:
        process, failed = self._running(), 0
        while failed < PROBES_TO_FAIL:
            if (status := await process.ended_within(PROBE_INTERVAL)) is not None:
                return f"exit status {status}"
            if await asyncio.to_thread(self._service.is_outdated):
                return _OUTDATED
            failed = 0 if await self._serves() else failed + 1
        return f"{failed} probes in a row failed"

    async def _serves(self) -> bool:
        try:
            await self._service.probe()
        except Exception:  # noqa: BLE001 - whatever a client library raises, the service did not answer
            return False
        return True

    def _running(self) -> ServiceProcess:
        if self._process is None:
            raise StackError(f"{self._service.name} was never started")
        return self._process

    def _report(self, state: str, doing: str = "") -> None:
        pid = self._process.pid if self._process and not self._process.has_ended else None
        ports = dict(self._service.ports())
        notes = [*self._service.notes(), *(self._faults if state == "ready" else ())]
        self._changed(ServiceState(self._service.name, state, pid, ports, self._restarts, doing, notes))

    def _log_end(self) -> str:
        lines = last_lines(self._log_file, LOG_TAIL)
        telling = [line for line in lines if "error" in line.lower()] or lines
        return "\n".join([*telling[-LINES_SHOWN:], f"the whole log: {self._log_file}"])
