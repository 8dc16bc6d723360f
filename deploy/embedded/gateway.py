"""Our own processes as services of the stack: the gateway and the workers."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from typing_extensions import override

from deploy.embedded.environment import Addresses, named_files, settings_environment
from deploy.embedded.folders import Folders
from deploy.embedded.rights import PYTHON, Rights, python_folders
from deploy.embedded.service import Listener, Service
from gateway.settings import Settings

PROBE_TIMEOUT = 5.0
STOP_MARGIN = 15.0
"""Seconds beyond the time for work in progress."""
LONGEST_REQUEST = 30.0
"""Seconds for requests in flight; see gateway/server.py."""
_OF_POSTGRES = (".pg_service.conf", ".pgpass", ".postgresql")
_OF_AWS = (".aws",)
"""Files that clients of other servers look for in the home folder of their user."""


@dataclass(frozen=True)
class OwnProcess:
    """What each of our own processes gets: its environment, and the files beside our code that it may read."""

    folders: Folders
    environment: Mapping[str, str]
    read: Sequence[Path]

    @classmethod
    def of(cls, addresses: Addresses, folders: Folders, given: Mapping[str, str]) -> "OwnProcess":
        """From the settings, with `given` before all. Logins are included only for servers in use."""
        uses = addresses.settings.db_use_database
        postgres, aws = (uses and not addresses.own_postgres), (uses and not (addresses.own_s3 and addresses.own_kafka))
        prefixes = (*(("PG",) if postgres else ()), *(("AWS_",) if aws else ()))
        environment = settings_environment(prefixes)
        home = Path(environment.get("HOME", "/"))
        names = (*(_OF_POSTGRES if postgres else ()), *(_OF_AWS if aws else ()))
        files = [home / name for name in names if os.path.lexists(home / name)]
        scratch = str(folders.scratch(folders.servers))
        if folders.servers.is_other:
            environment |= {"TMPDIR": scratch, **({} if files else {"HOME": scratch})}
        environment |= {"MASKWRIGHT_HOME": str(folders.home), **given}
        return cls(folders, environment, [*files, *named_files(environment)])


class _OwnService(Service):
    """`python -m MODULE`. The first of its ports answers health checks."""

    after = frozenset({"postgres", "s3", "kafka", "triton"})

    def __init__(self, module: str, host: str, ports: Mapping[str, int], own: OwnProcess) -> None:
        self._module = module
        self._host = host
        self._ports = ports
        self._own = own

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-m", self._module]

    @override
    def environment(self) -> Mapping[str, str]:
        return self._own.environment

    @override
    def ports(self) -> Mapping[str, int]:
        return self._ports

    @override
    def listens(self) -> Sequence[Listener]:
        """At the address in API_HOST."""
        return [Listener(setting, port, self._host) for setting, port in self._ports.items()]

    @override
    def rights(self) -> Rights:
        """It reads our code and what the settings name. Without a database it stores keys in a folder."""
        folders = self._own.folders
        write = [folders.access, folders.scratch(folders.servers)]
        read, ports = [*python_folders(), *self._own.read], list(self._ports.values())
        return Rights(folders.servers, [PYTHON], read=read, write=write, ports=ports)

    @override
    async def probe(self) -> None:
        """Raises OSError or http.client.HTTPException if the process is not live."""
        await asyncio.to_thread(_ask_live, self._host, next(iter(self._ports.values())))


class Gateway(_OwnService):
    """The gateway. Its ports are those of HTTP and, if there is one, of metrics."""

    name = "gateway"

    def __init__(self, settings: Settings, own: OwnProcess) -> None:
        metrics = {"PROMETHEUS_PORT": settings.metrics_port} if settings.metrics_port else {}
        super().__init__("gateway", settings.local_host, {"API_PORT": settings.api_port, **metrics}, own)
        self.stop_timeout = max(LONGEST_REQUEST, settings.shutdown_grace_s) + STOP_MARGIN


class Worker(_OwnService):
    """A worker. Several are counted from 0, each with its own port for its health page."""

    def __init__(self, settings: Settings, own: OwnProcess, number: int) -> None:
        super().__init__("gateway.worker", settings.local_host, {"WORKER_PORT": settings.worker_port + number}, own)
        self.name = f"worker-{number + 1}" if number else "worker"
        self.stop_timeout = settings.shutdown_grace_s + STOP_MARGIN

    @override
    def environment(self) -> Mapping[str, str]:
        return {**self._own.environment, **{setting: str(port) for setting, port in self._ports.items()}}


def _ask_live(host: str, port: int) -> None:
    """GET /health/live with the standard library's client: the probe runs every second, others take 20 ms to make."""
    connection = HTTPConnection(host, port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise HTTPException(f"/health/live answered {answer.status}")
