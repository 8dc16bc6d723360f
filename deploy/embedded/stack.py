"""All services together; and the launcher's process: `python -m deploy.embedded.stack`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace

from deploy.embedded import StackError, hardware
from deploy.embedded.addresses import Addresses
from deploy.embedded.folders import Folders, ServiceState, StackState
from deploy.embedded.launcher import end_leftovers, only_launcher
from deploy.embedded.logs import rotate_all
from deploy.embedded.own_processes import Gateway, OwnProcess, Worker
from deploy.embedded.postgres import Postgres
from deploy.embedded.s3_kafka import S3, Kafka
from deploy.embedded.supervisor import Service, ServiceSupervisor, require_free
from deploy.embedded.triton import Triton
from gateway.background import stop_signals
from gateway.kafka.connection import connection_arguments
from gateway.logs import configure_logs, get_logger
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks
from gateway.settings.sources import KeptError, KeptSettings, started_with

ROTATION_INTERVAL = 1.0
"""Seconds between two checks of the sizes of the logs. Readers check more often."""
Needs = Mapping[str, AbstractSet[str]]
"""What each name waits for. Names that are not keys are ignored."""


def services_for(settings: Settings, folders: Folders) -> list[Service]:
    """The services that the settings ask for. A server whose address is given is not started.

    If Triton's shared memory is small, they accept smaller photos. Raises StackError, and SettingsError if the broker's
    settings are impossible.
    """
    used = hardware.fitted_to_machine(settings)
    addresses = Addresses.of(used, folders.secrets)
    if addresses.settings.kafka_bootstrap_servers:
        connection_arguments(addresses.settings)  # before anything is started, rather than in the log of a worker
    environment = {**addresses.environment(), **hardware.lowered(settings, used)}
    return [*_servers(addresses, folders), *_own_processes(addresses, folders, environment)]


def _servers(addresses: Addresses, folders: Folders) -> Iterator[Service]:
    settings = addresses.settings
    if addresses.own_postgres:
        yield Postgres(settings, folders)
    if addresses.own_s3:
        yield S3(settings, folders)
    if addresses.own_kafka:
        yield Kafka(settings)
    if hardware.is_used(settings):
        yield Triton(settings, folders)


def _own_processes(addresses: Addresses, folders: Folders, given: Mapping[str, str]) -> Iterator[Service]:
    """Without a database the gateway processes jobs itself."""
    settings, own = addresses.settings, OwnProcess.of(addresses, folders, given)
    yield Gateway(settings, own)
    for number in range(settings.worker_processes if settings.db_use_database else 0):
        yield Worker(settings, own, number)


class Stack:
    """Starts each service after those it needs, supervises all, and stops each before those that outlive it.

    Its state is on disk.
    """

    def __init__(self, services: Sequence[Service], folders: Folders) -> None:
        self._services = services
        self._needs = {one.name: one.after for one in services}
        self._outlived_by = {one.name: one.after | one.beside for one in services}
        self._folders = folders
        waiting = {one.name: ServiceState(one.name, "waiting", None, dict(one.ports())) for one in services}
        self._state = StackState.of_launcher(waiting)
        self._supervisors = {
            one.name: ServiceSupervisor(one, folders.log(one.name), self._service_changed) for one in services
        }

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM. Raises StackError if a service does not start."""
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
        await in_order(self._needs, lambda name: self._supervisors[name].start())
        self._change(replace(self._state, state="ready"))
        await asyncio.gather(*(supervisor.watch() for supervisor in self._supervisors.values()))

    async def _stop(self) -> None:
        failed = bool(self._state.message)
        self._change(replace(self._state, state="stopping"))
        await in_order(reverse(self._outlived_by), lambda name: self._supervisors[name].stop())
        self._change(replace(self._state, state="failed" if failed else "stopped"))

    def _service_changed(self, service: ServiceState) -> None:
        self._change(self._state.with_service(service))

    def _change(self, state: StackState) -> None:
        self._state = state
        with contextlib.suppress(OSError):  # a full disk: the old state stays readable, and the servers go on
            state.write(self._folders.state)


async def in_order(needs: Needs, action: Callable[[str], Awaitable[None]]) -> None:
    """Run the action for every name, each after what it needs and in parallel with the rest.

    The first error ends what still runs, and is raised. A circle would wait for ever.
    """
    done = {name: asyncio.Event() for name in needs}

    async def run(name: str) -> None:
        for needed in needs[name] & done.keys():
            await done[needed].wait()
        await action(name)
        done[name].set()

    tasks = [asyncio.ensure_future(run(name)) for name in needs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reverse(needs: Needs) -> Needs:
    """The same in the opposite direction: each name waits for those that need it."""
    return {name: {other for other, needed in needs.items() if name in needed} for name in needs}


@contextmanager
def keeping(settings: Settings, folders: Folders, services: Sequence[Service]) -> Iterator[None]:
    """Other shells know the settings while the context lasts. Raises StackError if they cannot be written."""
    given = started_with()
    addresses = Addresses.of(settings, folders.secrets)
    ports = {setting: str(port) for service in reversed(services) for setting, port in service.ports().items()}
    running = {**_outside(addresses, given), **ports, **addresses.environment()}
    try:
        KeptSettings(os.getpid(), given, running).write(folders.home)
    except (OSError, KeptError) as error:
        raise StackError(f"what the stack is started with cannot be kept in {folders.home}: {error}") from error
    try:
        yield
    finally:
        KeptSettings.remove(folders.home)


def _outside(addresses: Addresses, given: Mapping[str, str]) -> Mapping[str, str]:
    """How to reach the servers that are not the stack's own: their logins, TLS, and names in them."""
    own = {"POSTGRES_": addresses.own_postgres, "MINIO_": addresses.own_s3, "KAFKA_": addresses.own_kafka}
    prefixes = tuple(prefix for prefix, is_own in own.items() if not is_own)
    used = addresses.settings.db_use_database and prefixes
    return {name: value for name, value in given.items() if used and name.startswith(prefixes) and name[-5:] != "_PORT"}


def main() -> int:
    """Run the stack until it is told to stop. Returns 1, with a message, if it cannot start."""
    # If our parent ignores SIGCHLD, so would we, and a dead server's process id would be free before we notice.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(0o077)
    try:
        settings = Settings.from_environment()
        folders = Folders.at(settings.maskwright_home.absolute())
        folders.create()
        configure_logs(settings)
        log_remarks(get_logger("gateway.settings"), Settings.model_fields)
        with only_launcher(folders):
            end_leftovers(folders)
            services = services_for(settings, folders)
            with keeping(settings, folders, services):
                asyncio.run(Stack(services, folders).run())
    except (StackError, SettingsError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the only thing a person sees of a failed start
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
