"""The gateway's role in the embedded PostgreSQL owns its database, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded.addresses import POSTGRES_ADMIN, POSTGRES_DATABASE, POSTGRES_USER
from deploy.embedded.folders import Credentials, Folders
from deploy.embedded.postgres import Postgres
from gateway.postgres.database import prepare
from gateway.settings import Settings
from tests.ports import free_ports
from tests.servers import Server, administrator_dsn, kept, running_postgres

FORMER_WORK = """
CREATE TABLE public.mine (id serial PRIMARY KEY, always int GENERATED ALWAYS AS IDENTITY, mood text);
INSERT INTO public.mine (mood) VALUES ('calm');
CREATE SCHEMA "an odd 'schema'";
CREATE TYPE "an odd 'schema'"."the Mood" AS ENUM ('calm');
CREATE TYPE pair AS (one int, other int);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE SEQUENCE alone;
CREATE VIEW seen AS SELECT * FROM mine;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM mine;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
CREATE PROCEDURE nothing() LANGUAGE sql AS '';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9);
SELECT lo_from_bytea(0, 'large');
CREATE ROLE reader LOGIN PASSWORD 'reader';
GRANT USAGE ON SCHEMA maskwright TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA maskwright TO reader;
"""
LEFT = """
SELECT count(*) FROM (
    SELECT nspname::text FROM pg_namespace WHERE nspowner = 10 AND oid >= 16384
    UNION ALL SELECT relname::text FROM pg_class WHERE relowner = 10 AND oid >= 16384 AND relnamespace <> 99
    UNION ALL SELECT proname::text FROM pg_proc WHERE proowner = 10 AND oid >= 16384
    UNION ALL SELECT typname::text FROM pg_type WHERE typowner = 10 AND oid >= 16384 AND typnamespace <> 99
    UNION ALL SELECT oid::text FROM pg_largeobject_metadata WHERE lomowner = 10
) AS owned
"""
RIGHTS = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = $1"


def gateway_dsn(home: Path, admin: str) -> str:
    password = Credentials.kept(home / "secrets.json").postgres_password
    place = admin.rpartition("@")[2].partition("/")[0]
    return f"postgresql://{POSTGRES_USER}:{password}@{place}/{POSTGRES_DATABASE}"


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("postgres")
    with running_postgres(home) as server:
        yield gateway_dsn(home, server.address)


async def test_gateway_role_makes_its_tables_without_other_rights(gateways: str) -> None:
    assert await prepare(Settings(postgres_dsn=gateways))
    sql = await asyncpg.connect(gateways)
    assert set((await sql.fetchrow(RIGHTS, POSTGRES_USER)).values()) == {False}
    assert await sql.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = $1::regrole", POSTGRES_USER) == 0
    databases = await sql.fetch(
        "SELECT datname, datdba = $1::regrole AS own, has_database_privilege(datname, 'CONNECT, TEMP') AS entered "
        "FROM pg_database WHERE datallowconn",
        POSTGRES_USER,
    )
    assert {tuple(row) for row in databases} == {
        (POSTGRES_DATABASE, True, True),
        ("postgres", False, False),
        ("template1", False, False),
    }
    await sql.close()


@pytest.mark.parametrize(
    "statement",
    [
        *("COPY (SELECT 1) TO PROGRAM 'touch /tmp/harm'", "COPY (SELECT 1) TO '/tmp/harm'"),
        *("CREATE TABLE f (t text); COPY f FROM '/etc/passwd'", "SELECT pg_read_file('/etc/passwd')"),
        *("SELECT pg_ls_dir('/')", "SELECT lo_import('/etc/passwd')", "CREATE DATABASE more", "CREATE ROLE more"),
        *("ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()", "SELECT rolpassword FROM pg_authid"),
        *(f"SET ROLE {POSTGRES_ADMIN}", f"ALTER ROLE {POSTGRES_USER} SUPERUSER", "CREATE EXTENSION file_fdw"),
        *(f"ALTER ROLE {POSTGRES_ADMIN} PASSWORD 'mine'", "GRANT pg_read_server_files TO CURRENT_USER"),
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'system'",
    ],
)
async def test_gateway_role_reads_no_file_runs_no_program_and_grants_nothing(gateways: str, statement: str) -> None:
    sql = await asyncpg.connect(gateways)
    try:
        with pytest.raises(
            (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError)
        ):
            await sql.execute(statement)
    finally:
        await sql.close()


@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_gateway_role_cannot_enter_other_databases(gateways: str, database: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
        await asyncpg.connect(gateways.rpartition("/")[0] + f"/{database}")


class FormerPostgres(Postgres):
    """As it was when the gateway's user was the superuser whom initdb made, in the database that initdb made."""

    async def probe(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        await connection.close()


async def former_cluster(home: Path) -> str:
    """Makes one, with all that its user may have made, and says the password that was everybody's."""
    folders, (port,) = Folders(home), free_ports(1)
    folders.create()
    password = Credentials.kept(folders.secrets).postgres_admin_password
    dsn = administrator_dsn(home, port)
    server = Server(dsn)
    with kept(FormerPostgres(Settings(postgres_dsn=dsn, postgres_port=port), folders), folders, server):
        await prepare(Settings(postgres_dsn=dsn))
        sql = await asyncpg.connect(dsn)
        await sql.execute(FORMER_WORK)
        await sql.close()
    secrets = json.loads(folders.secrets.read_text())
    del secrets["postgres_admin_password"]
    folders.secrets.write_text(json.dumps({**secrets, "postgres_password": password}))
    return password


async def test_the_gateways_role_gets_everything_in_a_former_versions_cluster(tmp_path: Path) -> None:
    password = await former_cluster(tmp_path)
    for _ in range(2):  # the second time there is nothing to do
        with running_postgres(tmp_path) as server:
            dsn = gateway_dsn(tmp_path, server.address)
            assert await prepare(Settings(postgres_dsn=dsn)) == []
            sql = await asyncpg.connect(dsn)
            assert await sql.fetchval("SELECT mood FROM mine") == "calm"
            assert await sql.fetchval("SELECT count(*) FROM maskwright.schema_migrations") > 10
            assert await sql.fetchval(LEFT) == 0
            await sql.execute(
                "INSERT INTO mine (mood) VALUES ('calm'); SELECT nextval('alone'); ALTER TABLE mine ADD more int;"
                "REFRESH MATERIALIZED VIEW stored; DROP VIEW seen;"
                "CREATE VIEW seen AS SELECT 1 AS id; ALTER TABLE mine DROP more; CALL nothing(); SELECT total(1)"
            )
            assert set((await sql.fetchrow(RIGHTS, POSTGRES_USER)).values()) == {False}
            await sql.close()
            place = dsn.rpartition("@")[2]
            reader = await asyncpg.connect(f"postgresql://reader:reader@{place}")
            assert await reader.fetchval("SELECT count(*) FROM maskwright.jobs") == 0
            await reader.close()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(f"postgresql://{POSTGRES_ADMIN}:{password}@{place}")
    log = (tmp_path / "logs" / "postgres.log").read_text()
    credentials = Credentials.kept(tmp_path / "secrets.json")
    assert not [secret for secret in (password, credentials.postgres_admin_password) if secret in log]


async def test_an_interrupted_takeover_is_finished_at_the_next_start(tmp_path: Path) -> None:
    await former_cluster(tmp_path)
    credentials = Credentials.kept(tmp_path / "secrets.json")
    (port,) = free_ports(1)
    former = f"postgresql://{POSTGRES_ADMIN}:{credentials.postgres_password}@127.0.0.1:{port}/postgres"
    folders = Folders(tmp_path)
    with kept(FormerPostgres(Settings(postgres_dsn=former, postgres_port=port), folders), folders, Server(former)):
        sql = await asyncpg.connect(former.rpartition("/")[0] + "/template1")
        await sql.execute(f"CREATE ROLE {POSTGRES_USER} SUPERUSER CREATEDB; GRANT pg_monitor TO {POSTGRES_USER}")
        await sql.execute(f"ALTER DATABASE postgres RENAME TO {POSTGRES_DATABASE}")
        await sql.execute(f"ALTER DATABASE {POSTGRES_DATABASE} OWNER TO {POSTGRES_USER}")
        await sql.execute(f"ALTER ROLE {POSTGRES_ADMIN} PASSWORD '{credentials.postgres_admin_password}'")
        await sql.close()
    with running_postgres(tmp_path) as server:
        sql = await asyncpg.connect(gateway_dsn(tmp_path, server.address))
        assert await sql.fetchval(LEFT) == 0
        assert await sql.fetchval("SELECT mood FROM mine") == "calm"
        assert set((await sql.fetchrow(RIGHTS, POSTGRES_USER)).values()) == {False}
        assert await sql.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = $1::regrole", POSTGRES_USER) == 0
        await sql.close()


def test_a_former_versions_credentials_get_an_administrator_and_stay_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    former = {"postgres_password": "one", "s3_access_key": "two", "s3_secret_key": "three"}
    path.write_text(json.dumps(former))
    path.chmod(0o600)
    found = Credentials.kept(path)
    assert Credentials.kept(path) == found
    assert json.loads(path.read_text()) == {**former, "postgres_admin_password": found.postgres_admin_password}
    assert len(found.postgres_admin_password) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secrets.json"]
