import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import uuid4

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.background import Signals
from gateway.cache.cache import ALL_DAYS, Cache, CachedResult, CacheHit
from gateway.errors import Problem
from gateway.jobs.job import Callback
from gateway.pipelines.outputs import Artifact
from gateway.postgres.database import prepare
from gateway.postgres.results import near_values
from gateway.stores import open_postgres
from tests.cache_contract import (
    ARTIFACTS,
    CONTRACT,
    DRAWN,
    HOUR_S,
    REFUSED,
    entry,
    evicts_from_whoever_keeps_most,
    key,
    similarity,
)
from tests.integration.postgres.making import DONE, LEASE_S, announce, request
from tests.integration.postgres.proxy import wire_to

MEGABYTE = 1024 * 1024
OLD = "UPDATE task_results SET ttl_expires_at = now() - interval '1 second' WHERE task_id = ANY($1)"


@pytest.fixture
async def beside(settings):
    """The cache of another process."""
    async with open_postgres(settings, announce, Signals()) as opened:
        yield opened.cache


@pytest.mark.parametrize("holds", CONTRACT, ids=lambda holds: holds.__name__)
async def test_the_cache_keeps_the_contract(stores, holds: Callable[[Cache], Awaitable[None]]):
    await holds(stores.cache)


async def test_a_result_cached_by_one_process_is_found_by_another(stores, beside):
    await stores.cache.keep(entry(1))
    assert await beside.find(key(1)) == CacheHit(key(1), DRAWN)


async def test_processes_compute_one_after_the_other(stores, beside):
    computed = []

    async def want(cache: Cache) -> None:
        async with cache.alone(key()):
            if await cache.find(key()) is None:
                computed.append(cache)
                await asyncio.sleep(0.1)
                await cache.keep(entry())

    await asyncio.gather(*(want(cache) for _ in range(6) for cache in (stores.cache, beside)))
    assert len(computed) == 1


async def test_the_lock_of_a_process_that_died_is_taken_when_its_time_is_over(stores, beside, sql):
    async with beside.alone(key()):
        waiting = asyncio.create_task(hold(stores.cache))
        assert not (await asyncio.wait([waiting], timeout=0.3))[0]
        await sql.execute("UPDATE locks SET until = now() - interval '1 second'")
        await asyncio.wait_for(waiting, 5)


async def test_a_cancelled_computation_lets_another_process_compute(stores, beside):
    """Also where another was cancelled that waited; another key never waits."""
    entered = asyncio.Event()

    async def hang() -> None:
        async with stores.cache.alone(key()):
            entered.set()
            await asyncio.Event().wait()

    hanging, waiting = asyncio.create_task(hang()), asyncio.create_task(hang())
    await entered.wait()
    await asyncio.wait_for(hold(beside, 2), 5)
    waiting.cancel()
    hanging.cancel()
    await asyncio.wait_for(hold(beside), 5)


async def test_requests_do_not_wait_for_a_cache_whose_database_hangs(settings):
    """Many keys, of which each would wait for its turn to wait for the database; nor does the end wait for each."""
    async with wire_to(settings.postgres_dsn.get_secret_value()) as (wire, dsn):
        with anyio.fail_after(20):
            async with AsyncExitStack() as stack:
                hung = settings.model_copy(update={"postgres_dsn": SecretStr(dsn)})
                cache = (await stack.enter_async_context(open_postgres(hung, announce, Signals()))).cache
                await hold(cache)
                wire.answers.clear()
                await asyncio.gather(*(hold(cache, number) for number in range(20)))


async def hold(cache: Cache, number: int = 1) -> None:
    async with cache.alone(key(number)):
        pass


async def test_a_result_expires_at_the_given_time(stores, sql):
    await stores.cache.keep(entry(1, similarity=similarity()))
    await stores.cache.keep(entry(2, REFUSED, life_s=60.0))
    left = "SELECT extract(epoch FROM ttl_expires_at - now())::float8 FROM task_results ORDER BY task_id"
    assert [round(row[0], -1) for row in await sql.fetch(left)] == [HOUR_S, 60.0]
    await sql.execute(OLD, ["task-1"])
    assert await stores.cache.find(key(1)) is None
    assert await stores.cache.find_similar(similarity(), 0) is None
    assert await stores.cache.find(key(2)) is not None
    assert (await stores.cache.stats(ALL_DAYS)).entries == 1


