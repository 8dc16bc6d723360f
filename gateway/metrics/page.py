"""A gateway's page of metrics: what it counts, and what the stores say of jobs, outbox, dead letters and cache."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.cache.cache import ALL_DAYS, Cache, CacheStats
from gateway.jobs.job import CallbackKind, Standing, Waiting
from gateway.jobs.outbox import Outbox
from gateway.jobs.store import DeadLetters, JobStore
from gateway.metrics.instruments import KINDS, Instruments
from gateway.timing import Remembered, answer_within

_FRESH_S = 3.0
"""The stores are asked at most this often, however often the page is read."""
_WAIT_S = 3.0
"""For a store's answer. Prometheus itself waits 10 s."""


class MetricsPage(Collector):
    """A gateway's page: its own metrics, and what the stores say, but for a store that does not answer."""

    def __init__(
        self, instruments: Instruments, jobs: JobStore, outbox: Outbox, dead_letters: DeadLetters, cache: Cache
    ) -> None:
        self._instruments = instruments
        self._jobs = jobs
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._cache = cache
        self._answered = Remembered(self._ask, _FRESH_S)
        self._shown: list[Metric] = []

    async def text(self) -> bytes:
        """The page, of the media type MEDIA_TYPE."""
        self._shown = await self._answered.get()
        return self._instruments.text() + generate_latest(self)

    @override
    def collect(self) -> Iterable[Metric]:
        return self._shown

    async def _ask(self) -> list[Metric]:
        jobs, outbox, dead_letters, cache = await asyncio.gather(
            answer_within(_WAIT_S, self._jobs.standing()),
            answer_within(_WAIT_S, self._outbox.standing()),
            answer_within(_WAIT_S, self._dead_letters.standing()),
            answer_within(_WAIT_S, self._cache.stats(ALL_DAYS)),
        )
        return [
            *(_of_jobs(jobs) if jobs else ()),
            *(_of_outbox(outbox) if outbox is not None else ()),
            *(_of_dead_letters(dead_letters) if dead_letters else ()),
            *(_of_cache(cache) if cache else ()),
        ]


def _of_jobs(standing: Standing) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("task_queue_size", "Jobs that wait.", labels=["queue"])
    waiting.add_metric(["jobs"], standing.queued.count)
    yield waiting
    yield GaugeMetricFamily("active_tasks_count", "Jobs that run.", standing.running.count)
    states = {"queued": standing.queued, "running": standing.running, "deleting": standing.deleting}
    yield from _counts_and_ages("jobs", "jobs", "state", "Jobs that are not over.", states)
    yield GaugeMetricFamily("deletions_pending", "Deleted jobs that are not gone yet.", standing.deleting.count)
    yield GaugeMetricFamily("deletions_failing", "Jobs whose objects S3 has not let be removed.", standing.failing)


def _of_outbox(standing: Mapping[CallbackKind, Waiting]) -> Iterator[Metric]:
    kinds: dict[str, Waiting] = {kind: standing.get(kind, Waiting()) for kind in KINDS}
    yield from _counts_and_ages("outbox_pending", "outbox", "kind", "Deliveries that are not made yet.", kinds)


def _of_dead_letters(standing: Waiting) -> Iterator[Metric]:
    yield GaugeMetricFamily("poison_entries_open", "Dead letters that nobody closed.", standing.count)
    yield GaugeMetricFamily("poison_oldest_age_seconds", "Age of the oldest of them.", standing.oldest_s)


def _of_cache(stats: CacheStats) -> Iterator[Metric]:
    yield CounterMetricFamily("cache_requests", "Requests that were looked up.", stats.requests)
    yield CounterMetricFamily("cache_hits", "Requests that were answered from the cache.", stats.hits)
    yield GaugeMetricFamily("cached_entries_total", "Entries that there are.", stats.entries)
    yield GaugeMetricFamily("cache_hit_ratio", "Hits among all look-ups so far, in percent.", 100 * stats.hit_ratio)


def _counts_and_ages(
    name: str, stem: str, label: str, documentation: str, values: Mapping[str, Waiting]
) -> Iterator[Metric]:
    """How many there are, and the age of the oldest."""
    counts = GaugeMetricFamily(name, documentation, labels=[label])
    ages = GaugeMetricFamily(f"{stem}_oldest_age_seconds", "Age of the oldest of them.", labels=[label])
    for value, waiting in values.items():
        counts.add_metric([value], waiting.count)
        ages.add_metric([value], waiting.oldest_s)
    yield from (counts, ages)
