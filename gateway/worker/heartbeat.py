"""Keeps the leases of the jobs in hand, and says that the worker lives."""

import anyio

from gateway.errors import Problem
from gateway.settings import Settings
from gateway.supervision import Pulse, reason_of
from gateway.worker.runner import Runner

_RENEWALS_PER_LEASE = 3
_LONGEST_PAUSE_S = 10.0


class Heartbeat:
    """Speaks for one runner, three times in each LEASE_S."""

    def __init__(self, settings: Settings, runner: Runner) -> None:
        self.pulse = Pulse("heartbeat")
        self._lease_s = settings.lease_s
        self._runner = runner

    @property
    def capacity(self) -> int:
        """How many inferences the worker can have under way; 0 once it takes no more."""
        return self._runner.capacity

    async def run(self) -> None:
        """Renew every third of a lease until cancelled. Raises Problem `store_unavailable`."""
        while True:
            await self.renew()
            self.pulse.beat()
            await anyio.sleep(min(self._lease_s / _RENEWALS_PER_LEASE, _LONGEST_PAUSE_S))

    async def retire(self) -> None:
        """Say that the worker takes no more jobs; its leases are renewed as before."""
        self._runner.capacity = 0
        try:
            await self.renew()
        except Problem as problem:
            self.pulse.fail(reason_of(problem))

    async def renew(self) -> None:
        """Renew the leases in hand, and stop the work of those that are over. Raises Problem `store_unavailable`."""
        held = tuple(self._runner.held)
        kept = await self._runner.renew(held)
        for token in held:
            if token not in kept:
                self._runner.lose(token)
