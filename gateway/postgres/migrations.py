"""The tables and their versions."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import cast

from gateway.deadline import Deadline
from gateway.logs import get_logger
from gateway.postgres.connection import Connection

_LOCK = 0x6D61736B77726967
"""The advisory lock that one migrating process holds: `maskwrig` in ASCII."""
_WAIT_S = 60.0
_PAUSE_S = 0.25
_STEP_S = 3600.0

_TRY_LOCK = f"SELECT pg_try_advisory_lock({_LOCK}) AS locked"
_KNOWN = "SELECT to_regclass('schema_migrations') IS NOT NULL AS known"
_CREATE = """
CREATE TABLE schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_RECORD = "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)"

_log = get_logger(__name__)


class MigrationError(RuntimeError):
    """The database's tables are not those that this version knows, or another instance is changing them."""


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


async def migrate(connection: Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Apply the steps that are missing, each in a transaction, one process at a time; those applied.

    Raises MigrationError, and asyncpg's errors. The connection keeps the lock until it is closed.
    """
    await connection.execute("SET statement_timeout = 0")
    await _lock(connection)
    applied = await _applied(connection)
    _check(migrations, applied)
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        await _apply(connection, migration)
    return missing


async def _lock(connection: Connection) -> None:
    """Wait for other processes' migrations. Each try is answered, so a dead server is not taken for a long wait."""
    deadline = Deadline(_WAIT_S)
    if await _locked(connection):
        return
    _log.info("waiting for another instance, which is changing the tables")
    while not await _locked(connection):
        if deadline.remaining() < _PAUSE_S:
            raise MigrationError(
                f"Another instance has been changing the tables for {_WAIT_S:g} s; start this one when it is done."
            )
        await asyncio.sleep(_PAUSE_S)


async def _locked(connection: Connection) -> bool:
    row = await connection.fetchrow(_TRY_LOCK)
    return row is not None and bool(row["locked"])


async def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    """Names and checksums by version. CREATE TABLE IF NOT EXISTS would need a right even where the table exists."""
    row = await connection.fetchrow(_KNOWN)
    if not (row and row["known"]):
        await connection.execute(_CREATE)
    rows = await connection.fetch("SELECT version, name, sha256 FROM schema_migrations")
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


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=_STEP_S)
        await connection.execute(_RECORD, migration.version, migration.name, migration.sha256)
    _log.info("migration applied", migration=migration.name)
