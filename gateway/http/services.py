"""What the routes work with, made once at start."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from gateway.access.authentication import Authentication
from gateway.cache.results import ModelVersions, Results
from gateway.inference import Inferences
from gateway.limits.admission import Admission, Backlog
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments
from gateway.metrics.page import MetricsPage
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import StoreHealth, Stores, open_stores, store_health
from gateway.timing import Remembered
from gateway.triton import Readiness, Triton, connect, readiness
from gateway.worker.webhooks import check_callbacks
from gateway.worker.worker import Worker

_FRESH_S = 1.0


@dataclass(frozen=True)
class Services:
    """Everything a request may need; `started_at` is a reading of time.monotonic, in seconds.

    Readiness and health are asked for anew once they are a second old.
    """

    settings: Settings
    registry: Mapping[str, Pipeline]
    triton: Triton
    access: Authentication
    admission: Admission
    readiness: Remembered[Readiness]
    stores: Stores
    store_health: Remembered[StoreHealth]
    backlog: Backlog
    results: Results
    inferences: Inferences
    versions: ModelVersions
    instruments: Instruments
    metrics: MetricsPage
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    started_at: float = field(default_factory=time.monotonic)

    def close_streams(self) -> None:
        """End the answers that would go on for as long as their clients listen."""
        self.closing.set()
        self.stores.signals.notify_all()


@asynccontextmanager
async def running_services(
    settings: Settings, registry: Mapping[str, Pipeline], instruments: Instruments
) -> AsyncIterator[Services]:
    """The services for as long as the application runs.

    Raises SettingsError; Problem `store_unavailable`, `storage_unavailable` where the stores do not open.
    """
    check_callbacks(settings)
    async with (
        connect(settings, instruments.tasks.inferred, instruments.inferring) as triton,
        open_stores(settings, instruments.tasks.ended) as stores,
    ):
        services = services_on(settings, registry, triton, stores, instruments)
        async with _worker_beside(services):
            yield services


def services_on(
    settings: Settings, registry: Mapping[str, Pipeline], triton: Triton, stores: Stores, instruments: Instruments
) -> Services:
    """The services on what is open already."""
    versions = ModelVersions(triton)
    results = Results(settings, stores.cache, versions)
    return Services(
        settings=settings,
        registry=registry,
        triton=triton,
        access=Authentication(settings, stores.keys),
        admission=Admission(settings),
        readiness=Remembered(partial(readiness, triton, registry.values()), _FRESH_S),
        stores=stores,
        store_health=Remembered(partial(store_health, stores), _FRESH_S),
        backlog=Backlog(stores.jobs, settings.queue_max_size),
        results=results,
        inferences=Inferences(results, triton, versions),
        versions=versions,
        instruments=instruments,
        metrics=MetricsPage(instruments, stores.jobs, stores.outbox, stores.dead_letters, stores.cache),
    )


@asynccontextmanager
async def _worker_beside(services: Services) -> AsyncIterator[None]:
    """Run a worker in this process where the stores are in its memory, which no other process can reach."""
    if services.stores.durable:
        yield
        return
    worker = Worker(services.settings, services.stores, services.triton, services.registry, services.instruments)
    working = asyncio.create_task(worker.run())
    working.add_done_callback(_log_end)
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])


def _log_end(working: "asyncio.Task[None]") -> None:
    error = None if working.cancelled() else working.exception()
    if error is not None:
        get_logger("gateway.worker").error("the worker ended: nobody works on jobs", exc_info=error)
