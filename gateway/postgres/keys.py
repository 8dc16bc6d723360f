"""API keys in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from secrets import token_bytes
from typing import TypedDict, cast

from gateway.access.keys import ApiKey, KeyStore
from gateway.postgres.connection import Row
from gateway.postgres.pool import Pool

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


class PostgresKeys(KeyStore):
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
