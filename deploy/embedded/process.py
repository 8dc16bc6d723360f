"""One run of a service's process, its log file and its whole process group."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path

from deploy.embedded.logs import open_log
from deploy.embedded.service import Service


class ServiceProcess:
    """A started server; it leads a process group, so that nothing it started outlives it.

    Its number, which is also the group's, stays its own until it was waited for. So the group is killed first, and
    nothing is ever signalled after that: the number may be another program's by then.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", service: Service) -> None:
        self._process = process
        self._service = service
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._notice_end, args=(asyncio.get_running_loop(),), daemon=True).start()

    @classmethod
    async def start(cls, service: Service, log: Path) -> "ServiceProcess":
        """Start the service with its output appended to `log`.

        A launcher that is killed hard takes its servers along: their ports are free for the next one.
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
        """Whether it was waited for: its process id says nothing any more."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for the end of it and its group; the exit status, negative for a signal."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """Ask it to end, SIGKILL after its timeout; then nothing of the group is left."""
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
        """In a thread of its own: wait without taking the exit status, which would free the number."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._bury)

    def _bury(self) -> None:
        """The python processes of a dead Triton outlive it: they go while the group's number is held."""
        self.kill()
        self._ended.set_result(self._process.wait())
