"""API keys in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from secrets import token_bytes
from typing import TypedDict, cast
from uuid import UUID

import asyncpg

from gateway.access.audit import AuditEntry, AuditFilter, AuditLog
from gateway.access.keys import ApiKey, KeyBook
from gateway.postgres.connection import Row, affected
from gateway.postgres.pool import Pool
from gateway.postgres.rows import clean
from gateway.problems import Problem

_COLUMNS = "id, name, tenant, scopes, digest, created_at, expires_at, revoked_at"
_ADD = f"INSERT INTO maskwright.api_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"  # noqa: S608
_FIND = f"SELECT {_COLUMNS} FROM maskwright.api_keys WHERE id = $1"  # noqa: S608 of constants
_ALL = f"SELECT {_COLUMNS} FROM maskwright.api_keys ORDER BY created_at DESC, id"  # noqa: S608 of constants
_REVOKE = "UPDATE maskwright.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id"
# The gateway that comes first makes it, and all get it: a conflict changes nothing, but lets the row be returned.
_SHARED = """
INSERT INTO maskwright.secrets (name, value) VALUES ('installation', $1)
ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING value
"""


class _KeyRow(TypedDict):
    id: str
    name: str
    tenant: str
    scopes: Sequence[str]
    digest: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class _SecretRow(TypedDict):
    value: bytes


class PostgresKeys(KeyBook):
    """Keys in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, key: ApiKey) -> None:
        """Keep a new key; the same again after a lost answer is the same."""
        await self._pool.run(lambda connection: connection.execute(_ADD, *vars(key).values()))

    async def find(self, key_id: str) -> ApiKey | None:
        """One key."""
        row = await self._pool.run(lambda connection: connection.fetchrow(_FIND, key_id))
        return _key_of(row) if row else None

    async def all(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""
        return [_key_of(row) for row in await self._pool.run(lambda connection: connection.fetch(_ALL))]

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key."""
        return await self._pool.run(lambda connection: connection.fetchrow(_REVOKE, key_id)) is not None

    async def secret(self) -> bytes:
        """The installation's secret."""
        offered = token_bytes(32)
        row = await self._pool.run(lambda connection: connection.fetchrow(_SHARED, offered))
        return cast("_SecretRow", row)["value"]


def _key_of(row: Row) -> ApiKey:
    columns = cast("_KeyRow", row)
    return ApiKey(
        id=columns["id"],
        name=columns["name"],
        tenant=columns["tenant"],
        scopes=tuple(columns["scopes"]),
        digest=columns["digest"],
        created_at=columns["created_at"],
        expires_at=columns["expires_at"],
        revoked_at=columns["revoked_at"],
    )


_ENTRY_COLUMNS = "at, caller, tenant, action, job_id, target, code, request_id"
_NOTE = f"INSERT INTO maskwright.audit ({_ENTRY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608 of constants
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
        query = f"SELECT {_ENTRY_COLUMNS} FROM maskwright.audit WHERE {where} ORDER BY id DESC LIMIT $1"  # noqa: S608 of constants
        rows = await self._pool.run(lambda connection: connection.fetch(query, wanted.limit, *given.values()))
        return [AuditEntry(**cast("_AuditRow", row)) for row in rows]

    async def prune(self, days: int) -> int:
        """Remove some of the entries that are older."""
        return affected(await self._pool.run(lambda connection: connection.execute(_PRUNE, days, _PRUNED)))
