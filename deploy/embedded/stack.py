"""All services together."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from deploy.embedded import shared_memory
from deploy.embedded.addresses import Addresses
from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.gateway import Gateway
from deploy.embedded.kafka import Kafka
from deploy.embedded.keeper import Keeper
from deploy.embedded.logs import rotate_all
from deploy.embedded.order import in_order, reverse
from deploy.embedded.own_process import OwnProcess
from deploy.embedded.ports import require_free
from deploy.embedded.postgres import Postgres
from deploy.embedded.s3 import S3
from deploy.embedded.service import Service
from deploy.embedded.state import ServiceState, StackState
from deploy.embedded.triton import Triton
from deploy.embedded.worker import Worker
from gateway.kafka.connection import connection_arguments
from gateway.settings import Settings
from gateway.supervision import stop_signals

ROTATION_INTERVAL = 1.0
"""Seconds between two looks at the sizes of the logs; readers look more often."""


def services_for(settings: Settings, folders: Folders) -> list[Service]:
    """The services that the settings ask for; a server whose address is given is not started.

    Where Triton's shared memory is small, they take smaller photos. Raises StackError, and SettingsError where what is
    said of the broker cannot be.
    """
    used = shared_memory.with_room(settings)
    addresses = Addresses.of(used, folders.secrets)
    if addresses.settings.kafka_bootstrap_servers:
        connection_arguments(addresses.settings)  # before anything is started, rather than in the log of a worker
    environment = {**addresses.environment(), **shared_memory.lowered(settings, used)}
    return [*_servers(addresses, folders), *_own_processes(addresses, folders, environment)]


def _servers(addresses: Addresses, folders: Folders) -> Iterator[Service]:
    settings = addresses.settings
    if addresses.own_postgres:
        yield Postgres(settings, folders)
    if addresses.own_s3:
        yield S3(settings, folders)
    if addresses.own_kafka:
        yield Kafka(settings)
    if shared_memory.is_used(settings):
        yield Triton(settings, folders)


def _own_processes(addresses: Addresses, folders: Folders, given: Mapping[str, str]) -> Iterator[Service]:
    """Without a database the gateway works on jobs itself."""
    settings, own = addresses.settings, OwnProcess.of(addresses, folders, given)
    yield Gateway(settings, own)
    for number in range(settings.worker_processes if settings.db_use_database else 0):
        yield Worker(settings, own, number)


class Stack:
    """Starts each service after those it needs, keeps all, stops them the other way round; its state is on disk."""

    def __init__(self, services: Sequence[Service], folders: Folders) -> None:
        self._services = services
        self._needs = {one.name: one.after for one in services}
        self._folders = folders
        waiting = {one.name: ServiceState(one.name, "waiting", None, dict(one.ports())) for one in services}
        self._state = StackState.of_launcher(waiting)
        self._keepers = {one.name: Keeper(one, folders.log(one.name), self._service_changed) for one in services}

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM. Raises StackError where a service does not start."""
        stop = asyncio.Event()
        for number in stop_signals():
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        rotating = asyncio.create_task(self._keep_logs_small())
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
            rotating.cancel()

    async def _keep_logs_small(self) -> None:
        while True:
            await asyncio.to_thread(rotate_all, self._folders.logs)
            await asyncio.sleep(ROTATION_INTERVAL)

    async def _serve(self) -> None:
        require_free([listener for service in self._services for listener in service.listens()])
        await in_order(self._needs, lambda name: self._keepers[name].start())
        self._change(replace(self._state, state="ready"))
        await asyncio.gather(*(keeper.watch() for keeper in self._keepers.values()))

    async def _stop(self) -> None:
        failed = bool(self._state.message)
        self._change(replace(self._state, state="stopping"))
        await in_order(reverse(self._needs), lambda name: self._keepers[name].stop())
        self._change(replace(self._state, state="failed" if failed else "stopped"))

    def _service_changed(self, service: ServiceState) -> None:
        self._change(self._state.with_service(service))

    def _change(self, state: StackState) -> None:
        self._state = state
        with contextlib.suppress(OSError):  # a full disk: who asks is told what was, and the servers go on
            state.write(self._folders.state)
