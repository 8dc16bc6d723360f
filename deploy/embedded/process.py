"""One run of a service's process, its log file and its whole process group."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from deploy.embedded.logs import open_log
from deploy.embedded.service import Service


class ServiceProcess:
    """A started server; it leads a process group, so that nothing it started outlives it."""

    def __init__(self, process: asyncio.subprocess.Process, service: Service) -> None:
        self._process = process
        self._service = service

    @classmethod
    async def start(cls, service: Service, log: Path) -> "ServiceProcess":
        """Start the service with its output appended to `log`.

        A launcher that is killed hard takes its servers along: their ports are free for the next one.
        """
        on_death = f"--pdeathsig={service.stop_signal.name}"
        command = await asyncio.to_thread(service.rights().command, service.command(), on_death)
        with open_log(log) as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(service.environment()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process, service)

    @property
    def pid(self) -> int:
        """Process id, also the id of the group."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, SIGKILL after its timeout; then nothing of the group is left."""
        if self._process.returncode is None:
            self._process.send_signal(self._service.stop_signal)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), self._service.stop_timeout)
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """SIGKILL to the whole group; the python processes of a dead Triton are among it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
