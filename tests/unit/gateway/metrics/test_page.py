from dataclasses import replace

from gateway.cache.cache import CacheTotals, NullCache
from gateway.errors import Problem
from gateway.memory.totals import MemoryTotals
from gateway.metrics.instruments import Instruments
from gateway.metrics.page import MetricsPage
from gateway.metrics.reporter import Reporter
from gateway.metrics.totals import Report
from tests.unit.gateway.worker.jobs import memory, new_job

AWAY = Problem("store_unavailable", "away")


class Fleeting(MemoryTotals):
    """Totals of a database that may go away."""

    away = False

    async def add(self, report: Report) -> None:
        if self.away:
            raise AWAY
        await super().add(report)


class AwayCache(NullCache):
    async def totals(self) -> CacheTotals:
        raise AWAY


class HalfUsedCache(NullCache):
    async def totals(self) -> CacheTotals:
        return CacheTotals(requests=40, hits=30, entries=7, bytes=1)


async def test_the_page_tells_the_queue_and_the_cache_as_they_are() -> None:
    async with memory() as stores:
        kept, instruments = replace(stores, cache=HalfUsedCache()), Instruments()
        await stores.jobs.submit([new_job(), new_job(), new_job()])
        await stores.jobs.claim("tester", 1, 30)
        page = MetricsPage(instruments, Reporter("gateway", instruments, stores.totals), kept)
        lines = (await page.text()).decode().splitlines()
    told = {'task_queue_size{queue="jobs"} 2.0', "active_tasks_count 1.0", "cached_entries_total 7.0"}
    assert told | {"cache_requests_total 40.0", "cache_hits_total 30.0", "cache_hit_ratio 75.0"} <= set(lines)


async def test_while_the_database_is_away_the_page_tells_what_was_known() -> None:
    async with memory() as stores:
        totals, instruments = Fleeting(), Instruments()
        page = MetricsPage(instruments, Reporter("gateway", instruments, totals), replace(stores, cache=AwayCache()))
        instruments.errors.count("no_face", "api")
        known = 'errors_total{component="api",type="no_face"}'
        assert f"{known} 1.0" in (await page.text()).decode()
        totals.away = True
        instruments.errors.count("no_face", "api")
        told = (await page.text()).decode()
        assert f"{known} 1.0" in told
        assert "cache_requests_total" not in told
        totals.away = False
        assert f"{known} 2.0" in (await page.text()).decode()