async def test_concurrent_cleaning_removes_each_entry_once(stores, beside, sql):
    for number in range(30):
        await stores.cache.keep(entry(number))
    await sql.execute(OLD, [f"task-{number}" for number in range(20)])
    removed = await asyncio.gather(*(cache.cleanup() for cache in (stores.cache, beside) for _ in range(4)))
    assert sum(removed) == 20
    assert await sql.fetchval("SELECT count(*) FROM task_results") == 10


async def test_concurrent_cleaning_evicts_no_more_than_needed(settings, sql):
    """The two used last stay, of five of which two and a bit fit."""
    tight = settings.model_copy(update={"cache_max_bytes": int(2.2 * MEGABYTE)})
    async with AsyncExitStack() as stack:
        caches = [(await stack.enter_async_context(open_postgres(tight, announce, Signals()))).cache for _ in range(2)]
        large = CachedResult({}, (Artifact("a.png", bytes(MEGABYTE)),), None, 1.0)
        for number in range(5):
            await caches[0].keep(entry(number, large))
        await sql.execute("UPDATE task_results SET used_at = used_at - interval '2 minutes'")
        caches[0].count(CacheHit(key(1), large))
        await caches[0].stats(ALL_DAYS)
        removed = await asyncio.gather(*(cache.cleanup() for cache in caches for _ in range(3)))
    assert sum(removed) == 3
    rows = await sql.fetch("SELECT task_id FROM task_results ORDER BY task_id")
    assert [row["task_id"] for row in rows] == ["task-1", "task-4"]


async def test_results_of_the_tenant_that_keeps_most_are_removed(settings):
    tight = settings.model_copy(update={"cache_max_bytes": 2 * MEGABYTE})
    async with open_postgres(tight, announce, Signals()) as opened:
        await evicts_from_whoever_keeps_most(opened.cache, 2 * MEGABYTE)


async def test_the_columns_are_the_seeds(stores, sql):
    await stores.cache.keep(entry())
    stores.cache.count(entry())
    stores.cache.count(CacheHit(key(), DRAWN))
    await stores.cache.stats(ALL_DAYS)
    row = await sql.fetchrow("SELECT *, decode(svg_data, 'base64') AS svg FROM task_results")
    assert (row["task_id"], row["input_hash"], row["status"], row["cache_hits"]) == (
        "task-1",
        key().digest.hex(),
        "SUCCESS",
        1,
    )
    assert (row["submitted_at"], row["completed_at"] > row["submitted_at"]) == (entry().submitted_at, True)
    assert (row["svg"], row["processing_time_ms"], row["regions_detected"]) == (ARTIFACTS[1].data, 80.0, 2)
    assert json.loads(row["result_data"])["status"] == "completed"
    view = await sql.fetchrow("SELECT * FROM cache_performance")
    assert [view[name] for name in ("total_requests", "cache_hits", "hit_ratio_percent")] == [2, 1, 50]
    metric = await sql.fetchrow("SELECT * FROM processing_metrics")
    assert [metric[name] for name in ("metric_name", "metric_value", "component", "task_id")] == [
        "processing_time",
        80.0,
        "face_contours",
        "task-1",
    ]


SEEDS_TABLE = """
CREATE TYPE task_status AS ENUM ('SUCCESS', 'FAILURE', 'PENDING');
CREATE TABLE task_results (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), task_id varchar(255) UNIQUE NOT NULL,
    input_hash varchar(64) NOT NULL, status task_status NOT NULL, result_data jsonb, svg_data text,
    processing_time_ms integer,
    cache_hits integer DEFAULT 0, ttl_expires_at timestamp, submitted_at timestamp DEFAULT now(), completed_at timestamp
);
INSERT INTO task_results (task_id, input_hash, status) VALUES ('theirs', repeat('a', 64), 'PENDING');
INSERT INTO task_results (task_id, input_hash, status) VALUES ('again', repeat('a', 64), 'PENDING');
CREATE VIEW cache_performance AS SELECT 1 AS date;
"""


