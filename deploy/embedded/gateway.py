"""The gateway as a service of the stack."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from deploy.embedded.environment import Addresses, named_files, settings_environment
from deploy.embedded.folders import Folders
from deploy.embedded.rights import PYTHON, Rights, python_folders
from deploy.embedded.service import Listener, Service
from gateway.settings import Settings

_OF_POSTGRES = (".pg_service.conf", ".pgpass", ".postgresql")
_OF_AWS = (".aws",)
"""What clients of other servers look for in the home folder of their user."""


@dataclass(frozen=True)
class OwnProcess:
    """The gateway, or a worker."""

    folders: Folders
    environment: Mapping[str, str]
    read: Sequence[Path]

    @classmethod
    def of(cls, addresses: Addresses, folders: Folders, given: Mapping[str, str]) -> "OwnProcess":
        """What the settings ask for, with `given` before all; of other servers' logins those of servers in use."""
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

    def rights(self, ports: Sequence[int]) -> Rights:
        """It reads our code and what the settings name; without a database it keeps keys in a folder."""
        user = self.folders.servers
        write = [self.folders.access, self.folders.scratch(user)]
        return Rights(user, [PYTHON], read=[*python_folders(), *self.read], write=write, ports=ports)


PROBE_TIMEOUT = 5.0


async def ask_live(host: str, port: int) -> None:
    """GET /health/live. Raises OSError or http.client.HTTPException where the answer is not 200."""
    await asyncio.to_thread(_ask, host, port)


def _ask(host: str, port: int) -> None:
    """With the standard library's client: the probe runs every second, and a richer one costs 20 ms to make."""
    connection = HTTPConnection(host, port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise HTTPException(f"/health/live answered {answer.status}")


STOP_MARGIN = 15.0
"""Seconds beyond the time that work under way gets."""
LONGEST_REQUEST = 30.0
"""Seconds that requests in flight get; see gateway/server.py."""


class Gateway(Service):
    """`python -m gateway` in a process of its own."""

    name = "gateway"
    after = frozenset({"postgres", "s3", "kafka", "triton"})

    def __init__(self, settings: Settings, own: OwnProcess) -> None:
        self._settings = settings
        self._own = own
        self.stop_timeout = max(LONGEST_REQUEST, settings.shutdown_grace_s) + STOP_MARGIN

    def prepare(self) -> None:
        """Nothing: the gateway keeps nothing on disk."""

    def command(self) -> list[str]:
        """This environment's Python."""
        return [sys.executable, "-m", "gateway"]

    def environment(self) -> Mapping[str, str]:
        """The settings that the launcher was given, with the addresses of the stack."""
        return self._own.environment

    def ports(self) -> Mapping[str, int]:
        """The HTTP port, and that of the figures where there is one."""
        figures = self._settings.figures_port
        return {"API_PORT": self._settings.api_port, **({"PROMETHEUS_PORT": figures} if figures else {})}

    def listens(self) -> Sequence[Listener]:
        """The same, at the address that API_HOST names."""
        return [Listener(name, port, self._settings.local_host) for name, port in self.ports().items()]

    def rights(self) -> Rights:
        """Our code, and what the settings name."""
        return self._own.rights(list(self.ports().values()))

    async def probe(self) -> None:
        """Ask whether the process is live. Raises OSError or http.client.HTTPException."""
        await ask_live(self._settings.local_host, self._settings.api_port)

    def clean_up(self) -> None:
        """Nothing: the gateway leaves nothing behind."""


class Worker(Service):
    """`python -m gateway.worker` in a process of its own; several are counted from 0."""

    after = frozenset({"postgres", "s3", "kafka", "triton"})

    def __init__(self, settings: Settings, own: OwnProcess, number: int) -> None:
        self.name = f"worker-{number + 1}" if number else "worker"
        self._host = settings.local_host
        self._port = settings.worker_port + number
        self._own = own
        self.stop_timeout = settings.shutdown_grace_s + STOP_MARGIN

    def prepare(self) -> None:
        """Nothing: a worker keeps nothing on disk."""

    def command(self) -> list[str]:
        """This environment's Python."""
        return [sys.executable, "-m", "gateway.worker"]

    def environment(self) -> Mapping[str, str]:
        """The settings that the launcher was given, with the addresses of the stack and a port of its own."""
        return {**self._own.environment, "WORKER_PORT": str(self._port)}

    def ports(self) -> Mapping[str, int]:
        """The port of the health page."""
        return {"WORKER_PORT": self._port}

    def listens(self) -> Sequence[Listener]:
        """The same, at the address that API_HOST names."""
        return [Listener("WORKER_PORT", self._port, self._host)]

    def rights(self) -> Rights:
        """Our code, and what the settings name."""
        return self._own.rights([self._port])

    async def probe(self) -> None:
        """Ask whether the process is live. Raises OSError or http.client.HTTPException."""
        await ask_live(self._host, self._port)

    def clean_up(self) -> None:
        """Nothing: a worker leaves nothing behind."""
