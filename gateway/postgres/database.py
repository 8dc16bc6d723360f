"""Finds the database of an installation, and whether a pooler lies before it; makes or renews its tables.

Migrations are applied by one process at a time.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Literal

import asyncpg

from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.postgres.address import Address, AddressError, read_address
from gateway.postgres.connection import (
    TRANSIENT,
    Connection,
    MigrationError,
    Named,
    Names,
    RefusedError,
    cause,
    open_session,
    opening,
    settings_query,
)
from gateway.postgres.schema import check_encoding, find_names, former_schema, make_schema, move, tables_in
from gateway.settings import Settings, SettingsError
from gateway.timing import Deadline

_LOCK = 0x6D61736B77726967
"""The advisory lock that one migrating process holds: `maskwrig` in ASCII."""
_WAIT_S = 60.0
_PAUSE_S = 0.25
_STEP_S = 3600.0

# One lock for all schemas: what users may bring is theirs together.
_TRY_LOCK = f"SELECT pg_try_advisory_xact_lock({_LOCK}) AS locked"
_UNHURRIED = settings_query(
    {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": "10s"}
)
_CREATE = """
CREATE TABLE maskwright.schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_RECORD = "INSERT INTO maskwright.schema_migrations (version, name, sha256) VALUES ($1, $2, $3)"

_log = get_logger(__name__)


@dataclass(frozen=True)
class Migration:
    """One step, from a file such as `0001_jobs.sql`."""

    name: str
    sql: str

    @property
    def version(self) -> int:
        """The number that its name begins with."""
        return int(self.name.split("_")[0])

    @cached_property
    def sha256(self) -> str:
        """A checksum of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    """Every step, in order."""
    found = (
        entry for entry in files("gateway.postgres").joinpath("migrations").iterdir() if entry.name.endswith(".sql")
    )
    steps = (Migration(entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8")) for entry in found)
    return tuple(sorted(steps, key=lambda migration: migration.version))


async def migrate(
    connection: Connection, schema: str, migrations: Sequence[Migration], opening: str = ""
) -> tuple[Names, list[str]]:
    """Apply the steps that are missing, all or none, one process at a time; where the tables are, and what was done.

    An installation of a version that had no schema of its own is moved first. `opening` begins each transaction. Raises
    MigrationError, and asyncpg's errors.
    """
    deadline = Deadline(_WAIT_S)
    told = False
    while True:
        async with Named(connection, Names(schema), opening).transaction():
            if await _locked(connection):
                return await _migrate(connection, schema, migrations)
        if deadline.remaining() < _PAUSE_S:
            raise MigrationError(
                f"Another instance has been changing the tables for {_WAIT_S:g} s; start this one when it is done."
            )
        if not told:
            _log.info("waiting for another instance, which is changing the tables")
        told = True
        await asyncio.sleep(_PAUSE_S)


async def _locked(connection: Connection) -> bool:
    """Each try is answered at once, so that a dead server does not look like a lock that is held for long."""
    row = await connection.fetchrow(_TRY_LOCK)
    return row is not None and bool(row["locked"])


async def _migrate(connection: Connection, schema: str, migrations: Sequence[Migration]) -> tuple[Names, list[str]]:
    await connection.execute(_UNHURRIED)
    await check_encoding(connection)
    known = bool(await tables_in(connection, schema, "schema_migrations"))
    former = await former_schema(connection, schema)
    moving = former if former == schema or not known else None
    names = await find_names(connection, schema, moving)
    named = Named(connection, names)
    moved: list[str] = []
    if moving is not None:
        moved = await _take_over(named, names, moving, migrations)
    elif not known:
        await make_schema(named, schema)
        await named.execute(_CREATE)
    applied = await _applied(named)
    _check(migrations, applied)
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        await _apply(named, migration)
    return names, [*moved, *(migration.name for migration in missing)]


async def _take_over(named: Named, names: Names, former: str, migrations: Sequence[Migration]) -> list[str]:
    await make_schema(named, names.schema)
    await move(named, names, former, {migration.version: migration.sha256 for migration in migrations})
    return [f"the move of the tables from {former} to {names.schema}"]


async def _applied(named: Named) -> dict[int, tuple[str, str]]:
    """Names and checksums by version."""
    rows = await named.fetch("SELECT version, name, sha256 FROM maskwright.schema_migrations")
    return {row["version"]: (row["name"], row["sha256"]) for row in rows}


def _check(migrations: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> None:
    known = {migration.version: migration for migration in migrations}
    for version, (name, sha256) in sorted(applied.items()):
        if version not in known:
            raise MigrationError(
                f"The database has migration {name}, which this version does not know; run a newer one."
            )
        if known[version].sha256 != sha256:
            raise MigrationError(f"Migration {name} was changed after it was applied; put back its text.")


async def _apply(named: Named, migration: Migration) -> None:
    await named.execute(migration.sql, timeout=_STEP_S)
    await named.execute(_RECORD, migration.version, migration.name, migration.sha256)
    _log.info("migration applied", migration=migration.name)


Link = Literal["direct", "session", "transaction"]
"""A server itself; a pooler that gives each client a server's session, or one for each transaction."""

_ROUNDS = 4
_PROCESS = "SELECT pg_backend_pid() AS pid"
_STATEMENT_MODE = "the pooler gives a server for each statement alone; set its pool_mode to transaction or session"
_DATABASE_WAIT_S = 30.0
_DATABASE_PAUSE_S = 0.25

