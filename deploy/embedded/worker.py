"""A worker as a service of the stack."""

import sys
from collections.abc import Mapping, Sequence

from deploy.embedded.gateway import STOP_MARGIN
from deploy.embedded.live_probe import ask_live
from deploy.embedded.own_process import OwnProcess
from deploy.embedded.ports import Listener
from deploy.embedded.rights import Rights
from deploy.embedded.service import Service
from gateway.settings import Settings


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
