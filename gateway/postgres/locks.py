"""The locks on the names of artifacts, in the table `holds`."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from typing_extensions import override

from gateway.jobs.artifacts import ArtifactLock, ArtifactLocks, LockLostError, LockName
from gateway.jobs.job import NewJob
from gateway.postgres.connection import Connection
from gateway.postgres.pool import Pool

# A statement that is repeated after a lost answer finds its own lock.
_TAKE_NAME = """
INSERT INTO maskwright.holds AS held (request_id, user_id, tenant, prefixes, token, until)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second')
ON CONFLICT (request_id, user_id, tenant) DO UPDATE SET
    prefixes = excluded.prefixes, token = excluded.token, until = excluded.until
WHERE held.until < now() OR held.token = excluded.token
RETURNING now() AS since, xmax <> 0 AS inherited
"""
_RELEASE_NAME = """
DELETE FROM maskwright.holds WHERE request_id = $1 AND user_id = $2 AND tenant = $3 AND token = $4 RETURNING token
"""
_LEAVE = """
UPDATE maskwright.holds SET until = now() + $5 * interval '1 second'
WHERE request_id = $1 AND user_id = $2 AND tenant = $3 AND token = $4
"""
_LAPSED = """
SELECT tenant, user_id, request_id, prefixes FROM maskwright.holds WHERE until < now() ORDER BY until LIMIT $1
"""


@dataclass(frozen=True)
class PostgresArtifactLocks(ArtifactLocks):
    """Locks on the names of artifacts, in the table `holds`. Every method raises Problem `store_unavailable`."""

    pool: Pool

    @override
    async def take(self, name: LockName, life_s: float) -> ArtifactLock | None:
        token = uuid4()
        row = await self.pool.fetchrow(_TAKE_NAME, *_columns(name), list(name.prefixes), token, life_s)
        return ArtifactLock(name, token, row["since"], row["inherited"]) if row else None

    @override
    async def release(self, lock: ArtifactLock) -> None:
        await self.pool.change(_RELEASE_NAME, *_columns(lock.name), lock.token)

    @override
    async def leave(self, lock: ArtifactLock, life_s: float) -> None:
        await self.pool.change(_LEAVE, *_columns(lock.name), lock.token, life_s)

    @override
    async def lapsed(self, limit: int) -> Sequence[LockName]:
        rows = await self.pool.fetch(_LAPSED, limit)
        return [LockName(row["tenant"], row["user_id"], row["request_id"], tuple(row["prefixes"])) for row in rows]


async def spend(connection: Connection, request: NewJob, token: UUID | None) -> None:
    """Release the lock under which the artifacts of a job were written that ends in this transaction.

    Raises LockLostError where another has taken the name since.
    """
    whose = (request.request_id, request.user_id, request.tenant, token)
    if token and await connection.fetchrow(_RELEASE_NAME, *whose) is None:
        raise LockLostError


def _columns(name: LockName) -> tuple[str, str, str]:
    return name.request_id, name.user_id, name.tenant
