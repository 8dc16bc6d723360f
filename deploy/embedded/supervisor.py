"""Supervises one service: starts it, watches it, starts it again."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded import StackError
from deploy.embedded.folders import ServiceState
from deploy.embedded.logs import LogReader, last_lines
from deploy.embedded.processes import work_of_session
from deploy.embedded.service import Service, ServiceProcess
from gateway.logs import get_logger

PROBE_INTERVAL = 1.0
PROBES_TO_FAIL = 2
"""Seconds between probes, and the number of failed ones in a row after which a service counts as down."""
LONGEST_BACKOFF = 5.0
LEAST_WORK = 10
"""Increase of `work_of_session` that counts as a sign of work.

A Triton whose model sleeps makes 1 in 5 seconds. So does one that loads on a machine that is a hundred times too busy.
"""
LONGEST_TEXT = 4 * 1024 * 1024
"""Bytes of a log that are searched for what a server is doing."""
LOG_TAIL = 200
LINES_SHOWN = 3
"""Lines of the log that are searched for errors, and shown, when a service does not come up."""

_log = get_logger("deploy.embedded")


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
        """Restart the service whenever it dies or hangs, for ever."""
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
        backoff = 0.0
        while True:
            if self._process is not None:
                self._process.kill()
                await self._process.wait()
            await asyncio.sleep(backoff)
            self._restarts += 1
            try:
                await asyncio.to_thread(self._service.renew)
                await self._come_up("restarting")
            except (OSError, StackError) as error:
                _log.warning("service did not start", service=self._service.name, reason=str(error))
                backoff = min(LONGEST_BACKOFF, 2 * backoff + 0.5)
            else:
                return

    async def _until_ready(self) -> None:
        process = self._running()
        exited = asyncio.ensure_future(process.wait())
        try:
            while not exited.done():
                if await self._serves():
                    self._report("ready")
                    return
                await asyncio.wait({exited}, timeout=0.1)
        finally:
            exited.cancel()
        raise StackError(f"it ended with exit status {exited.result()}")

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
        process = self._running()
        exited = asyncio.ensure_future(process.wait())
        failed = 0
        try:
            while failed < PROBES_TO_FAIL:
                await asyncio.wait({exited}, timeout=PROBE_INTERVAL)
                if exited.done():
                    return f"exit status {exited.result()}"
                failed = 0 if await self._serves() else failed + 1
        finally:
            exited.cancel()
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
