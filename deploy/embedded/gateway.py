"""The gateway as a service of the stack."""

import sys
from collections.abc import Mapping, Sequence

from deploy.embedded.live_probe import ask_live
from deploy.embedded.own_process import OwnProcess
from deploy.embedded.ports import Listener
from deploy.embedded.rights import Rights
from deploy.embedded.service import Service
from gateway.settings import Settings

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
