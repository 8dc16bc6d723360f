"""The connections that the stores share, and how they outlast a server's restart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import anyio
import asyncpg

from gateway.deadlines import Deadline
from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.postgres.connection import ATTEMPT_S, Connection, Session, connect, opening
from gateway.postgres.database import Database
from gateway.postgres.faults import LOST, POOLED, TRANSIENT, RefusedError, cause
from gateway.postgres.names import Named, Names
from gateway.retry import Backoff

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

_PATIENCE_S = 8.0
_IMPATIENCE_S = 2.0
_BACKOFF = Backoff(0.05, 1.0, jitter=0.3)
_CLOSE_S = 2.0

_log = get_logger(__name__)


class Pool:
    """Runs work on connections. Work is repeated after a failure that may pass, so it must bear being done twice.

    `fault` is why the last attempt failed, empty after one that did not.
    """

    def __init__(self, pool: asyncpg.Pool, names: Names, opening: str, patience_s: float = _PATIENCE_S) -> None:
        self._pool = pool
        self._names = names
        self._opening = opening
        self._patience_s = patience_s
        self.fault = ""

    def impatient(self) -> "Pool":
        """The same connections, for callers who would rather do without an answer than wait long for it."""
        return Pool(self._pool, self._names, self._opening, _IMPATIENCE_S)

    async def run(self, work: Work[T]) -> T:
        """Do work of one statement. Raises Problem `store_unavailable`."""
        deadline, pauses = Deadline(self._patience_s), _BACKOFF.pauses()
        while True:
            try:
                done = await self._attempt(work, min(ATTEMPT_S, deadline.remaining()))
            except RefusedError as error:
                self.fault = cause(error)
                raise _unavailable(error) from error
            except POOLED as error:
                self.fault = "a pooler shares servers unseen; add pgbouncer=true to the parameters of its address"
                raise _unavailable(error) from error
            except TRANSIENT as error:
                self.fault = cause(error)
                pause_s = next(pauses)
                if pause_s + _BACKOFF.first_s > deadline.remaining():
                    raise _unavailable(error) from error
            else:
                self.fault = ""
                return done
            await asyncio.sleep(pause_s)

    async def transact(self, work: Work[T]) -> T:
        """Do work of several statements in one transaction. Raises Problem `store_unavailable`."""

        async def within(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(within)

    async def _attempt(self, work: Work[T], limit_s: float) -> T:
        with anyio.fail_after(limit_s):
            async with self._pool.acquire(timeout=limit_s) as connection:
                try:
                    return await work(Named(connection, self._names, self._opening))
                except (asyncio.CancelledError, asyncpg.ReadOnlySQLTransactionError, *LOST):
                    # Nobody may wait for the rest of an answer that perhaps never comes, nor for a replica to change.
                    connection.terminate()
                    raise


@asynccontextmanager
async def open_pool(database: Database, size: int) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections, made when they are needed; the server need not be up."""

    async def connecting(_dsn: None, **pools: object) -> Session:
        return await connect(database.address, **pools)

    pool = await asyncpg.create_pool(min_size=0, max_size=size, reset=_keep, connect=connecting)
    try:
        yield Pool(pool, database.names, opening(database.address))
    finally:
        with suppress(*TRANSIENT), anyio.fail_after(_CLOSE_S):  # it is closed all the same
            await pool.close()


async def _keep(_connection: Connection) -> None:
    """Leave a connection that comes back as it is: no work here changes its session."""


def _unavailable(error: BaseException) -> Problem:
    _log.warning("PostgreSQL did not answer", reason=f"{type(error).__name__}: {cause(error)}")
    return Problem("store_unavailable", "PostgreSQL did not answer.", retry_after=2)
