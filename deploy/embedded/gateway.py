"""The gateway as a service of the stack."""

import os
import sys
from collections.abc import Mapping

import httpx

from deploy.embedded.service import Service
from gateway.settings import Settings


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
        return {"PORT": self._settings.api_port}

    async def probe(self) -> None:
        """Ask whether the process is live. Raises httpx.HTTPError."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            (await client.get(f"http://127.0.0.1:{self._settings.api_port}/health/live")).raise_for_status()

    def clean_up(self) -> None:
        """Nothing: the gateway leaves nothing behind."""
