"""API keys and the audit log in PostgreSQL."""

from collections.abc import Sequence
from secrets import token_bytes

import asyncpg
from typing_extensions import override

from gateway.access.audit import AuditEntry, AuditFilter, AuditLog
from gateway.access.keys import ApiKey, KeyStore
from gateway.errors import Problem
from gateway.postgres.connection import Row
from gateway.postgres.pool import Pool
from gateway.postgres.rows import clean

_KEY = "id, name, tenant, scopes, digest, created_at, expires_at, revoked_at"
_ADD = f"INSERT INTO maskwright.api_keys ({_KEY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"  # noqa: S608
_FIND = f"SELECT {_KEY} FROM maskwright.api_keys WHERE id = $1"  # noqa: S608 of constants
_ALL = f"SELECT {_KEY} FROM maskwright.api_keys ORDER BY created_at DESC, id"  # noqa: S608 of constants
_REVOKE = "UPDATE maskwright.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL"
# The first gateway makes the secret, and all get it: the update changes nothing, but returns the row.
_SHARED = """
INSERT INTO maskwright.secrets (name, value) VALUES ('installation', $1)
ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING value
"""

_ENTRY = "at, caller, tenant, action, job_id, target, code, request_id"
_NOTE = f"INSERT INTO maskwright.audit ({_ENTRY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"  # noqa: S608 of constants
_CONDITIONS = ("job_id", "caller", "tenant")
# Ids are in the order of time, but for some moments.
_PRUNE = """
DELETE FROM maskwright.audit WHERE id IN (
    SELECT id FROM (SELECT id, at FROM maskwright.audit ORDER BY id LIMIT $2) AS oldest
    WHERE at < now() - $1 * interval '1 day'
)
"""
_PRUNED = 5000


class PostgresKeys(KeyStore):
    """Keys in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @override
    async def add(self, key: ApiKey) -> None:
        """Keep a new key; to keep it once more, after a lost answer, changes nothing."""
        await self._pool.change(_ADD, *vars(key).values())

    @override
    async def find(self, key_id: str) -> ApiKey | None:
        row = await self._pool.fetchrow(_FIND, key_id)
        return _key_of(row) if row else None

    @override
    async def all(self) -> Sequence[ApiKey]:
        return [_key_of(row) for row in await self._pool.fetch(_ALL)]

    @override
    async def revoke(self, key_id: str) -> bool:
        return await self._pool.change(_REVOKE, key_id) > 0

    @override
    async def secret(self) -> bytes:
        (row,) = await self._pool.fetch(_SHARED, token_bytes(32))
        return bytes(row["value"])


class PostgresAudit(AuditLog):
    """Entries in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._quick = pool.impatient()

    @override
    async def note(self, entry: AuditEntry) -> None:
        """Keep an entry; it may be kept twice if the first answer is lost."""
        values = [clean(value) if isinstance(value, str) else value for value in vars(entry).values()]
        try:
            await self._quick.change(_NOTE, *values)
        except asyncpg.PostgresError as error:  # such as a table that somebody withheld
            raise Problem("store_unavailable", f"PostgreSQL refused: {error}") from error

    @override
    async def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
        where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(given, 2)) or "true"
        query = f"SELECT {_ENTRY} FROM maskwright.audit WHERE {where} ORDER BY id DESC LIMIT $1"  # noqa: S608 of constants
        return [AuditEntry(**row) for row in await self._pool.fetch(query, wanted.limit, *given.values())]

    @override
    async def prune(self, days: int) -> int:
        return await self._pool.change(_PRUNE, days, _PRUNED)


def _key_of(row: Row) -> ApiKey:
    return ApiKey(**{**row, "scopes": tuple(row["scopes"])})
