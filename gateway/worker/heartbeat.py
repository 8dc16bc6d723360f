"""Keeps the leases of the jobs in hand, and says that the worker lives."""

import time

import anyio

from gateway.jobs.store import JobStore
from gateway.problems import Problem
from gateway.settings import Settings
from gateway.worker.pulse import Pulse
from gateway.worker.runner import Runner

_RENEWALS_PER_LEASE = 3
_LONGEST_PAUSE_S = 10.0


class Heartbeat:
    """`capacity` is how many inferences the worker can have under way; 0 once it takes no more."""

    def __init__(self, settings: Settings, jobs: JobStore, runner: Runner) -> None:
        self.pulse = Pulse("heartbeat")
        self.capacity = settings.service_concurrency
        self._lease_s = settings.lease_s
        self._jobs = jobs
        self._runner = runner

    async def run(self) -> None:
        """Renew every third of a lease until cancelled. Raises Problem `store_unavailable`."""
        while True:
            await self.renew()
            self.pulse.beat()
            await anyio.sleep(min(self._lease_s / _RENEWALS_PER_LEASE, _LONGEST_PAUSE_S))

    async def retire(self) -> None:
        """Say that the worker takes no more jobs; its leases are renewed as before."""
        self.capacity = 0
        try:
            await self.renew()
        except Problem as problem:
            self.pulse.fail(str(problem))

    async def renew(self) -> None:
        """Renew the leases in hand, and stop the work of those that are over. Raises Problem `store_unavailable`."""
        held = dict(self._runner.held)
        holds_until = time.monotonic() + self._lease_s
        kept = await self._jobs.renew(self._runner.worker, self.capacity, tuple(held), self._lease_s)
        for token, lease in held.items():
            if token in kept:
                lease.extend(holds_until)
            else:
                self._runner.lose(token)
