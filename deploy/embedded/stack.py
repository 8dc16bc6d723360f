"""All services together."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.gateway import Gateway
from deploy.embedded.keeper import Keeper
from deploy.embedded.ports import require_free
from deploy.embedded.service import Service
from deploy.embedded.state import ServiceState, StackState
from deploy.embedded.triton import Triton
from gateway.settings import Settings


def services_for(settings: Settings, folders: Folders) -> list[Service]:
    """The services that the settings ask for, in the order of their start; a Triton given by address is not started."""
    own_triton = settings.triton_grpc_url == f"127.0.0.1:{settings.triton_grpc_port}"
    return [*([Triton(settings, folders)] if own_triton else []), Gateway(settings)]


class Stack:
    """Starts services in order, keeps them, stops them in the opposite order; its state is always on disk."""

    def __init__(self, services: Sequence[Service], folders: Folders, host: str) -> None:
        self._services = services
        self._host = host
        self._folders = folders
        self._state = StackState(os.getpid(), "starting")
        self._keepers = [Keeper(service, folders.log(service.name), self._service_changed) for service in services]

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM. Raises StackError where a service does not start."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        except StackError as error:
            self._change(replace(self._state, message=str(error)))
            raise
        finally:
            await self._stop()

    async def _serve(self) -> None:
        require_free(self._host, {setting: port for one in self._services for setting, port in one.ports().items()})
        for keeper in self._keepers:
            await keeper.start()
        self._change(replace(self._state, state="ready"))
        await asyncio.gather(*(keeper.watch() for keeper in self._keepers))

    async def _stop(self) -> None:
        failed = bool(self._state.message)
        self._change(replace(self._state, state="stopping"))
        for keeper in reversed(self._keepers):
            await keeper.stop()
        self._change(replace(self._state, state="failed" if failed else "stopped"))

    def _service_changed(self, service: ServiceState) -> None:
        self._change(self._state.with_service(service))

    def _change(self, state: StackState) -> None:
        self._state = state
        state.write(self._folders.state)
