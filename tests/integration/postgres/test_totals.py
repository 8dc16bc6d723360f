"""Processes' figures, added up in PostgreSQL."""

import asyncio
import random

import asyncpg

from gateway.metrics.totals import Report
from gateway.postgres.stores import PostgresStores

SERIES = [("errors_total", (("component", "api"), ("type", f"code {number}"))) for number in range(20)]
MEMORY = ("memory_usage_bytes", ())


def report(process: str, number: int, more: float = 1.0) -> Report:
    shuffled = random.sample(SERIES, len(SERIES))
    return Report(process, number, dict.fromkeys(shuffled, more), {MEMORY: 100.0 + number})


async def test_a_report_that_comes_twice_counts_once(stores: PostgresStores) -> None:
    for number in (1, 1, 2, 1, 2):
        await stores.totals.add(report("gateway", number))
    whole = await stores.totals.read()
    assert whole.totals == dict.fromkeys(SERIES, 2.0)
    assert whole.gauges == {"gateway": {MEMORY: 102.0}}


async def test_many_processes_at_once_lose_nothing(stores: PostgresStores) -> None:
    async def work(process: str) -> None:
        for number in range(1, 21):
            await stores.totals.add(report(process, number, 0.5))

    processes = [f"worker {number}" for number in range(8)]
    await asyncio.gather(*map(work, processes))
    whole = await stores.totals.read()
    assert whole.totals == dict.fromkeys(SERIES, 80.0)
    assert whole.gauges.keys() == set(processes)


async def test_what_a_process_counted_outlives_it_and_its_gauges_do_not(
    stores: PostgresStores, sql: asyncpg.Connection
) -> None:
    await stores.totals.add(report("old", 7))
    await sql.execute("UPDATE metric_processes SET seen_at = now() - interval '31 seconds'")
    assert (await stores.totals.read()).gauges == {}
    await stores.totals.add(report("old", 8))
    assert (await stores.totals.read()).gauges.keys() == {"old"}
    await sql.execute("UPDATE metric_processes SET seen_at = now() - interval '2 days'")
    await stores.totals.add(report("new", 1))
    whole = await stores.totals.read()
    assert whole.totals == dict.fromkeys(SERIES, 3.0)
    assert [row["process"] for row in await sql.fetch("SELECT process FROM metric_processes")] == ["new"]


async def test_a_report_without_news_is_a_sign_of_life(stores: PostgresStores) -> None:
    await stores.totals.add(Report("idle", 1, {}, {MEMORY: 5.0}))
    whole = await stores.totals.read()
    assert (whole.totals, whole.gauges) == ({}, {"idle": {MEMORY: 5.0}})
