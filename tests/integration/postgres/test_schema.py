"""Our tables have a schema of their own, beside whatever else a database holds."""

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError

from gateway.background import Signals
from gateway.jobs.job import Callback, JobFilter
from gateway.jobs.store import WORK
from gateway.postgres.connection import SEEDS, MigrationError, Names
from gateway.postgres.database import known_migrations, prepare
from gateway.postgres.schema import OWN, RELEASED
from gateway.settings import Settings
from gateway.stores import DatabaseStores, open_postgres
from tests.cache_contract import entry, key
from tests.integration.postgres.making import DONE, LEASE_S, announce, masks, request

FOREIGN = """
CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('20240101120000');
CREATE TABLE jobs (id serial PRIMARY KEY, queue text);
INSERT INTO jobs (queue) VALUES ('theirs');
CREATE TABLE workers (name text);
"""
BOOK = """
CREATE TABLE public.schema_migrations (
    version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename"
PATIENCE_S = 20.0


@pytest.fixture
async def plain(settings):
    """A connection with the search path that everybody has."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    yield connection
    await connection.close()


async def tables(sql: asyncpg.Connection, schema: str) -> set[str]:
    return {row["tablename"] for row in await sql.fetch(TABLES, schema)}


async def works(settings: Settings) -> None:
    """A job goes its way, with its masks and a cached result."""
    async with open_postgres(settings, announce, Signals()) as stores:
        job = request("ann", callbacks=(Callback("webhook", "https://example.com/hook"),))
        await stores.jobs.submit([job])
        (lease,) = await stores.jobs.claim("worker", 1, LEASE_S)
        assert await stores.jobs.finish(lease, masks("upper_body"), entry(1))
        assert [found.state for found in await stores.jobs.find(JobFilter())] == ["completed"]
        assert await stores.cache.find(key(1)) is not None


async def former_installation(sql: asyncpg.Connection, steps: int = len(RELEASED)) -> None:
    """The tables as a version without a schema left them, with one job."""
    former = Names("public", dict.fromkeys(SEEDS, "public"))
    await sql.execute(BOOK)
    for migration in known_migrations()[:steps]:
        await sql.execute(former.fill(migration.sql))
        row = (migration.version, migration.name, RELEASED[migration.version])
        await sql.execute("INSERT INTO public.schema_migrations (version, name, sha256) VALUES ($1, $2, $3)", *row)
    await sql.execute(
        "INSERT INTO public.jobs (id, pipeline, user_id, request_id, fingerprint, parameters, image_kind, "
        "image_location, priority, source, trace_id, callbacks, state, held) VALUES "
        "($1, 'detect', 'ann', 'old', '', '{}', 'url', 'https://example.com', 0, 'http', '', '[]', 'queued', false)",
        uuid4(),
    )


async def test_a_database_with_tables_of_the_same_names_is_shared(settings, plain):
    await plain.execute(FOREIGN)
    await works(settings)
    assert await plain.fetchval("SELECT queue FROM public.jobs") == "theirs"
    assert await tables(plain, "public") == {"schema_migrations", "jobs", "workers", *SEEDS} - {"cache_performance"}
    assert await tables(plain, "maskwright") == {*OWN, "schema_migrations"}


async def test_tables_that_users_query_are_found_without_a_schema_name(settings, plain):
    await works(settings)
    assert await plain.fetchval("SELECT upper_body_mask FROM user_mask_outputs") == "upper_body_mask.png"
    assert await plain.fetchval("SELECT count(*) FROM task_results") == 1
    assert await plain.fetchval("SELECT count(*) FROM processing_metrics") == 1
    assert await plain.fetch("SELECT * FROM cache_performance") == []


@pytest.mark.parametrize("path", ["options=-c%20search_path%3Dface,public", "schema=face", "search_path=face"])
async def test_users_tables_are_where_the_search_path_of_the_address_has_them(settings, plain, path):
    await plain.execute("CREATE SCHEMA face; CREATE TABLE face.user_mask_outputs (user_id text PRIMARY KEY)")
    await plain.execute(
        "ALTER TABLE face.user_mask_outputs ADD gender text, ADD request_id text, ADD upper_body_mask text"
    )
    await plain.execute("ALTER TABLE face.user_mask_outputs ADD lower_body_mask text, ADD ethnic_combined_mask text")
    await plain.execute("ALTER TABLE face.user_mask_outputs ADD updated_at timestamptz")
    dsn = f"{settings.postgres_dsn.get_secret_value()}?{path}"
    await works(Settings(postgres_dsn=dsn))
    assert await plain.fetchval("SELECT upper_body_mask FROM face.user_mask_outputs") == "upper_body_mask.png"
    assert await tables(plain, "public") == set()


@pytest.mark.parametrize("steps", [1, 7, 9])
async def test_a_former_installation_is_moved_with_its_jobs(settings, plain, steps):
    await former_installation(plain, steps)
    done = await prepare(settings)
    assert done[0] == "the move of the tables from public to maskwright"
    assert len(done) == 1 + len(known_migrations()) - steps
    assert await prepare(settings) == []
    async with open_postgres(settings, announce, Signals()) as stores:
        (job,) = await stores.jobs.find(JobFilter())
        assert job.request.request_id == "old"
    assert await tables(plain, "maskwright") == {*OWN, "schema_migrations"}
    assert await tables(plain, "public") == {"schema_migrations", *SEEDS} - {"cache_performance"}
    names = [row["name"] for row in await plain.fetch("SELECT name FROM public.schema_migrations ORDER BY version")]
    assert names[steps:] == ["0010_moved_to_a_schema_of_their_own"], "a former version does not start"


