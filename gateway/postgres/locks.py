"""Locks that the database frees when their holder dies: advisory locks of a session, or rows for a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast
from uuid import UUID, uuid4

import anyio

from gateway.jobs.artifacts import ArtifactLock, ArtifactLocks, LockName
from gateway.jobs.job import NewJob
from gateway.logs import get_logger
from gateway.postgres.address import Address
from gateway.postgres.connection import TRANSIENT, Connection, RefusedError, Row, Session, cause, open_session
from gateway.postgres.pool import Pool
from gateway.postgres.schema import Names
from gateway.problems import Problem

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
_PATIENCE_S = 10.0
"""After so long a holder is taken for one that hangs."""
_AWAY_S = 5.0
"""How long the database is not asked again after it did not answer: there are no locks then."""

_LOCK = "SELECT pg_try_advisory_lock($1) AS locked"
_UNLOCK = "SELECT pg_advisory_unlock($1)"

_TAKE_ROW = """
INSERT INTO maskwright.locks AS held (key, holder, until) VALUES ($1, $2, now() + $3 * interval '1 second')
ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE held.until < now() OR held.holder = excluded.holder
RETURNING key
"""
_FREE_ROW = "DELETE FROM maskwright.locks WHERE key = $1 AND holder = $2 RETURNING key"

_log = get_logger(__name__)


class Locks(Protocol):
    """The locks of one process."""

    def held(self, name: bytes) -> AbstractAsyncContextManager[None]:
        """Hold a lock that no other process holds; without it where the database, or its holder, does not answer."""

    async def close(self) -> None:
        """Free all locks."""


class SessionLocks:
    """The locks of one process, on one connection of its own.

    The caller sees to it that nobody in this process asks for a lock that is held here: to the database both are one
    session, and both would get it.
    """

    def __init__(self, address: Address, names: Names) -> None:
        self._address = address
        self._names = names
        self._turn = asyncio.Lock()
        self._session: Session | None = None
        self._closing = AsyncExitStack()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._away_until = float("-inf")

    @asynccontextmanager
    async def held(self, name: bytes) -> AsyncIterator[None]:
        """Hold a lock that no other process holds; without it where the database, or its holder, does not answer."""
        key = self._names.lock("result", name)
        try:
            with anyio.move_on_after(_PATIENCE_S):
                await self._lock(key)
            yield
        finally:
            self._spawn(self._unlock(key))

    async def close(self) -> None:
        """Free all locks."""
        await asyncio.gather(*self._tasks)
        await self._closing.aclose()

    async def _lock(self, key: int) -> None:
        """Others cannot tell us that they are done, so they are asked, less often the longer it takes."""
        pause_s = _FIRST_PAUSE_S
        while not await asyncio.shield(self._spawn(self._try_lock(key))):
            await anyio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    def _spawn(self, work: Coroutine[None, None, bool]) -> "asyncio.Task[bool]":
        """Work that is done even where its caller is cancelled: half an answer would make the connection useless."""
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
        """The answer; None where there is none: with the connection its locks are gone."""
        async with self._turn:
            if time.monotonic() < self._away_until:
                return None
            try:
                if self._session is None:
                    self._session = await self._closing.enter_async_context(open_session(self._address))
                return await self._session.fetchrow(query, key)
            except (*TRANSIENT, RefusedError) as error:
                _log.warning("no locks from PostgreSQL", reason=cause(error))
                broke = self._session is not None and not isinstance(error, asyncio.TimeoutError)
                if not broke:  # a connection that broke is made anew at once
                    self._away_until = time.monotonic() + _AWAY_S
                self._session = None
                await self._closing.aclose()
                return None


class RowLocks:
    """The locks of one process as rows, for a pooler that keeps no sessions; a dead holder's last 10 s."""

    def __init__(self, names: Names, pool: Pool) -> None:
        self._names = names
        self._pool = pool.impatient()
        self._away_until = float("-inf")

    @asynccontextmanager
    async def held(self, name: bytes) -> AsyncIterator[None]:
        """Hold a lock that no other process holds; without it where the database, or its holder, does not answer."""
        key, holder = self._names.lock("result", name), uuid4()
        try:
            with anyio.move_on_after(_PATIENCE_S):
                await self._take(key, holder)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._ask(_FREE_ROW, key, holder)

    async def close(self) -> None:
        """Each lock ended with its context."""

    async def _take(self, key: int, holder: UUID) -> None:
        pause_s = _FIRST_PAUSE_S
        while not await self._ask(_TAKE_ROW, key, holder, _PATIENCE_S):
            await anyio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    async def _ask(self, query: str, *values: object) -> bool:
        """Whether the statement found what it is about, or there is no answer."""
        if time.monotonic() < self._away_until:
            return True
        try:
            return await self._pool.run(lambda connection: connection.fetchrow(query, *values)) is not None
        except Problem:
            self._away_until = time.monotonic() + _AWAY_S
            return True


# Work that is repeated after a lost answer finds its own.
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


class HoldLostError(Exception):
    """Another has, or had, what a job's artifacts were written under."""


async def spend(connection: Connection, request: NewJob, token: UUID | None) -> None:
    """Release the hold under which the artifacts of a job were written that ends in this transaction.

    Raises HoldLostError where it is over.
    """
    whose = (request.request_id, request.user_id, request.tenant, token)
    if token and await connection.fetchrow(_RELEASE_NAME, *whose) is None:
        raise HoldLostError


@dataclass(frozen=True)
class PostgresHolds(ArtifactLocks):
    """Every method raises Problem `store_unavailable`."""

    pool: Pool

    async def take(self, name: LockName, life_s: float) -> ArtifactLock | None:
        """Hold a name; None while another does."""
        token = uuid4()
        values = (*_whose(name), list(name.prefixes), token, life_s)
        row = await self.pool.run(lambda connection: connection.fetchrow(_TAKE_NAME, *values))
        return ArtifactLock(name, token, cast("datetime", row["since"]), bool(row["inherited"])) if row else None

    async def release(self, hold: ArtifactLock) -> None:
        """Let the next one have it."""
        await self.pool.run(lambda connection: connection.execute(_RELEASE_NAME, *_whose(hold.name), hold.token))

    async def leave(self, hold: ArtifactLock, life_s: float) -> None:
        """Let it lapse then."""
        await self.pool.run(lambda connection: connection.execute(_LEAVE, *_whose(hold.name), hold.token, life_s))

    async def lapsed(self, limit: int) -> Sequence[LockName]:
        """Names that were not released in time."""
        rows = await self.pool.run(lambda connection: connection.fetch(_LAPSED, limit))
        return [
            LockName(
                str(row["tenant"]),
                str(row["user_id"]),
                str(row["request_id"]),
                tuple(cast("list[str]", row["prefixes"])),
            )
            for row in rows
        ]


def _whose(name: LockName) -> tuple[str, str, str]:
    return name.request_id, name.user_id, name.tenant
