"""A worker: its supervised tasks, from start to graceful stop."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from gateway.callbacks.senders import open_senders
from gateway.fetching.fetcher import open_fetcher
from gateway.jobs.job import CallbackKind
from gateway.jobs.outbox import Sender
from gateway.kafka.ingestion import MESSAGES_PIPELINE, Ingestion
from gateway.kafka.sender import open_message_sender
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments, KafkaMetrics
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.supervision import Supervised, keep_running
from gateway.triton import Triton
from gateway.worker.attempts import Attempts, Execution
from gateway.worker.janitor import Janitor
from gateway.worker.relay import Relay
from gateway.worker.runner import LeaseRenewal, Runner

_DELIVERY_MARGIN_S = 20.0
"""A delivery begins as soon as it is taken, so its lease need be only a little longer than the delivery."""
_LAST_DELIVERIES_S = 1.0
"""What is left for the relays if the jobs took all of SHUTDOWN_GRACE_S."""


@dataclass(frozen=True)
class WorkerTasks:
    """What runs in a worker; `ingestion` is None where there is no Kafka."""

    runner: Runner
    renewal: LeaseRenewal
    janitor: Janitor
    relays: tuple[Relay, ...]
    ingestion: Ingestion | None

    @property
    def taking_messages(self) -> tuple[Supervised, ...]:
        """None where there is no Kafka."""
        return (self.ingestion,) if self.ingestion else ()

    @property
    def ending_work(self) -> tuple[Supervised, ...]:
        """What the jobs that were claimed need until they end."""
        return (self.renewal, self.janitor, *self.relays)

    @property
    def all(self) -> tuple[Supervised, ...]:
        """Every one."""
        return (self.runner, *self.taking_messages, *self.ending_work)


@dataclass
class Worker:
    """Works on jobs for as long as `run` runs; `tasks` is there meanwhile."""

    settings: Settings
    stores: Stores
    triton: Triton
    registry: Mapping[str, Pipeline]
    instruments: Instruments
    tasks: WorkerTasks | None = None

    async def run(self) -> None:
        """Work until cancelled, then end: jobs that are worked on get SHUTDOWN_GRACE_S, then they are handed back.

        Raises SettingsError.
        """
        log = get_logger("gateway.worker")
        async with self._opened() as tasks:
            self.tasks = tasks
            log.info("worker starts", worker=tasks.runner.worker, capacity=tasks.runner.capacity)
            taking = asyncio.create_task(_keep_all_running(tasks.taking_messages))
            ending = asyncio.create_task(_keep_all_running(tasks.ending_work))
            try:
                await keep_running(tasks.runner)
            finally:
                with anyio.CancelScope(shield=True):
                    log.info("worker stops", worker=tasks.runner.worker, in_flight=len(tasks.runner.claimed))
                    await self._stop(tasks, taking, ending)
                    log.info("worker stopped", worker=tasks.runner.worker)
                self.tasks = None

    async def _stop(self, tasks: WorkerTasks, taking: "asyncio.Task[None]", ending: "asyncio.Task[None]") -> None:
        """Leaving Kafka's group takes seconds, in which the work on jobs goes on."""
        ends = time.monotonic() + self.settings.shutdown_grace_s
        taking.cancel()
        await tasks.renewal.retire()
        await tasks.runner.drain(self.settings.shutdown_grace_s)
        ending.cancel()
        await asyncio.wait([taking, ending])
        grace_s = max(_LAST_DELIVERIES_S, ends - time.monotonic())
        await asyncio.gather(*(relay.drain(grace_s) for relay in tasks.relays))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[WorkerTasks]:
        """The tasks with the clients they need."""
        settings, stores = self.settings, self.stores
        async with AsyncExitStack() as stack:
            fetcher = await stack.enter_async_context(open_fetcher(settings))
            senders = await _senders(stack, settings, stores, self.instruments.kafka)
            execution = Execution(settings, stores, fetcher, self.triton, self.registry)
            attempts = Attempts(settings, stores, execution, self.instruments)
            runner = Runner(_worker_name(settings), settings, stores, attempts)
            yield WorkerTasks(
                runner,
                LeaseRenewal(settings, runner),
                Janitor(settings, stores),
                self._relays(senders),
                self._ingestion(),
            )

    def _relays(self, senders: Mapping[CallbackKind, Sender]) -> tuple[Relay, ...]:
        lease_s = self.settings.callback_timeout_s + _DELIVERY_MARGIN_S
        metrics = self.instruments.deliveries
        return tuple(Relay(kind, sender, self.stores, lease_s, metrics) for kind, sender in senders.items())

    def _ingestion(self) -> Ingestion | None:
        """None where no message can come, or the pipeline that messages are for is not offered."""
        pipeline = self.registry.get(MESSAGES_PIPELINE)
        if not self.settings.kafka_bootstrap_servers or pipeline is None:
            return None
        return Ingestion(self.settings, self.stores, pipeline, self.instruments)


async def _senders(
    stack: AsyncExitStack, settings: Settings, stores: Stores, metrics: KafkaMetrics
) -> Mapping[CallbackKind, Sender]:
    senders = dict(await stack.enter_async_context(open_senders(settings, stores.artifacts)))
    if settings.kafka_bootstrap_servers:
        senders["message"] = await stack.enter_async_context(open_message_sender(settings, metrics))
    return senders


def _worker_name(settings: Settings) -> str:
    """New with every start, so that a restarted worker is not taken for the one before."""
    return f"{settings.worker_id or socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


async def _keep_all_running(tasks: Sequence[Supervised]) -> None:
    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(keep_running, task)
