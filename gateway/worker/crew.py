"""A worker's parts, put together."""

import os
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.callbacks.senders import open_senders
from gateway.fetching.fetcher import open_fetcher
from gateway.jobs.job import CallbackKind
from gateway.jobs.outbox import Sender
from gateway.kafka.ingestion import MESSAGES_PIPELINE, Ingestion
from gateway.kafka.sender import open_message_sender
from gateway.metrics.kafka import KafkaFigures
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.triton import Triton
from gateway.worker.attempt import Attempts
from gateway.worker.execution import Execution
from gateway.worker.heartbeat import Heartbeat
from gateway.worker.janitor import Janitor
from gateway.worker.part import Part
from gateway.worker.relay import Relay
from gateway.worker.runner import Runner

_DELIVERY_MARGIN_S = 20.0
"""A delivery that is taken waits for nothing, so its lease need not be much longer than the delivery."""


@dataclass(frozen=True)
class Crew:
    """The parts; `ingestion` is None where there is no Kafka."""

    runner: Runner
    heartbeat: Heartbeat
    janitor: Janitor
    relays: tuple[Relay, ...]
    ingestion: Ingestion | None

    @property
    def claimers(self) -> tuple[Part, ...]:
        """What takes jobs in hand."""
        return (Part(self.runner.run, self.runner.pulse),)

    @property
    def ingesters(self) -> tuple[Part, ...]:
        """What takes messages; none where there is no Kafka."""
        return (Part(self.ingestion.run, self.ingestion.pulse),) if self.ingestion else ()

    @property
    def keepers(self) -> tuple[Part, ...]:
        """What the work in hand needs until it ends."""
        return (
            Part(self.heartbeat.run, self.heartbeat.pulse),
            Part(self.janitor.run, self.janitor.pulse),
            *(Part(relay.run, relay.pulse) for relay in self.relays),
        )


@asynccontextmanager
async def open_crew(
    settings: Settings, stores: Stores, triton: Triton, registry: Mapping[str, Pipeline], figures: KafkaFigures
) -> AsyncIterator[Crew]:
    """The parts with the clients they need, for as long as the context lasts. Raises SettingsError."""
    async with AsyncExitStack() as stack:
        fetcher = await stack.enter_async_context(open_fetcher(settings))
        couriers = await _couriers(stack, settings, stores, figures)
        execution = Execution(settings, stores, fetcher, triton, registry)
        runner = Runner(_worker_name(settings), settings, stores, Attempts(settings, stores, execution))
        yield Crew(
            runner,
            Heartbeat(settings, runner),
            Janitor(settings, stores),
            _relays(settings, stores, couriers),
            _ingestion(settings, stores, registry, figures),
        )


def _ingestion(
    settings: Settings, stores: Stores, registry: Mapping[str, Pipeline], figures: KafkaFigures
) -> Ingestion | None:
    """None where no message can come, or the pipeline that messages are for is not offered."""
    pipeline = registry.get(MESSAGES_PIPELINE)
    return Ingestion(settings, stores, pipeline, figures) if settings.kafka_bootstrap_servers and pipeline else None


def _worker_name(settings: Settings) -> str:
    """New with every start, so that a restarted worker is not taken for the one before."""
    return f"{settings.worker_id or socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


async def _couriers(
    stack: AsyncExitStack, settings: Settings, stores: Stores, figures: KafkaFigures
) -> Mapping[CallbackKind, Sender]:
    couriers = dict(await stack.enter_async_context(open_senders(settings, stores.artifacts)))
    if settings.kafka_bootstrap_servers:
        couriers["message"] = await stack.enter_async_context(open_message_sender(settings, figures))
    return couriers


def _relays(settings: Settings, stores: Stores, couriers: Mapping[CallbackKind, Sender]) -> tuple[Relay, ...]:
    lease_s = settings.callback_timeout_s + _DELIVERY_MARGIN_S
    return tuple(Relay(kind, courier, stores, lease_s) for kind, courier in couriers.items())
