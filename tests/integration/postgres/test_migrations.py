import asyncio
import re
import traceback
from dataclasses import replace

import asyncpg
import pytest
from typer.testing import CliRunner

from gateway.background import Signals
from gateway.cli.main import app
from gateway.jobs.outbox import OutboxMessage
from gateway.postgres import database
from gateway.postgres.address import read_address
from gateway.postgres.connection import MigrationError, open_session
from gateway.postgres.database import Migration, known_migrations, migrate, prepare
from gateway.settings import Settings, SettingsError
from gateway.settings.settings import MASK_TYPES
from gateway.stores import open_postgres
from tests.integration.postgres.making import announce, request
from tests.integration.postgres.proxy import wire_to

FORMER, LANES = 11, 15
ALL = [migration.name for migration in known_migrations()]
SEED_TABLE = """
CREATE TABLE user_mask_outputs (
    user_id TEXT PRIMARY KEY,
    gender TEXT,
    request_id TEXT,
    upper_body_mask TEXT,
    lower_body_mask TEXT,
    ethnic_combined_mask TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now()
)
"""


async def migrated(settings: Settings, *migrations: Migration) -> list[str]:
    async with open_session(read_address(settings.postgres_dsn.get_secret_value())) as session:
        return (await migrate(session, settings.postgres_schema, migrations))[1]


async def test_several_instances_at_once(settings):
    applied = await asyncio.gather(*(prepare(settings) for _ in range(6)))
    assert sorted(len(one) for one in applied) == [0] * 5 + [len(ALL)]


async def test_only_what_is_missing_is_applied(settings):
    first, *rest = known_migrations()
    assert await migrated(settings, first) == [first.name]
    assert await migrated(settings, first, *rest) == [migration.name for migration in rest]


@pytest.mark.parametrize("step", [one for one in known_migrations() if one.version > FORMER], ids=lambda one: one.name)
def test_a_migration_locks_readers_out_only_after_its_long_work(step):
    assert "CREATE INDEX" not in step.sql.partition("DROP INDEX")[2]


@pytest.mark.parametrize(
    ("kind", "destination"),
    [
        ("message", "mask_output"),
        ("webhook", "https://Example.com/hook?a=b"),
        ("webhook", "http://example.com:8080"),
        ("webhook", "https://[2001:db8::1]/hook"),
        ("upload", "http://127.0.0.1:80/upload"),
    ],
)
async def test_deliveries_of_a_version_without_lanes_get_their_lanes(settings, sql, kind, destination):
    before = [migration for migration in known_migrations() if migration.version < LANES]
    await migrated(settings, *before)
    await sql.execute(
        "INSERT INTO deliveries (kind, destination, key, headers, body) VALUES ($1, $2, 'k', '{}', 'b')",
        *(kind, destination),
    )
    async with open_postgres(settings, announce, Signals()) as stores:
        lane = OutboxMessage(kind, destination, "k", b"b").lane
        assert await stores.outbox.lanes(kind, None, 9) == {lane: 1}
        assert [one.content.destination for one in await stores.outbox.take({lane: 1}, 60.0)] == [destination]


async def test_a_failing_step_leaves_nothing_behind(settings, sql):
    first = known_migrations()[0]
    broken = Migration("0002_broken", "CREATE TABLE half (x int); SELECT no_such_column FROM half")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrated(settings, first, broken)
    assert await sql.fetchval("SELECT to_regclass('half')") is None
    assert await sql.fetchval("SELECT to_regnamespace('maskwright')") is None
    assert await migrated(settings, first) == [first.name]


async def test_a_changed_step_is_refused(settings):
    first, *rest = known_migrations()
    await migrated(settings, first)
    with pytest.raises(MigrationError, match="0001_jobs was changed"):
        await migrated(settings, replace(first, sql=first.sql + " "), *rest)


async def test_a_newer_database_is_refused(settings):
    await migrated(settings, *known_migrations(), Migration("9000_future", "SELECT 1"))
    with pytest.raises(MigrationError, match="9000_future, which this version does not know"):
        await prepare(settings)


async def test_objects_of_an_older_version_are_removed_after_the_upgrade(settings, sql):
    await migrated(settings, *[one for one in known_migrations() if one.version < 11])
    columns = (
        "id, pipeline, user_id, request_id, fingerprint, parameters, image_kind, image_location, priority, source, "
    )
    columns += "trace_id, callbacks, held, state, attempts, finished_at, error_code, deleted_at"
    expected = set()
    for state, attempts, code, deleted, left in [
        ("failed", 1, "no_person", "NULL", False),
        ("failed", 1, "storage_unavailable", "NULL", True),
        ("failed", 2, "no_person", "NULL", True),
        ("completed", 3, None, "NULL", False),
        ("completed", 1, None, "now() - interval '1 hour'", True),
    ]:
        job = request()
        values = (
            f"$1, 'detect', '', $2, '', '{{}}', 'url', 'u', 0, 'http', '', '[]', false, $3, $4, now(), $5, {deleted}"
        )
        query = f"INSERT INTO maskwright.jobs ({columns}) VALUES ({values})"
        await sql.execute(query, job.id, job.request_id, state, attempts, code)
        expected |= {job.id} if left else set()
    async with open_postgres(settings, announce, Signals()) as stores:
        assert {job.id for job in await stores.jobs.removable(10, 60.0)} == expected