async def test_many_that_start_at_once_move_the_tables_once(settings, plain):
    await former_installation(plain)
    named = settings.model_copy(
        update={"postgres_dsn": SecretStr(f"{settings.postgres_dsn.get_secret_value()}?application_name=maskwright")}
    )
    done = await asyncio.gather(*(prepare(named) for _ in range(5)))
    assert sum(bool(one) for one in done) == 1


async def test_users_of_the_former_tables_may_use_the_moved_ones(settings, plain):
    await former_installation(plain)
    user = f"user_{uuid4().hex}"
    await plain.execute(f"CREATE ROLE {user}; GRANT SELECT, UPDATE ON public.jobs TO {user}")
    await prepare(settings)
    await plain.execute(f"SET ROLE {user}")
    assert await plain.fetchval("SELECT count(*) FROM maskwright.jobs") == 1


async def test_a_running_former_version_keeps_its_tables(settings, plain):
    await former_installation(plain)
    running = await asyncpg.connect(
        settings.postgres_dsn.get_secret_value(), server_settings={"application_name": "maskwright"}
    )
    with pytest.raises(MigrationError, match=r"An older version still runs on this database: 1 connections from 127"):
        await prepare(settings)
    assert await plain.fetchval("SELECT count(*) FROM public.jobs") == 1
    assert await plain.fetchval("SELECT to_regnamespace('maskwright')") is None
    await running.close()
    assert len(await prepare(settings)) > 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE public.schema_migrations SET sha256 = repeat('0', 64)",
        "UPDATE public.schema_migrations SET name = 'theirs', sha256 = md5(name)",
    ],
)
async def test_tables_that_rows_of_another_tool_describe_are_left_alone(settings, plain, change):
    await former_installation(plain)
    await plain.execute(change)
    before = await tables(plain, "public")
    settings = settings.model_copy(update={"postgres_schema": "ours"})
    await prepare(settings)
    assert await tables(plain, "public") == before
    assert await tables(plain, "ours") >= set(OWN)


async def test_a_former_installation_of_a_version_that_is_not_known_is_refused(settings, plain):
    await former_installation(plain)
    await plain.execute("INSERT INTO public.schema_migrations VALUES (10, '0010_future', 'x')")
    with pytest.raises(MigrationError, match=r"public has migration 0010_future, which this version does not know"):
        await prepare(settings)


async def test_a_former_installation_may_stay_in_its_schema(settings, plain):
    await former_installation(plain)
    settings = settings.model_copy(update={"postgres_schema": "public"})
    await prepare(settings)
    assert await prepare(settings) == []
    assert await plain.fetchval("SELECT count(*) FROM public.jobs") == 1


async def test_two_installations_in_one_database_keep_apart(settings, plain):
    async with AsyncExitStack() as stack:
        heard = [Signals(), Signals()]
        here, there = [stack.enter_context(signals.subscribe(WORK)) for signals in heard]
        first, second = [
            await stack.enter_async_context(open_one(settings, name, signals))
            for name, signals in zip(("maskwright", "second"), heard, strict=True)
        ]
        assert await here.wait(PATIENCE_S)
        assert await there.wait(PATIENCE_S), "both listen"
        await first.jobs.submit([job := request("ann", request_id="same")])
        assert await here.wait(PATIENCE_S)
        assert not await there.wait(0.2)
        assert await second.jobs.get(job.id) is None
        assert (await second.jobs.submit([request("ann", request_id="same")]))[0].result == "created"
        await first.cache.keep(entry(1))
        assert await second.cache.find(key(1)) is None
        (lease,) = await first.jobs.claim("worker", 5, LEASE_S)
        assert await first.jobs.finish(lease, masks("upper_body"))
        async with first.cache.alone(key(1)):
            await asyncio.wait_for(hold(second), 5.0)
    assert await plain.fetchval("SELECT count(*) FROM second.user_mask_outputs") == 0


async def test_a_users_lock_in_another_schema_blocks_nobody(settings, plain):
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(open_one(settings, name, Signals())) for name in ("one", "two")
        ]
        await first.jobs.submit([request("ann")])
        (lease,) = await first.jobs.claim("worker", 1, LEASE_S)
        async with plain.transaction():
            await plain.execute("SELECT FROM one.jobs FOR UPDATE")
            ending = asyncio.create_task(first.jobs.finish(lease, DONE))
            while not await plain.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
            assert await asyncio.wait_for(second.jobs.submit([request("ann")]), 5.0)
        assert await ending


def open_one(settings: Settings, schema: str, signals: Signals):
    return open_postgres(settings.model_copy(update={"postgres_schema": schema}), announce, signals)


async def hold(stores: DatabaseStores) -> None:
    async with stores.cache.alone(key(1)):
        pass


@pytest.mark.parametrize("schema", ["MaskWright", "my schema", "tenant-1.prod", "gesichter_ö", "select", "s" * 63])
async def test_odd_names_of_schemas_are_quoted(settings, plain, schema):
    await works(settings.model_copy(update={"postgres_schema": Settings(postgres_schema=schema).postgres_schema}))
    assert await tables(plain, schema) == {*OWN, "schema_migrations"}


@pytest.mark.parametrize(
    "schema",
    [
        "",
        " ",
        "pg_ours",
        "PG_x",
        "information_schema",
        "s" * 64,
        "ö" * 32,
        'a"b',
        "a'b",
        "a\\b",
        "a$b",
        "a;b",
        "a\nb",
        "a\0b",
    ],
)
def test_names_that_no_schema_can_have_are_refused(schema):
    with pytest.raises(ValidationError, match="postgres_schema"):
        Settings(postgres_schema=schema)
