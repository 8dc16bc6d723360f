"""Locks in PostgreSQL: one for each result that is being computed, one for each name of artifacts."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import anyio
import asyncpg
from typing_extensions import override

from gateway.errors import Problem
from gateway.jobs.job import ArtifactLock, LockName, NewJob
from gateway.jobs.objects import LockLostError
from gateway.jobs.store import ArtifactLocks
from gateway.logs import get_logger
from gateway.postgres.address import Address
from gateway.postgres.connection import TRANSIENT, Connection, RefusedError, Row, cause, open_session
from gateway.postgres.pool import Pool
from gateway.postgres.schema import Names
from gateway.timing import Backoff

_BACKOFF = Backoff(0.02, 0.25, factor=1.5)
_PATIENCE_S = 10.0
"""After so long whoever has a lock is taken for a process that hangs."""
_AWAY_S = 5.0
"""How long the database is not asked again after it did not answer; meanwhile work goes on without locks."""

_LOCK = "SELECT pg_try_advisory_lock($1) AS locked"
_UNLOCK = "SELECT pg_advisory_unlock($1)"
_TAKE_ROW = """
INSERT INTO maskwright.locks AS held (key, holder, until) VALUES ($1, $2, now() + $3 * interval '1 second')
ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE held.until < now() OR held.holder = excluded.holder
RETURNING key
"""
_FREE_ROW = "DELETE FROM maskwright.locks WHERE key = $1 AND holder = $2 RETURNING key"

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

_log = get_logger(__name__)


class Locks(ABC):
    """The locks of one process on results; the database frees them when the process dies."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._away_until = float("-inf")

    @asynccontextmanager
    async def held(self, name: bytes) -> AsyncIterator[None]:
        """Hold a lock that no other process has.

        Go on without it if the database does not answer, or the process that has the lock does not free it in time.
        Others cannot tell us when they free it, so we ask again and again, with growing pauses.
        """
        key, holder = self._names.lock("result", name), uuid4()
        try:
            with anyio.move_on_after(_PATIENCE_S):
                for pause_s in _BACKOFF.pauses():
                    if await self._take(key, holder):
                        break
                    await anyio.sleep(pause_s)
            yield
        finally:
            await self._free(key, holder)

    @abstractmethod
    async def close(self) -> None:
        """Free all locks."""

    @abstractmethod
    async def _take(self, key: int, holder: UUID) -> bool:
        """Whether to go on: the lock was taken, or the database does not answer."""

    @abstractmethod
    async def _free(self, key: int, holder: UUID) -> None:
        """Free a lock, even where the caller is being cancelled."""


class SessionLocks(Locks):
    """Advisory locks, on one connection of their own.

    The caller sees to it that this process never asks for a lock that it holds: both would be the same session to the
    database, and both would get the lock.
    """

    def __init__(self, names: Names, address: Address) -> None:
        super().__init__(names)
        self._address = address
        self._turn = asyncio.Lock()
        self._session: asyncpg.Connection | None = None
        self._closing = AsyncExitStack()
        self._tasks: set[asyncio.Task[bool]] = set()

    @override
    async def close(self) -> None:
        await asyncio.gather(*self._tasks)
        await self._closing.aclose()

    @override
    async def _take(self, key: int, holder: UUID) -> bool:
        return await asyncio.shield(self._spawn(self._try_lock(key)))

    @override
    async def _free(self, key: int, holder: UUID) -> None:
        self._spawn(self._unlock(key))

    def _spawn(self, work: Coroutine[None, None, bool]) -> "asyncio.Task[bool]":
        """Do work to its end even if its caller is cancelled: with half an answer the connection would be useless."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _try_lock(self, key: int) -> bool:
        row = await self._ask(_LOCK, key)
        return bool(row is None or row["locked"])

    async def _unlock(self, key: int) -> bool:
        """Without a connection there is nothing to free."""
        return self._session is not None and await self._ask(_UNLOCK, key) is not None

    async def _ask(self, query: str, key: int) -> Row | None:
        """The answer; None if there is none: a connection that is closed loses its locks."""
        async with self._turn:
            if time.monotonic() < self._away_until:
                return None
            try:
                session: asyncpg.Connection = self._session or await self._closing.enter_async_context(
                    open_session(self._address)
                )
                self._session = session
                row: Row | None = await session.fetchrow(query, key)
            except (*TRANSIENT, RefusedError) as error:
                _log.warning("no locks from PostgreSQL", reason=cause(error))
                broke = self._session is not None and not isinstance(error, asyncio.TimeoutError)
                if not broke:  # a connection that broke is made anew at once
                    self._away_until = time.monotonic() + _AWAY_S
                self._session = None
                await self._closing.aclose()
                return None
            return row


class RowLocks(Locks):
    """Locks as rows, for a pooler that keeps no sessions; those of a process that died last 10 s."""

    def __init__(self, names: Names, pool: Pool) -> None:
        super().__init__(names)
        self._pool = pool.impatient()

    @override
    async def close(self) -> None:
        """Each was freed when its context ended."""

    @override
    async def _take(self, key: int, holder: UUID) -> bool:
        return await self._ask(_TAKE_ROW, key, holder, _PATIENCE_S)

    @override
    async def _free(self, key: int, holder: UUID) -> None:
        with anyio.CancelScope(shield=True):
            await self._ask(_FREE_ROW, key, holder)

    async def _ask(self, query: str, *values: object) -> bool:
        """Whether the statement returned a row, or the database does not answer."""
        if time.monotonic() < self._away_until:
            return True
        try:
            return await self._pool.fetchrow(query, *values) is not None
        except Problem:
            self._away_until = time.monotonic() + _AWAY_S
            return True


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
