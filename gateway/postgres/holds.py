"""Holds in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

from gateway.jobs.artifacts import Hold, Holds, Name
from gateway.jobs.job import NewJob
from gateway.postgres.connection import Connection
from gateway.postgres.pool import Pool

# Work that is repeated after a lost answer finds its own.
_TAKE = """
INSERT INTO maskwright.holds AS held (request_id, user_id, tenant, prefixes, token, until)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second')
ON CONFLICT (request_id, user_id, tenant) DO UPDATE SET
    prefixes = excluded.prefixes, token = excluded.token, until = excluded.until
WHERE held.until < now() OR held.token = excluded.token
RETURNING now() AS since, xmax <> 0 AS inherited
"""
_RELEASE = """
DELETE FROM maskwright.holds WHERE request_id = $1 AND user_id = $2 AND tenant = $3 AND token = $4 RETURNING token
"""
_LEAVE = """
UPDATE maskwright.holds SET until = now() + $5 * interval '1 second'
WHERE request_id = $1 AND user_id = $2 AND tenant = $3 AND token = $4
"""
_LAPSED = """
SELECT tenant, user_id, request_id, prefixes FROM maskwright.holds WHERE until < now() ORDER BY until LIMIT $1
"""


class HoldLostError(Exception):
    """Another has, or had, what a job's artifacts were written under."""


async def spend(connection: Connection, request: NewJob, token: UUID | None) -> None:
    """Release the hold under which the artifacts of a job were written that ends in this transaction.

    Raises HoldLostError where it is over.
    """
    whose = (request.request_id, request.user_id, request.tenant, token)
    if token and await connection.fetchrow(_RELEASE, *whose) is None:
        raise HoldLostError


@dataclass(frozen=True)
class PostgresHolds(Holds):
    """Every method raises Problem `store_unavailable`."""

    pool: Pool

    async def take(self, name: Name, life_s: float) -> Hold | None:
        """Hold a name; None while another does."""
        token = uuid4()
        values = (*_whose(name), list(name.prefixes), token, life_s)
        row = await self.pool.run(lambda connection: connection.fetchrow(_TAKE, *values))
        return Hold(name, token, cast("datetime", row["since"]), bool(row["inherited"])) if row else None

    async def release(self, hold: Hold) -> None:
        """Let the next one have it."""
        await self.pool.run(lambda connection: connection.execute(_RELEASE, *_whose(hold.name), hold.token))

    async def leave(self, hold: Hold, life_s: float) -> None:
        """Let it lapse then."""
        await self.pool.run(lambda connection: connection.execute(_LEAVE, *_whose(hold.name), hold.token, life_s))

    async def lapsed(self, limit: int) -> Sequence[Name]:
        """Names that were not released in time."""
        rows = await self.pool.run(lambda connection: connection.fetch(_LAPSED, limit))
        return [
            Name(
                str(row["tenant"]),
                str(row["user_id"]),
                str(row["request_id"]),
                tuple(cast("list[str]", row["prefixes"])),
            )
            for row in rows
        ]


def _whose(name: Name) -> tuple[str, str, str]:
    return name.request_id, name.user_id, name.tenant
