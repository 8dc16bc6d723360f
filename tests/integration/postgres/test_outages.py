import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import asyncpg
import pytest

from gateway.background import Signals
from gateway.errors import Problem
from gateway.jobs.job import JobFilter
from gateway.settings import Settings
from gateway.stores import open_postgres, open_stores, store_health
from tests.integration.postgres.making import DONE, LEASE_S, announce, request
from tests.integration.postgres.proxy import wire_to
from tests.servers import Server, fresh_database, running_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that may be harmed; it is started again."""
    with running_postgres() as server:
        yield server


@pytest.fixture
async def harmed(server):
    """The server, and stores on it."""
    settings = Settings(postgres_dsn=fresh_database(server.address), lease_s=LEASE_S)
    async with open_postgres(settings, announce, Signals()) as stores:
        yield server, stores


async def test_a_killed_server_is_waited_for(harmed):
    server, stores = harmed
    jobs = [request("ann"), request("bob"), request("cid")]
    await stores.jobs.submit(jobs)
    left, right, _ = await stores.jobs.claim("worker", 3, LEASE_S)
    os.kill(server.pid, signal.SIGKILL)
    ended = await asyncio.gather(stores.jobs.finish(left, DONE), stores.jobs.finish(right, DONE))
    assert ended == [True, True]
    states = [job.state for job in await stores.jobs.find(JobFilter())]
    assert states == ["running", "completed", "completed"]


async def test_a_hanging_server_is_a_problem_until_it_answers_again(server):
    async with (
        wire_to(fresh_database(server.address)) as (wire, dsn),
        open_postgres(Settings(postgres_dsn=dsn), announce, Signals()) as stores,
    ):
        await stores.jobs.submit([job := request()])
        wire.answers.clear()
        with pytest.raises(Problem) as caught:
            await stores.jobs.get(job.id)
        assert caught.value.code == "store_unavailable"
        assert int(caught.value.headers["Retry-After"]) > 0
        wire.answers.set()
        assert (await stores.jobs.get(job.id)).id == job.id


async def test_a_full_server_is_waited_for(server):
    """The stores come last, when others have every connection; those go away one after the other."""
    dsn = fresh_database(server.address)
    settings = Settings(postgres_dsn=dsn)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_postgres(settings, announce, Signals()))
        others = await crowd(dsn)
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(dsn)
        submitting = asyncio.create_task(stores.jobs.submit([request()]))
        for other in others:
            await other.close()
        assert (await submitting)[0].result == "created"


async def crowd(dsn: str) -> list[asyncpg.Connection]:
    """Every connection that the server has left."""
    connections = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            connections.append(await asyncpg.connect(dsn))
    return connections


async def test_health_says_why_the_database_does_not_answer(harmed):
    server, stores = harmed
    async with open_stores(Settings(db_use_database=False, postgres_dsn="", minio_endpoint="")) as others:
        harmed_stores = replace(others, jobs=stores.jobs, database_fault=stores.database_fault)
        assert (await store_health(harmed_stores)).fault == ""
        connection = await asyncpg.connect(server.address)
        await connection.execute("ALTER ROLE CURRENT_USER PASSWORD 'another'")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND usename IS NOT NULL"
        )
        health = await store_health(harmed_stores)
        assert (health.counts, health.ready) == (None, False)
        assert health.fault.startswith("password authentication failed for user")
        await connection.close()