async def test_users_bring_their_tables(settings, sql):
    await sql.execute(SEEDS_TABLE)
    plain = replace(DRAWN, result={"status": "completed"})
    async with open_postgres(settings, announce, Signals()) as opened:
        await opened.cache.keep(entry(value=plain))
        assert await opened.cache.find(key()) == CacheHit(key(), plain)
        assert [task.task_id for task in await opened.cache.recent(5)] == ["task-1"]
        assert (await opened.cache.stats(ALL_DAYS)).entries == 1
        await opened.cache.cleanup()
    assert await sql.fetchval("SELECT count(*) FROM task_results") == 3


ORM_TABLES = """
CREATE TABLE task_results (
    id uuid PRIMARY KEY, task_id uuid NOT NULL UNIQUE, input_hash varchar(64) NOT NULL UNIQUE,
    status varchar(20) NOT NULL, result_data json, svg_data text, processing_time_ms numeric, cache_hits integer,
    ttl_expires_at timestamp, submitted_at timestamp, completed_at timestamp
);
CREATE TABLE processing_metrics (
    id uuid PRIMARY KEY, metric_name varchar(100) NOT NULL, metric_value numeric NOT NULL, component varchar(50),
    task_id varchar(36), recorded_at timestamp
);
INSERT INTO processing_metrics VALUES (gen_random_uuid(), 'decode_time', 12, 'image', 'old', now() - interval '1 year');
"""
"""Ids and times come from the ORM: the columns have no defaults."""


async def test_users_bring_tables_of_an_orm(settings, sql):
    await sql.execute(ORM_TABLES)
    task_id = str(uuid4())
    async with open_postgres(settings, announce, Signals()) as opened:
        await opened.cache.keep(entry(task_id=task_id))
        assert await opened.cache.find(key()) == CacheHit(key(), DRAWN)
        await opened.cache.cleanup()
    kept = "SELECT task_id, metric_value FROM processing_metrics WHERE recorded_at > now() - interval '1 minute'"
    assert [tuple(row) for row in await sql.fetch(kept)] == [(task_id, 80)]


async def test_users_old_measurements_stay(settings, sql):
    """Ours of that age go."""
    await sql.execute(ORM_TABLES)
    async with open_postgres(settings, announce, Signals()) as opened:
        await opened.cache.keep(entry(task_id=str(uuid4())))
        await sql.execute("UPDATE processing_metrics SET recorded_at = now() - interval '1 year'")
        await opened.cache.cleanup()
    assert [row["task_id"] for row in await sql.fetch("SELECT task_id FROM processing_metrics")] == ["old"]


async def test_users_tables_are_extended_once_by_many(settings, sql):
    await sql.execute(ORM_TABLES)
    await asyncio.gather(*(prepare(settings) for _ in range(2)))
    assert await prepare(settings) == []


REFUSED_ENTRIES = {
    "a NUL in jsonb": (SEEDS_TABLE, entry(1, DRAWN)),
    "a task_id that is there": (SEEDS_TABLE, entry(2, REFUSED, task_id="theirs")),
    "a task_id that is no UUID": (ORM_TABLES, entry(3, REFUSED, task_id="x")),
}
refusing = pytest.mark.parametrize(("tables", "refused"), REFUSED_ENTRIES.values(), ids=REFUSED_ENTRIES)


@refusing
async def test_a_job_ends_although_the_users_table_refuses_the_result(settings, sql, tables, refused):
    await sql.execute(tables)
    async with open_postgres(settings, announce, Signals()) as opened:
        await opened.jobs.submit([request()])
        (lease,) = await opened.jobs.claim("worker", 1, LEASE_S)
        assert await opened.jobs.finish(lease, DONE, refused)
        assert (await opened.jobs.get(lease.job.id)).state == "completed"
        assert await opened.cache.find(refused.key) is None


@refusing
async def test_a_run_is_answered_although_the_users_table_refuses_the_result(settings, sql, tables, refused):
    await sql.execute(tables)
    async with open_postgres(settings, announce, Signals()) as opened:
        await opened.cache.keep(refused)
        assert await opened.cache.find(refused.key) is None


