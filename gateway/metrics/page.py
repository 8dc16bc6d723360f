"""The figures as Prometheus reads them."""

import asyncio
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, Metric
from prometheus_client.core import GaugeMetricFamily

from gateway.cache.cache import CacheTotals
from gateway.deadlines import answer_within
from gateway.jobs.store import QueueCounts
from gateway.metrics.families import each_process, everybody, written
from gateway.metrics.instruments import Instruments
from gateway.metrics.reporter import Reporter
from gateway.metrics.standing import StandingFigures
from gateway.metrics.totals import Whole
from gateway.stores import Stores

MEDIA_TYPE = CONTENT_TYPE_LATEST
_PATIENCE_S = 3.0
"""Prometheus itself waits 10 s."""


class MetricsPage:
    """Everybody's figures, whichever process is asked."""

    def __init__(self, instruments: Instruments, reporter: Reporter, stores: Stores) -> None:
        self._instruments = instruments
        self._reporter = reporter
        self._jobs = stores.jobs
        self._cache = stores.cache
        self._standing = StandingFigures(stores)
        self._known = Whole({}, {})

    async def text(self) -> bytes:
        """The page; while the database is away, what is known from before, without the queue and the cache."""
        whole, counts, kept, standing = await asyncio.gather(
            answer_within(_PATIENCE_S, self._reporter.whole()),
            answer_within(_PATIENCE_S, self._jobs.counts()),
            answer_within(_PATIENCE_S, self._cache.totals()),
            self._standing.read(),
        )
        self._known = whole or self._known
        return written(
            [
                *everybody(self._instruments.counted, self._known),
                *each_process(self._instruments.measured, self._known),
                *(_queue(counts) if counts else ()),
                *(_cached(kept) if kept else ()),
                *standing,
            ]
        )


def _queue(counts: QueueCounts) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("task_queue_size", "Jobs that wait.", labels=["queue"])
    waiting.add_metric(["jobs"], counts.queued)
    yield waiting
    yield GaugeMetricFamily("active_tasks_count", "Jobs that run.", counts.running)


def _cached(kept: CacheTotals) -> Iterator[Metric]:
    yield _counter("cache_requests", "Requests that were looked up.", kept.requests)
    yield _counter("cache_hits", "Requests that were answered from the cache.", kept.hits)
    yield GaugeMetricFamily("cached_entries_total", "Entries that there are.", kept.entries)
    percent = 100 * kept.hits / kept.requests if kept.requests else 0.0
    yield GaugeMetricFamily("cache_hit_ratio", "Hits among all look-ups so far, in percent.", percent)


def _counter(name: str, documentation: str, value: float) -> Metric:
    counter = Metric(name, documentation, "counter")
    counter.add_sample(f"{name}_total", {}, value)
    return counter
