"""What the routes work with, made once at start; and whether the pipelines and the stores answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from gateway.access.authentication import Authentication
from gateway.cache.results import ModelVersions, Results
from gateway.callbacks.senders import check_callbacks
from gateway.deadlines import Deadline, Remembered, answer_within
from gateway.errors import PROBLEMS, Problem
from gateway.inference import Inferences
from gateway.jobs.objects import Bucket
from gateway.jobs.store import QueueCounts
from gateway.limits.admission import Admission, Backlog
from gateway.logs import get_logger
from gateway.metrics.collector import MetricsPage, StoreCollector
from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import Stores, open_stores
from gateway.triton import ModelState, Triton, connect
from gateway.worker.worker import Worker

_FRESH_S = 1.0
_TRITON_S = 5.0
_STORE_S = 2.0
"""How long a store is waited for: probes themselves give up after some seconds."""


@dataclass(frozen=True)
class Readiness:
    """Each pipeline's readiness by name, and the models' states."""

    pipelines: Mapping[str, bool]
    models: tuple[ModelState, ...]

    @property
    def ready(self) -> bool:
        """Whether every pipeline can serve."""
        return all(self.pipelines.values())


class Prober:
    """Sends each pipeline a request without a photo, which its model must refuse.

    Triton's own ready endpoint says yes while a python model's process is dead, so it is not asked. A real photo would
    have the networks run as well, which would take a third of each second; the launcher tries them at the start.
    """

    def __init__(self, triton: Triton, pipelines: Iterable[Pipeline]) -> None:
        self._triton = triton.impatient()
        self._pipelines = tuple(pipelines)
        self._known = Remembered(self._probe, _FRESH_S)

    async def readiness(self) -> Readiness:
        """What the last second's probe said, or a new one's answer."""
        return await self._known.get()

    async def _probe(self) -> Readiness:
        served = asyncio.gather(*(self._serves(pipeline) for pipeline in self._pipelines))
        answers, models = await asyncio.gather(served, self._triton.models(_TRITON_S))
        names = (pipeline.name for pipeline in self._pipelines)
        return Readiness(dict(zip(names, answers, strict=True)), models)

    async def _serves(self, pipeline: Pipeline) -> bool:
        """Whether all its models answer, of those that Triton has."""
        answers = await asyncio.gather(*(self._answers(model) for model in pipeline.models))
        present = [answer for answer in answers if answer is not None]
        return bool(present) and all(present)

    async def _answers(self, model: str) -> bool | None:
        """None where Triton has no such model."""
        try:
            await self._triton.infer(model, b"", b"{}", Deadline(_TRITON_S))
        except Problem as problem:
            missing = problem.code == "model_missing"
            return None if missing else PROBLEMS[problem.code].status in range(400, 500)
        return True


@dataclass(frozen=True)
class StoreHealth:
    """The queue's counts, None where the database does not answer, and why; whether both buckets do."""

    counts: QueueCounts | None
    buckets: bool
    fault: str = ""

    @property
    def ready(self) -> bool:
        """Whether jobs can be taken in."""
        return self.counts is not None and self.buckets


class StoreProber:
    """Asks the database for its counts, and both buckets whether they are there."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._known = Remembered(self._ask, _FRESH_S)

    async def health(self) -> StoreHealth:
        """What the last second's question said, or a new one's answer."""
        return await self._known.get()

    async def _ask(self) -> StoreHealth:
        counts, photos, artifacts = await asyncio.gather(
            answer_within(_STORE_S, self._stores.jobs.counts()),
            answer_within(_STORE_S, _answers(self._stores.photos)),
            answer_within(_STORE_S, _answers(self._stores.artifacts)),
        )
        fault = "" if counts else self._stores.database_fault() or f"no answer within {_STORE_S:g} s"
        return StoreHealth(counts, bool(photos and artifacts), fault)


async def _answers(bucket: Bucket) -> bool:
    """True. Raises Problem where it does not answer."""
    await bucket.check()
    return True


@dataclass(frozen=True)
class Services:
    """Everything a request may need; `started_at` is a reading of time.monotonic, in seconds."""

    settings: Settings
    registry: Mapping[str, Pipeline]
    triton: Triton
    access: Authentication
    admission: Admission
    prober: Prober
    stores: Stores
    store_prober: StoreProber
    backlog: Backlog
    results: Results
    inferences: Inferences
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
    collector = StoreCollector(stores.jobs, stores.outbox, stores.dead_letters, stores.cache)
    results = Results(settings, stores.cache, ModelVersions(triton))
    return Services(
        settings=settings,
        registry=registry,
        triton=triton,
        access=Authentication(settings, stores.keys),
        admission=Admission(settings),
        prober=Prober(triton, registry.values()),
        stores=stores,
        store_prober=StoreProber(stores),
        backlog=Backlog(stores.jobs, settings.queue_max_size),
        results=results,
        inferences=Inferences(results, triton),
        instruments=instruments,
        metrics=MetricsPage(instruments, collector),
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


def services_of(request: Request) -> Services:
    """The services of the application that serves this request."""
    services = request.app.state.services
    if not isinstance(services, Services):
        raise TypeError("the application has not started")
    return services