_REMEDY = (
    "this user may not make, change or use the tables; run `maskwright migrate` once as their owner, who then grants "
    "USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on its tables"
)
_NO_HOST = "neither a host's name or address nor a socket's folder"
_WHICH_SERVER = "SELECT current_database()::text || pg_postmaster_start_time() AS server"


@dataclass(frozen=True)
class Database:
    """How the tables are reached.

    `lasting` is an address whose sessions keep what they hold, which LISTEN and locks need; None where there is none.
    """

    address: Address
    names: Names
    lasting: Address | None


async def find_database(settings: Settings) -> tuple[Database, list[str]]:
    """The database with its tables made, and what was done for that.

    A database that is not up yet is waited for, 30 s. Raises Problem `store_unavailable`, SettingsError,
    MigrationError.
    """
    variable = settings.postgres_variable
    address = _address(variable, settings.postgres_dsn.get_secret_value(), settings)
    told = settings.postgres_listen_dsn.get_secret_value()
    listening = _address("POSTGRES_LISTEN_DSN", told, settings) if told else None
    deadline = Deadline(_DATABASE_WAIT_S)
    waiting = False
    while True:
        try:
            return await _found(settings, address, listening)
        except RefusedError as error:
            raise SettingsError(f"{variable}=…: {error}") from error
        except asyncpg.InsufficientPrivilegeError as error:
            raise SettingsError(f"{variable}=…: {cause(error)}: {_REMEDY}") from error
        except TRANSIENT as error:
            if deadline.remaining() < _DATABASE_PAUSE_S:
                detail = f"PostgreSQL did not answer within {_DATABASE_WAIT_S:g} s: {cause(error)}"
                raise Problem("store_unavailable", detail, retry_after=_DATABASE_PAUSE_S) from error
            if not waiting:
                _log.warning("waiting for PostgreSQL", reason=cause(error))
            waiting = True
        await asyncio.sleep(_DATABASE_PAUSE_S)


async def prepare(settings: Settings) -> Sequence[str]:
    """Make or renew the tables; what was done. Waits and raises as `find_database` does."""
    _, done = await find_database(settings)
    return done


def _address(variable: str, text: str, settings: Settings) -> Address:
    try:
        address = read_address(text)
    except AddressError as error:
        about_url = variable == "DB_HOST" and str(error).startswith("not a URL")
        raise SettingsError(f"{variable}=…: {_NO_HOST if about_url else error}") from None
    if address.passed_over:
        _log.warning(f"{variable}: parameters that have no effect here", parameters=", ".join(address.passed_over))
    return address.named(f"maskwright:{settings.postgres_schema}")


async def _found(settings: Settings, given: Address, listening: Address | None) -> tuple[Database, list[str]]:
    address, link = await find_link(given)
    lasting = await _lasting(address, link, listening)
    async with open_session(address) as session:
        names, done = await migrate(session, settings.postgres_schema, known_migrations(), opening(address))
    return Database(address, names, lasting), done


async def _lasting(address: Address, link: Link, listening: Address | None) -> Address | None:
    """Where sessions last. Raises SettingsError where POSTGRES_LISTEN_DSN leads somewhere else."""
    if listening is None:
        return address if link != "transaction" else None
    try:
        straight, kind = await find_link(listening)
        same = kind != "transaction" and await _server(straight) == await _server(address)
    except RefusedError as error:
        raise SettingsError(f"POSTGRES_LISTEN_DSN=…: {error}") from error
    if not same:
        raise SettingsError("POSTGRES_LISTEN_DSN=…: must lead to the database of POSTGRES_DSN, past the pooler")
    return straight


async def _server(address: Address) -> str:
    async with open_session(address) as session:
        row = await session.fetchrow(_WHICH_SERVER)
    return str(row["server"]) if row else ""


async def find_link(address: Address) -> tuple[Address, Link]:
    """The address as it is to be used, and what it leads to. Raises RefusedError, and TRANSIENT errors."""
    if not address.pooled and not await _is_pooler(address):
        return address, "direct"
    pooled = address.through_pooler()
    return pooled, "transaction" if await _shares_servers(pooled) else "session"


async def _is_pooler(address: Address) -> bool:
    """A pooler refuses our startup parameters, or names a process at the start that is not the server's."""
    try:
        async with open_session(address) as session:
            return await _process(session) != int(session.get_server_pid())
    except RefusedError as error:
        if "startup parameter" in str(error):
            return True
        raise


async def _shares_servers(address: Address) -> bool:
    """Whether sessions share servers: a session gets another one, or another session gets its server."""
    async with open_session(address) as one, open_session(address) as other:
        first = await _process(one)
        for _ in range(_ROUNDS):
            if await _process_in_transaction(other) == first or await _process(one) != first:
                return True
    return False


async def _process_in_transaction(session: asyncpg.Connection) -> int:
    try:
        async with session.transaction():
            return await _process(session)
    except asyncpg.PostgresError as error:
        if "not allowed in statement pooling" in str(error):
            raise RefusedError(_STATEMENT_MODE) from None
        raise


async def _process(connection: Connection) -> int:
    row = await connection.fetchrow(_PROCESS)
    return int(row["pid"]) if row else 0