async def test_a_broken_table_counts_as_an_unreachable_cache(stores, sql):
    """And what was counted meanwhile is not lost."""
    stores.cache.count(entry())
    await sql.execute("ALTER TABLE task_results RENAME TO moved; ALTER TABLE cache_traffic RENAME TO gone")
    with pytest.raises(Problem, match="store_unavailable"):
        await stores.cache.find(key())
    with pytest.raises(Problem, match="store_unavailable"):
        await stores.cache.stats(ALL_DAYS)
    await sql.execute("ALTER TABLE moved RENAME TO task_results; ALTER TABLE gone RENAME TO cache_traffic")
    assert (await stores.cache.stats(ALL_DAYS)).requests == 1


async def test_a_job_that_ends_brings_its_result(stores):
    await stores.jobs.submit([request()])
    (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
    assert await stores.jobs.finish(lease, DONE, entry(1))
    assert await stores.jobs.finish(lease, DONE, entry(1))
    assert await stores.cache.find(key(1)) is not None


async def test_an_expired_lease_stores_no_result(stores, sql):
    await stores.jobs.submit([request()])
    (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
    await stores.jobs.release(lease)
    assert not await stores.jobs.finish(lease, DONE, entry(1))
    assert await sql.fetchval("SELECT count(*) FROM task_results") == 0


async def test_a_job_may_be_submitted_with_its_outcome(stores):
    job = request("ann", outcome=DONE)
    (submission,) = await stores.jobs.submit([job])
    assert (submission.result, submission.job.state, submission.job.outcome) == ("created", "completed", DONE)
    assert await stores.jobs.claim("worker", 1, LEASE_S) == []
    assert (await stores.jobs.submit([replace(job, id=request().id)]))[0].result == "known"


async def test_a_job_submitted_with_its_outcome_is_announced_once(stores, sql):
    told = (Callback("message", "topic"), Callback("webhook", "https://example.com/"))
    job = request("ann", outcome=DONE, callbacks=told)
    for again in (job, job, replace(job, id=request().id)):
        await stores.jobs.submit([again])
    rows = await sql.fetch("SELECT kind FROM deliveries WHERE job_id = $1 ORDER BY kind", job.id)
    assert [row["kind"] for row in rows] == ["message", "webhook"]
    assert await sql.fetchval("SELECT count(*) FROM deliveries") == 2


async def test_counts_survive_the_end_of_their_process(settings):
    async with open_postgres(settings, announce, Signals()) as opened:
        opened.cache.count(entry())
    async with open_postgres(settings, announce, Signals()) as opened:
        assert (await opened.cache.stats(30)).requests == 1


@given(photo_hash=st.integers(0, 2**64 - 1), flips=st.sets(st.integers(0, 63), max_size=15))
def test_similar_hashes_share_at_least_one_near_band(photo_hash: int, flips: set[int]):
    """By the pigeonhole principle; and no band is looked up that is farther."""
    other = photo_hash ^ sum(1 << flip for flip in flips)
    _, _, _, *bands = near_values(similarity(photo_hash), len(flips))
    theirs = [other >> shift & 65535 for shift in (48, 32, 16, 0)]
    assert any(their in band for their, band in zip(theirs, bands, strict=True))
    ours = [photo_hash >> shift & 65535 for shift in (48, 32, 16, 0)]
    assert (
        max((our ^ value).bit_count() for our, band in zip(ours, bands, strict=True) for value in band)
        <= len(flips) // 4
    )


async def test_every_hash_that_is_near_is_found(stores):
    """Against counting bits in Python: 300 random hashes about one, and 20 look-ups."""
    random = np.random.default_rng(4)
    base = 0xC0FFEE_1234_5678_9A
    hashes = [
        base ^ sum(1 << int(bit) for bit in random.choice(64, random.integers(0, 20), replace=False))
        for _ in range(300)
    ]
    for number, photo_hash in enumerate(hashes):
        await stores.cache.keep(entry(number, similarity=similarity(photo_hash, moved=10.0 * number)))
    for number in range(0, 300, 15):
        for bits in (0, 4, 10):
            wanted = similarity(base, moved=10.0 * number)
            near = (hashes[number] ^ base).bit_count() <= bits
            rivals = sum((other ^ base).bit_count() <= bits for other in hashes)
            hit = await stores.cache.find_similar(wanted, bits)
            assert (hit is not None) == near or rivals > 32, (number, bits)
