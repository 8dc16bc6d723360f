"""Debian's pgbouncer between the stores and the server, in each of its modes."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from gateway.background import Signals
from gateway.cache.cache import ALL_DAYS
from gateway.errors import Problem
from gateway.jobs.job import Callback
from gateway.jobs.store import WORK
from gateway.postgres.address import read_address
from gateway.postgres.connection import Connection, Names, open_session
from gateway.postgres.database import Database, find_link, prepare
from gateway.postgres.pool import Pool, open_pool
from gateway.settings import Settings, SettingsError
from gateway.stores import open_postgres
from tests.cache_contract import entry, key
from tests.integration.postgres.making import AWAY, LEASE_S, announce, masks, request
from tests.integration.postgres.pgbouncer import running_pgbouncer
from tests.outboxes import take_due
from tests.servers import fresh_database

PATIENCE_S = 20.0
SOON_S = 0.7
"""Less than the second after which a change is asked for."""
LEFT = """
SELECT
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks,
    (SELECT count(*) FROM pg_prepared_statements) AS statements,
    (SELECT count(*) FROM pg_listening_channels()) AS channels,
    (SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction') AS transactions
"""


@pytest.fixture(scope="module")
def poolers(postgres_dsn: str) -> Iterator[dict[str, str]]:
    """Addresses by mode; `tight` has two servers for each database, `lenient` takes any setting without making it."""
    lenient = "jit,statement_timeout,idle_in_transaction_session_timeout"
    with (
        running_pgbouncer(postgres_dsn, "transaction") as transaction,
        running_pgbouncer(postgres_dsn, "transaction", default_pool_size=2, server_round_robin=1) as tight,
        running_pgbouncer(
            postgres_dsn, "transaction", ignore_startup_parameters=lenient, server_round_robin=1
        ) as lenient,
        running_pgbouncer(postgres_dsn, "session") as session,
        running_pgbouncer(postgres_dsn, "statement") as statement,
    ):
        yield {
            "transaction": transaction,
            "tight": tight,
            "lenient": lenient,
            "session": session,
            "statement": statement,
        }


def through(pooler: str, dsn: str) -> str:
    return urlunsplit(urlsplit(pooler)._replace(path=urlsplit(dsn).path))


@pytest.fixture
def direct(postgres_dsn: str) -> str:
    return fresh_database(postgres_dsn)


@pytest.mark.parametrize("mode", ["transaction", "tight", "lenient", "session"])
async def test_jobs_run_to_their_end_through_pgbouncer(poolers, direct, mode):
    settings = Settings(postgres_dsn=through(poolers[mode], direct), max_retries=1, lease_s=LEASE_S)
    async with open_postgres(settings, announce, Signals()) as stores:
        jobs = [
            request(f"user {number % 3}", callbacks=(Callback("webhook", "https://example.com"),))
            for number in range(12)
        ]
        await asyncio.gather(*(stores.jobs.submit([job]) for job in jobs))
        while leases := await stores.jobs.claim("worker", 6, LEASE_S):
            put_back = [lease for lease in leases if lease.job.attempts == 1]
            await asyncio.gather(*(stores.jobs.retry(lease, AWAY.failure, 0.0) for lease in put_back))
            ended = [lease for lease in leases if lease.job.attempts > 1]
            assert all(await asyncio.gather(*(stores.jobs.finish(one, masks("dress"), entry(1)) for one in ended)))
        assert await stores.jobs.finished() == 12
        assert len(await take_due(stores.outbox, LEASE_S)) == 12
        assert (await stores.cache.find(key(1))) is not None
        assert (await stores.cache.stats(ALL_DAYS)).entries == 1
        connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value(), statement_cache_size=0)
        left = dict(await connection.fetchrow(LEFT))
        await connection.close()
        assert not left.pop("locks") or mode == "session"
        assert set(left.values()) == {0}


async def test_results_are_computed_once_by_several_processes(poolers, direct):
    settings = Settings(postgres_dsn=through(poolers["tight"], direct))
    computed = []

    async def want(stores) -> None:
        async with stores.cache.alone(key()):
            if await stores.cache.find(key()) is None:
                computed.append(stores)
                await asyncio.sleep(0.1)
                await stores.cache.keep(entry())

    async with (
        open_postgres(settings, announce, Signals()) as one,
        open_postgres(settings, announce, Signals()) as other,
    ):
        await asyncio.gather(*(want(stores) for _ in range(6) for stores in (one, other)))
    assert len(computed) == 1


@pytest.mark.parametrize(("mode", "straight"), [("session", False), ("transaction", True)])
async def test_changes_are_notified_at_once_on_a_lasting_session(poolers, direct, mode, straight):
    listen = {"postgres_listen_dsn": direct} if straight else {}
    settings = Settings(postgres_dsn=through(poolers[mode], direct), **listen)
    signals = Signals()
    with signals.subscribe(WORK) as work:
        async with open_postgres(settings, announce, signals) as stores:
            assert await work.wait(PATIENCE_S), "it listens"
            await stores.jobs.submit([request()])
            assert await work.wait(SOON_S)
            assert not await work.wait(1.2), "nobody asks again and again"


async def test_changes_are_polled_behind_a_pooler_without_sessions(poolers, direct):
    signals = Signals()
    with signals.subscribe(WORK) as work:
        async with open_postgres(Settings(postgres_dsn=through(poolers["transaction"], direct)), announce, signals):
            for _ in range(3):
                assert await work.wait(PATIENCE_S)


async def test_statement_pooling_is_refused(poolers, direct):
    with pytest.raises(SettingsError, match=r"^POSTGRES_DSN=…: .*set its pool_mode to transaction or session$"):
        await prepare(Settings(postgres_dsn=through(poolers["statement"], direct)))


async def test_an_address_to_listen_at_must_lead_to_the_same_database(poolers, direct, postgres_dsn):
    pooled = through(poolers["transaction"], direct)
    for wrong in (pooled, postgres_dsn):
        with pytest.raises(
            SettingsError, match=r"^POSTGRES_LISTEN_DSN=…: must lead to the database of POSTGRES_DSN, past"
        ):
            await prepare(Settings(postgres_dsn=pooled, postgres_listen_dsn=wrong))


async def test_direct_session_and_transaction_links_are_told_apart(poolers, direct):
    links = {
        mode: (await find_link(read_address(through(poolers[mode], direct))))[1] for mode in ("session", "lenient")
    }
    assert links == {"session": "session", "lenient": "transaction"}
    assert (await find_link(read_address(direct)))[1] == "direct"
    told = through(poolers["tight"], f"{direct}")
    assert (await find_link(read_address(f"{told}?pgbouncer=true")))[1] == "transaction"


async def test_a_pooler_that_is_not_known_is_named(poolers, direct):
    address = read_address(through(poolers["lenient"], direct))
    async with open_pool(Database(address, Names("maskwright"), None), 2) as pool, open_session(address) as other:
        async with other.transaction():
            await pool.run(ask)
        with pytest.raises(Problem, match="store_unavailable"):
            await ask_often(pool)
        assert "pgbouncer=true" in pool.fault


async def ask_often(pool: Pool) -> None:
    for _ in range(4):
        await pool.run(ask)


async def ask(connection: Connection) -> None:
    await connection.fetch("SELECT 1")


async def test_a_search_path_is_kept_behind_a_pooler(poolers, direct):
    straight = await asyncpg.connect(direct)
    await straight.execute("CREATE SCHEMA face")
    await prepare(Settings(postgres_dsn=through(poolers["tight"], direct) + "?options=-c%20search_path%3Dface"))
    assert await straight.fetchval("SELECT to_regclass('face.task_results') IS NOT NULL")
    await straight.close()


async def test_a_refusal_by_the_pooler_is_raised_at_once(poolers, direct):
    with pytest.raises(SettingsError, match='database "nowhere" does not exist'):
        await prepare(Settings(postgres_dsn=through(poolers["transaction"], "postgresql://h/nowhere")))
    with pytest.raises(SettingsError, match="authentication failed"):
        await prepare(Settings(postgres_dsn=through(poolers["transaction"].replace("://", "://x"), direct)))
