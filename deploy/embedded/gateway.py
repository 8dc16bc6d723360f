"""The gateway as a service of the stack."""

import asyncio
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from deploy.embedded.service import Service
from gateway.settings import Settings

PROBE_TIMEOUT = 5.0


class Gateway(Service):
    """`python -m gateway` in a process of its own."""

    name = "gateway"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> None:
        """Nothing: the gateway keeps nothing on disk."""

    def command(self) -> list[str]:
        """This environment's Python."""
        return [sys.executable, "-m", "gateway"]

    def environment(self) -> Mapping[str, str]:
        """The launcher's own: the gateway reads the same settings."""
        return os.environ

    def ports(self) -> Mapping[str, int]:
        """The HTTP port."""
        return {"API_PORT": self._settings.api_port}

    async def probe(self) -> None:
        """Ask whether the process is live. Raises OSError or http.client.HTTPException."""
        await asyncio.to_thread(self._ask)

    def _ask(self) -> None:
        """With the standard library's client: the probe runs every second, and a richer one costs 20 ms to make."""
        connection = HTTPConnection(self._settings.local_host, self._settings.api_port, timeout=PROBE_TIMEOUT)
        try:
            connection.request("GET", "/health/live")
            answer = connection.getresponse()
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise HTTPException(f"/health/live answered {answer.status}")

    def clean_up(self) -> None:
        """Nothing: the gateway leaves nothing behind."""
