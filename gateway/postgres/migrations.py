"""The tables and their versions."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import cast

from gateway.deadlines import Deadline
from gateway.logs import get_logger
from gateway.postgres.connection import Connection, settings_query
from gateway.postgres.faults import MigrationError
from gateway.postgres.moving import check_encoding, former_schema, make_schema, move, tables_in
from gateway.postgres.names import Named, Names, find_names

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
    """Each try is answered, so a dead server is not taken for a long wait."""
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
    return {cast("int", row["version"]): (str(row["name"]), str(row["sha256"])) for row in rows}


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
