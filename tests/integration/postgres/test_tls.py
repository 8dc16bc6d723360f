"""Addresses that a server with a certificate authority of its own, and others, accept or refuse."""

import re
import time
from pathlib import Path

import asyncpg
import pytest

from gateway.postgres.address import read_address
from gateway.postgres.connection import open_session
from gateway.postgres.database import prepare
from gateway.settings import Settings, SettingsError
from tests.integration.postgres.debian import PASSWORD, TlsServer, make_authority, running_tls_server

AT_ONCE_S = 3.0
ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def server():
    with running_tls_server() as server:
        yield server


@pytest.fixture
async def sql(server):
    connection = await asyncpg.connect(host=str(server.folder), port=server.port, user="postgres", database="postgres")
    yield connection
    await connection.close()


async def encrypted(dsn: str) -> bool:
    async with open_session(read_address(dsn)) as session:
        return (await session.fetchrow(ENCRYPTED))["ssl"]


async def refused(dsn: str = "", **settings: object) -> str:
    """What is said, at once."""
    began = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        await prepare(Settings(**({"postgres_dsn": dsn} if dsn else settings)))
    assert time.monotonic() - began < AT_ONCE_S
    assert "sesame" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("query", "is_encrypted"),
    [
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("sslmode=prefer", True),
        ("", True),
        ("sslmode=require", True),
        ("sslmode=REQUIRE&channel_binding=require", True),
        ("ssl=true", True),
        ("sslmode=require&sslrootcert={ca}", True),
        ("sslmode=verify-ca&sslrootcert={ca}", True),
        ("sslmode=verify-full&sslrootcert={ca}&gssencmode=disable&keepalives=1", True),
        ("ssl_min_protocol_version=TLSv1.3&sslmode=require", True),
    ],
)
async def test_every_mode_is_kept(server: TlsServer, query, is_encrypted):
    assert await encrypted(server.address(query.format(ca=server.authority.file))) is is_encrypted


async def test_an_address_without_a_host_name_may_be_verified_by_its_authority_alone(server):
    ca = server.authority.file
    assert await encrypted(server.address(f"sslmode=verify-ca&sslrootcert={ca}", host="127.0.0.1"))
    said = await refused(server.address(f"sslmode=verify-full&sslrootcert={ca}", host="127.0.0.1"))
    assert "TLS: " in said
    assert "127.0.0.1" in said


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sslmode=verify-full&sslrootcert={other}", "TLS: .*self-signed|TLS: .*unable to get local issuer"),
        ("sslmode=verify-ca&sslrootcert={other}", "TLS: .*self-signed|TLS: .*unable to get local issuer"),
        ("sslrootcert=system", "TLS: "),
        ("sslmode=verify-full", "TLS: "),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.crt", "sslrootcert: No such file or directory: /nowhere/ca.crt"),
        ("sslmode=require&sslcert=/nowhere/me.crt", "sslcert: No such file"),
        ("sslmode=require&sslcert={ca}&sslkey={key}", "TLS: "),
        ("sslmode=sometimes", "sslmode: must be one of disable, "),
        ("options=-c%20no_such=1", "unrecognized configuration parameter"),
        ("options=-c%20work_mem%3Dmuch", "invalid value for parameter"),
    ],
)
async def test_a_refusal_that_will_be_repeated_is_raised_at_once(server, tmp_path, query, says):
    other = make_authority(tmp_path / "other")
    _, key = other.sign("other")
    dsn = server.address(query.format(other=other.file, ca=server.authority.file, key=key))
    assert re.search(f"^POSTGRES_DSN=…: .*({says})", await refused(dsn))


@pytest.mark.parametrize(
    ("user", "database", "query", "says"),
    [
        ("stranger", "postgres", "", "no pg_hba.conf entry for host"),
        ("postgres", "nowhere", "", 'database "nowhere" does not exist'),
        ("postgres", "template0", "", "not currently accepting connections"),
        ("tls_only", "postgres", "sslmode=disable", "no pg_hba.conf entry .* no encryption"),
        ("certified", "postgres", "sslmode=require", "valid client certificate"),
        ("tls_only", "postgres", "", "password authentication failed"),
    ],
)
async def test_a_login_that_is_refused_is_told_at_once(server, sql, user, database, query, says):
    await sql.execute("DROP ROLE IF EXISTS certified; CREATE ROLE certified LOGIN")
    assert re.search(says, await refused(server.address(query, user=user, database=database)))


async def test_a_client_certificate_is_a_login(server, sql):
    await sql.execute("DROP ROLE IF EXISTS certified; CREATE ROLE certified LOGIN")
    certificate, key = server.authority.sign("certified")
    query = f"sslmode=verify-full&sslrootcert={server.authority.file}&sslcert={certificate}&sslkey={key}"
    assert await encrypted(server.address(query, user="certified"))


async def test_a_server_without_tls_is_told_at_once(postgres_dsn):
    assert "TLS: the server speaks none" in await refused(f"{postgres_dsn}?sslmode=require")
    assert await encrypted(f"{postgres_dsn}?sslmode=prefer") is False


async def test_a_socket_folder_is_accepted_as_host(server):
    settings = Settings(db_host=str(server.folder), db_port=server.port, db_database="postgres")
    async with open_session(read_address(settings.postgres_dsn.get_secret_value())) as session:
        assert (await session.fetchrow("SELECT inet_client_addr() AS address"))["address"] is None


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
async def test_an_ipv6_address_is_a_host(server):
    settings = Settings(db_host="::1", db_port=server.port, db_password=PASSWORD, db_database="postgres")
    assert await encrypted(settings.postgres_dsn.get_secret_value())


async def test_the_database_host_that_accepts_writes_is_found(server):
    dsn = f"host=127.0.0.1,localhost port=1,{server.port} user=postgres password=sesame dbname=postgres"
    assert await encrypted(dsn)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_is_not_utf_8_is_refused(server, sql, encoding):
    name = f"not_utf8_{encoding.lower()}"
    await sql.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    said = await refused(server.address(database=name))
    assert said == (
        f"POSTGRES_DSN=…: the database {name} holds text as {encoding}; make one with CREATE DATABASE … "
        "ENCODING 'UTF8' TEMPLATE template0, and name it"
    )


async def test_a_refusal_names_the_variable_that_was_set(server):
    said = await refused(db_host="localhost", db_port=server.port)
    assert said.startswith("DB_HOST=…: password authentication failed")
    assert await refused(db_host="[::1") == "DB_HOST=…: neither a host's name or address nor a socket's folder"
