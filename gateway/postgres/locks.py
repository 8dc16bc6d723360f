"""Locks that the database frees when their holder dies: advisory locks of a session, or of a transaction."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import anyio

from gateway.logs import get_logger
from gateway.postgres.address import Address
from gateway.postgres.connection import Row, Session, connect, open_session, settings_query
from gateway.postgres.database import Database
from gateway.postgres.faults import TRANSIENT, RefusedError, cause

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
_PATIENCE_S = 10.0
"""After so long a holder is taken for one that hangs."""
_HELD_S = 60.0
_AWAY_S = 5.0
"""How long the database is not asked again after it did not answer: there are no locks then."""

_LOCK = "SELECT pg_try_advisory_lock($1) AS locked"
_LOCK_HERE = "SELECT pg_try_advisory_xact_lock($1) AS locked"
_UNLOCK = "SELECT pg_advisory_unlock($1)"

_MOST = 4
"""Transactions that hold a lock, each of which keeps a pooler's server busy."""

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

    def __init__(self, database: Database) -> None:
        self._address = database.lasting or database.address
        self._names = database.names
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


class TransactionLocks:
    """Locks for a pooler that keeps no sessions: each is a transaction of its own for as long as it is held.

    Beyond a few at a time there are none, as where the database does not answer: a result may be computed twice then.
    """

    def __init__(self, database: Database) -> None:
        self._address = database.address
        self._names = database.names
        self._opening = settings_query({"idle_in_transaction_session_timeout": f"{_HELD_S:g}s"})
        self._held = 0

    @asynccontextmanager
    async def held(self, name: bytes) -> AsyncIterator[None]:
        """Hold a lock that no other process holds, where one can be had."""
        async with AsyncExitStack() as stack:
            if self._held < _MOST:
                self._held += 1
                stack.callback(self._let_go)
                with anyio.move_on_after(_PATIENCE_S):
                    await self._lock(stack, self._names.lock("result", name))
            yield

    async def close(self) -> None:
        """Each lock ended with its context."""

    def _let_go(self) -> None:
        self._held -= 1

    async def _lock(self, stack: AsyncExitStack, key: int) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            session = await stack.enter_async_context(_dropped(self._address))
            while not await self._try_lock(session, key):
                await anyio.sleep(pause_s)
                pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)
        except (*TRANSIENT, RefusedError) as error:
            _log.warning("no locks from PostgreSQL", reason=cause(error))

    async def _try_lock(self, session: Session, key: int) -> bool:
        """Whether its transaction has the lock; without it there is no transaction."""
        await session.execute("BEGIN")
        await session.execute(self._opening)
        row = await session.fetchrow(_LOCK_HERE, key)
        if row is None or not row["locked"]:
            await session.execute("ROLLBACK")
            return False
        return True


@asynccontextmanager
async def _dropped(address: Address) -> AsyncIterator[Session]:
    """A connection that is dropped in the end, and its transaction with it."""
    session = await connect(address)
    try:
        yield session
    finally:
        session.terminate()
