from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from gateway.cache.cache import ALL_DAYS, Cache, CachedResult, CacheHit
from gateway.jobs.job import Outcome
from gateway.memory.cache import MemoryCache
from gateway.pipelines.outputs import Artifact
from gateway.settings import Settings
from tests.cache_contract import (
    CONTRACT,
    DRAWN,
    HOUR_S,
    entry,
    evicts_from_whoever_keeps_most,
    key,
    similarity,
)
from tests.unit.gateway.memory.making import Clock, claimed, done, request, stores_of

MEGABYTE = 1024 * 1024


def cache_of(clock: Clock, **settings: object) -> MemoryCache:
    return MemoryCache(Settings(**settings), clock)


def large(megabytes: float) -> CachedResult:
    return CachedResult({}, (Artifact("a.png", bytes(int(megabytes * MEGABYTE))),), None, 1.0)


@pytest.mark.parametrize("holds", CONTRACT, ids=lambda holds: holds.__name__)
async def test_the_cache_keeps_the_contract(holds: Callable[[Cache], Awaitable[None]]):
    await holds(cache_of(Clock()))


async def test_a_result_expires_at_the_given_time():
    clock = Clock()
    cache = cache_of(clock)
    await cache.keep(entry(1, similarity=similarity()))
    await cache.keep(entry(2, life_s=2 * HOUR_S))
    clock.forward(HOUR_S)
    assert await cache.find(key(1)) is None
    assert await cache.find_similar(similarity(), 0) is None
    assert await cache.find(key(2)) is not None
    assert (await cache.cleanup(), (await cache.stats(ALL_DAYS)).entries) == (1, 1)


async def test_the_least_recently_used_results_are_removed_first():
    cache = cache_of(Clock(), cache_max_bytes=3 * MEGABYTE)
    for number in (1, 2):
        await cache.keep(entry(number, large(1)))
    cache.count(CacheHit(key(1), DRAWN))
    await cache.keep(entry(3, large(1.5)))
    assert [number for number in (1, 2, 3) if await cache.find(key(number))] == [1, 3]
    assert (await cache.stats(ALL_DAYS)).bytes < 3 * MEGABYTE


async def test_results_of_the_tenant_that_keeps_most_are_removed():
    await evicts_from_whoever_keeps_most(cache_of(Clock(), cache_max_bytes=2 * MEGABYTE), 2 * MEGABYTE)


async def test_the_memory_cache_takes_a_quarter_of_the_memory_at_most():
    cache = cache_of(Clock(), memory_store_bytes=4 * MEGABYTE)
    await cache.keep(entry(1, large(1.1)))
    assert await cache.find(key(1)) is None


async def test_statistics_cover_the_last_days():
    clock = Clock()
    cache = cache_of(clock)
    cache.count(entry())
    clock.forward(timedelta(days=2).total_seconds())
    cache.count(entry())
    assert [(await cache.stats(days)).requests for days in (1, 2, 3)] == [1, 1, 2]


async def test_a_job_that_ends_brings_its_result():
    stores = stores_of(Clock())
    await stores.jobs.submit([request()])
    (lease,) = await stores.jobs.claim("worker", 1, 10)
    assert await stores.jobs.finish(lease, done(lease.job), entry())
    assert await stores.cache.find(key()) is not None
    assert not await stores.jobs.finish(lease, done(lease.job), entry(2))
    assert await stores.cache.find(key(2)) is None


async def test_a_job_may_be_submitted_with_its_outcome():
    stores = stores_of(Clock())
    (submission,) = await stores.jobs.submit([request("u", outcome=Outcome({"cached": True}))])
    assert (submission.job.state, submission.job.finished_at is not None) == ("completed", True)
    assert await claimed(stores) == []
