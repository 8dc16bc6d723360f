"""A worker: its parts, from start to graceful stop."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import anyio

from gateway.logs import get_logger
from gateway.metrics.kafka import KafkaFigures
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.triton import Triton
from gateway.worker.crew import Crew, open_crew
from gateway.worker.part import Part

_LAST_DELIVERIES_S = 1.0
"""What the relay gets where the jobs took the whole grace."""


class Worker:
    """Works on jobs for as long as `run` runs; `crew` is there meanwhile."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        triton: Triton,
        registry: Mapping[str, Pipeline],
        figures: KafkaFigures,
    ) -> None:
        self.crew: Crew | None = None
        self._figures = figures
        self._settings = settings
        self._stores = stores
        self._triton = triton
        self._registry = registry
        self._log = get_logger("gateway.worker")

    async def run(self) -> None:
        """Work until cancelled, then end: jobs in hand get SHUTDOWN_GRACE_S, then they are handed back."""
        async with open_crew(self._settings, self._stores, self._triton, self._registry, self._figures) as crew:
            self.crew = crew
            self._log.info("worker starts", worker=crew.runner.worker, capacity=crew.heartbeat.capacity)
            ingesting = asyncio.create_task(_keep_running(crew.ingesters))
            keeping = asyncio.create_task(_keep_running(crew.keepers))
            try:
                await _keep_running(crew.claimers)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._stop(crew, ingesting, keeping)
                self.crew = None

    async def _stop(self, crew: Crew, ingesting: "asyncio.Task[None]", keeping: "asyncio.Task[None]") -> None:
        """Leaving Kafka's group takes seconds, in which the jobs in hand go on."""
        self._log.info("worker stops", worker=crew.runner.worker, in_flight=len(crew.runner.held))
        ends = time.monotonic() + self._settings.shutdown_grace_s
        ingesting.cancel()
        await crew.heartbeat.retire()
        await crew.runner.drain(self._settings.shutdown_grace_s)
        keeping.cancel()
        await asyncio.wait([ingesting, keeping])
        grace_s = max(_LAST_DELIVERIES_S, ends - time.monotonic())
        await asyncio.gather(*(relay.drain(grace_s) for relay in crew.relays))
        self._log.info("worker stopped", worker=crew.runner.worker)


async def _keep_running(parts: Sequence[Part]) -> None:
    async with anyio.create_task_group() as group:
        for part in parts:
            group.start_soon(part.keep_running)
