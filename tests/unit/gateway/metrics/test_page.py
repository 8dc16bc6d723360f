from dataclasses import replace

import pytest

from gateway.cache.cache import CacheStats
from gateway.errors import Problem
from gateway.jobs.job import Standing
from gateway.memory import system_clock
from gateway.memory.cache import MemoryCache
from gateway.metrics.instruments import Instruments
from gateway.metrics.page import MetricsPage
from gateway.settings import Settings
from gateway.stores import Stores
from tests.unit.gateway.worker.jobs import memory, new_job

AWAY = Problem("store_unavailable", "away")


class AwayCache(MemoryCache):
    async def stats(self, _days: int) -> CacheStats:
        raise AWAY


class HalfUsedCache(MemoryCache):
    async def stats(self, days: int) -> CacheStats:
        return replace(await super().stats(days), requests=40, hits=30, entries=7)


class CountedJobs:
    """A store of jobs that counts how often it is asked, and may be away."""

    def __init__(self, *, away: bool = False) -> None:
        self.asked = 0
        self._away = away

    async def standing(self) -> Standing:
        self.asked += 1
        if self._away:
            raise AWAY
        return Standing()


def page(stores: Stores) -> MetricsPage:
    return MetricsPage(Instruments("gateway"), stores.jobs, stores.outbox, stores.dead_letters, stores.cache)


async def lines(stores: Stores) -> list[str]:
    return (await page(stores).text()).decode().splitlines()


async def test_the_page_shows_the_queue_and_the_cache_as_the_stores_have_them() -> None:
    async with memory() as stores:
        await stores.jobs.submit([new_job(), new_job(), new_job()])
        await stores.jobs.claim("tester", 1, 30)
        told = await lines(replace(stores, cache=HalfUsedCache(Settings(), system_clock)))
    expected = {'task_queue_size{queue="jobs"} 2.0', "active_tasks_count 1.0", "cached_entries_total 7.0"}
    assert expected | {"cache_requests_total 40.0", "cache_hits_total 30.0", "cache_hit_ratio 75.0"} <= set(told)


async def test_an_unreachable_store_drops_only_its_own_metrics() -> None:
    async with memory() as stores:
        without_cache = await lines(replace(stores, cache=AwayCache(Settings(), system_clock)))
        without_jobs = await lines(replace(stores, jobs=CountedJobs(away=True)))
    assert any(line.startswith("task_queue_size") for line in without_cache)
    assert not any(line.startswith("cache_requests_total") for line in without_cache)
    assert not any(line.startswith("task_queue_size") for line in without_jobs)
    for told in (without_cache, without_jobs):
        assert any(line.startswith("errors_total") for line in told), "the process's own are there"


async def test_many_readers_ask_the_stores_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with memory() as stores:
        jobs = CountedJobs()
        asked = page(replace(stores, jobs=jobs))
        for _ in range(5):
            await asked.text()
        assert jobs.asked == 1
        monkeypatch.setattr("gateway.metrics.page._FRESH_S", 0.0)
        asked = page(replace(stores, jobs=jobs))
        for _ in range(2):
            await asked.text()
        assert jobs.asked == 3
