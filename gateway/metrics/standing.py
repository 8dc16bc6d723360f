"""What is not over, in all processes: jobs, deletions, deliveries and dead letters, as the stores have them."""

import asyncio
import time
from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from gateway.deadlines import answer_within
from gateway.jobs.job import CallbackKind, Waiting
from gateway.jobs.store import Standing
from gateway.metrics.deliveries import KINDS
from gateway.stores import Stores

_FRESH_S = 3.0
"""So often the stores are asked at most, however many read the page."""
_PATIENCE_S = 3.0


class StandingFigures:
    """The gauges; nothing of a store that does not answer."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")
        self._known: list[Metric] = []

    async def read(self) -> list[Metric]:
        """What the last few seconds' question said, or a new one's answer."""
        async with self._lock:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                self._known = await self._ask()
                self._asked_at = time.monotonic()
            return self._known

    async def _ask(self) -> list[Metric]:
        jobs, outbox, poison = await asyncio.gather(
            answer_within(_PATIENCE_S, self._stores.jobs.standing()),
            answer_within(_PATIENCE_S, self._stores.outbox.standing()),
            answer_within(_PATIENCE_S, self._stores.poison.standing()),
        )
        return [
            *(_jobs(jobs) if jobs else ()),
            *(_outbox(outbox) if outbox is not None else ()),
            *(_poison(poison) if poison else ()),
        ]


def _jobs(standing: Standing) -> Iterator[Metric]:
    states = {"queued": standing.queued, "running": standing.running, "deleting": standing.deleting}
    yield from _by("jobs", "state", "Jobs that are not over.", states)
    yield GaugeMetricFamily("deletions_pending", "Deleted jobs that are not gone yet.", standing.deleting.count)
    yield GaugeMetricFamily("deletions_failing", "Jobs whose objects S3 has not let be removed.", standing.failing)


def _outbox(standing: Mapping[CallbackKind, Waiting]) -> Iterator[Metric]:
    kinds: dict[str, Waiting] = {kind: standing.get(kind, Waiting()) for kind in KINDS}
    yield from _by("outbox_pending", "kind", "Deliveries that are not made yet.", kinds, "outbox")


def _poison(standing: Waiting) -> Iterator[Metric]:
    yield GaugeMetricFamily("poison_entries_open", "Dead letters that nobody closed.", standing.count)
    yield GaugeMetricFamily("poison_oldest_age_seconds", "Age of the oldest of them.", standing.oldest_s)


def _by(name: str, label: str, what: str, values: Mapping[str, Waiting], stem: str = "") -> Iterator[Metric]:
    """How many, and the age of the oldest."""
    counts = GaugeMetricFamily(name, what, labels=[label])
    ages = GaugeMetricFamily(f"{stem or name}_oldest_age_seconds", "Age of the oldest of them.", labels=[label])
    for value, waiting in values.items():
        counts.add_metric([value], waiting.count)
        ages.add_metric([value], waiting.oldest_s)
    yield from (counts, ages)
