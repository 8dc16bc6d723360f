"""The audit log in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast
from uuid import UUID

import asyncpg

from gateway.access.audit import AuditEntry, AuditFilter, AuditLog
from gateway.errors import Problem
from gateway.postgres.connection import affected
from gateway.postgres.pool import Pool
from gateway.postgres.rows import clean

_COLUMNS = "at, caller, tenant, action, job_id, target, code, request_id"
_NOTE = f"INSERT INTO maskwright.audit ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608 of constants
_CONDITIONS = ("job_id", "caller", "tenant")
# The numbers come in the order of time, but for moments.
_PRUNE = """
DELETE FROM maskwright.audit WHERE id IN (
    SELECT id FROM (SELECT id, at FROM maskwright.audit ORDER BY id LIMIT $2) AS oldest
    WHERE at < now() - $1 * interval '1 day'
)
"""
_PRUNED = 5000


class _AuditRow(TypedDict):
    at: datetime
    caller: str
    tenant: str
    action: str
    job_id: UUID | None
    target: str
    code: str | None
    request_id: str


class PostgresAudit(AuditLog):
    """Entries in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._quick = pool.impatient()

    async def note(self, entry: AuditEntry) -> None:
        """Keep an entry; once more, where the answer to the first time is lost."""
        values = (clean(value) if isinstance(value, str) else value for value in vars(entry).values())
        columns = tuple(values)
        try:
            await self._quick.run(lambda connection: connection.execute(_NOTE, *columns))
        except asyncpg.PostgresError as error:  # such as a table that somebody withheld
            raise Problem("store_unavailable", f"PostgreSQL refused: {error}") from error

    async def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
        where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(given, 2)) or "true"
        query = f"SELECT {_COLUMNS} FROM maskwright.audit WHERE {where} ORDER BY id DESC LIMIT $1"  # noqa: S608 of constants
        rows = await self._pool.run(lambda connection: connection.fetch(query, wanted.limit, *given.values()))
        return [AuditEntry(**cast("_AuditRow", row)) for row in rows]

    async def prune(self, days: int) -> int:
        """Remove some of the entries that are older."""
        return affected(await self._pool.run(lambda connection: connection.execute(_PRUNE, days, _PRUNED)))