async def test_a_table_that_users_bring_is_kept_and_extended(settings, sql):
    await sql.execute(SEED_TABLE)
    await sql.execute("INSERT INTO user_mask_outputs (user_id, upper_body_mask) VALUES ('7', 'upper_body_mask.png')")
    await prepare(settings)
    row = await sql.fetchrow("SELECT * FROM user_mask_outputs")
    assert (row["user_id"], row["upper_body_mask"]) == ("7", "upper_body_mask.png")
    assert set(row.keys()) == {"user_id", "gender", "request_id", "updated_at", *(f"{one}_mask" for one in MASK_TYPES)}


async def test_a_user_without_the_right_to_make_tables_can_use_them(settings, sql):
    await prepare(settings)
    user = await role(sql)
    with pytest.raises(SettingsError, match=r"permission denied for schema maskwright.*USAGE"):
        await prepare(as_user(settings, user, "secret"))
    await sql.execute(f"GRANT USAGE ON SCHEMA maskwright TO {user}")
    await sql.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA maskwright TO {user}")
    assert await prepare(as_user(settings, user, "secret")) == []


async def test_a_refused_login_is_said_at_once(settings):
    with pytest.raises(SettingsError, match=r"POSTGRES_DSN=…: .*nobody"):
        await prepare(as_user(settings, "nobody", "wrong"))


@pytest.mark.parametrize("password", ["sesame/open", "sesame#open", "sesame?open", "[sesame"])
async def test_a_password_that_makes_the_address_invalid_is_not_shown(settings, password):
    place = settings.postgres_dsn.get_secret_value().rpartition("@")[2]
    with pytest.raises(SettingsError, match=r"^POSTGRES_DSN=…: .*percent-encoded") as caught:
        await prepare(Settings(postgres_dsn=f"postgresql://app:{password}@{place}"))
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


async def test_a_user_without_the_right_to_make_the_schema_is_told_what_to_run(settings, sql):
    user = as_user(settings, await role(sql), "secret")
    with pytest.raises(
        SettingsError, match=r"POSTGRES_DSN=….*; as the database's owner run (CREATE SCHEMA [^,]*), or"
    ) as told:
        await prepare(user)
    await sql.execute(re.search("run (CREATE SCHEMA [^,]*), or", str(told.value))[1])
    assert len(await prepare(user)) == len(ALL)
    assert await sql.fetchval("SELECT to_regclass('maskwright.task_results') IS NOT NULL"), "public is closed to him"


async def test_another_owner_of_the_users_table_is_reported(settings, sql):
    await sql.execute(SEED_TABLE)
    user = await role(sql)
    await sql.execute(f"CREATE SCHEMA maskwright AUTHORIZATION {user}")
    with pytest.raises(SettingsError, match=r"POSTGRES_DSN=….*must be owner of table user_mask_outputs.*migrate"):
        await prepare(as_user(settings, user, "secret"))


async def test_another_instance_that_never_ends_is_named(settings, sql, monkeypatch):
    monkeypatch.setattr(database, "_WAIT_S", 0.3)
    await sql.execute(f"SELECT pg_advisory_lock({database._LOCK})")
    with pytest.raises(MigrationError, match=r"Another instance has been changing the tables for 0\.3 s"):
        await prepare(settings)
    await sql.execute(f"SELECT pg_advisory_unlock({database._LOCK})")
    assert len(await prepare(settings)) == len(ALL)


async def test_a_server_that_is_not_up_yet_is_waited_for(settings):
    async with wire_to(settings.postgres_dsn.get_secret_value()) as (wire, dsn):
        wire.refusals = 3
        assert len(await prepare(Settings(postgres_dsn=dsn))) == len(ALL)
        assert wire.refusals == 0


def test_the_command_says_what_it_did(settings, monkeypatch):
    monkeypatch.setenv("POSTGRES_DSN", settings.postgres_dsn.get_secret_value())
    first, second = (CliRunner().invoke(app, ["migrate"]) for _ in range(2))
    assert [line for line in first.output.splitlines() if line.startswith("applied")] == [
        f"applied {name}" for name in ALL
    ]
    assert second.output == "The tables are up to date.\n"


@pytest.mark.parametrize("dsn", ["", "postgresql://nobody:wrong@{place}", "mysql://here", "postgresql://a:b/c@d"])
def test_the_command_says_what_is_wrong(settings, monkeypatch, dsn):
    monkeypatch.setenv("POSTGRES_DSN", dsn.format(place=settings.postgres_dsn.get_secret_value().rpartition("@")[2]))
    result = CliRunner().invoke(app, ["migrate"])
    assert result.exit_code == 2
    assert "POSTGRES_DSN=" in result.output


async def role(sql: asyncpg.Connection) -> str:
    """A user who may log in and nothing else."""
    name = f"user_{(await sql.fetchval('SELECT current_database()'))}"
    await sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    return name


def as_user(settings: Settings, user: str, password: str) -> Settings:
    place = settings.postgres_dsn.get_secret_value().rpartition("@")[2]
    return Settings(postgres_dsn=f"postgresql://{user}:{password}@{place}")
