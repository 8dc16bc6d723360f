"""The connections that the stores share, repeated where the server is away; and changes by NOTIFY and LISTEN."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import anyio
import asyncpg

from gateway.background import Signals
from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.postgres.address import Address
from gateway.postgres.connection import (
    ATTEMPT_S,
    LOST,
    POOLED,
    TRANSIENT,
    Connection,
    Named,
    Names,
    RefusedError,
    Row,
    cause,
    change,
    connect,
    open_session,
    opening,
)
from gateway.postgres.database import Database
from gateway.timing import Backoff, Deadline

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
        """The same connections, for callers who give up after 2 s."""
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

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """All rows. Raises Problem `store_unavailable`."""
        return await self.run(lambda connection: connection.fetch(query, *values))

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        """The first row. Raises Problem `store_unavailable`."""
        return await self.run(lambda connection: connection.fetchrow(query, *values))

    async def change(self, query: str, *values: object) -> int:
        """How many rows a statement changed. Raises Problem `store_unavailable`."""
        return await self.run(lambda connection: change(connection, query, *values))

    async def _attempt(self, work: Work[T], limit_s: float) -> T:
        with anyio.fail_after(limit_s):
            async with self._pool.acquire(timeout=limit_s) as connection:
                try:
                    return await work(Named(connection, self._names, self._opening))
                except (asyncio.CancelledError, asyncpg.ReadOnlySQLTransactionError, *LOST):
                    # The rest of the answer may never come, and a replica stays one: do not use the connection again.
                    connection.terminate()
                    raise


@asynccontextmanager
async def open_pool(database: Database, size: int) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections, made when they are needed; the server need not be up."""

    async def connecting(_dsn: None, **pools: object) -> asyncpg.Connection:
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


_NOTIFY = "SELECT pg_notify('maskwright', topic) FROM unnest($1::text[]) AS topic"

_RECONNECT = Backoff(0.1, 2.0)
_CHECK_S = 5.0
_POLL_S = 1.0

_SESSION_PROCESS = "SELECT pg_backend_pid()"


class _SharedError(Exception):
    """The pooler gave the session another server, although it seemed to keep one for each session."""


async def notify(connection: Connection, topics: Iterable[object]) -> None:
    """Tell every process of changes when the transaction ends: topics of gateway.jobs.store, and ids of jobs."""
    await connection.fetch(_NOTIFY, [str(topic) for topic in topics])


@asynccontextmanager
async def listening(database: Database, signals: Signals) -> AsyncIterator[None]:
    """Pass notifications on to `signals` for as long as the context lasts, through lost connections too.

    Where no session lasts, everybody is told to look again each second instead.
    """
    lasting = database.lasting
    channel = database.names.schema
    task = asyncio.create_task(_listen_forever(lasting, channel, signals) if lasting else _tell_forever(signals))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _tell_forever(signals: Signals) -> None:
    _log.warning(
        "a pooler gives a server for each transaction: changes are asked for each second; POSTGRES_LISTEN_DSN, the "
        "server's own address, brings them at once"
    )
    while True:
        signals.notify_all()
        await asyncio.sleep(_POLL_S)


async def _listen_forever(address: Address, channel: str, signals: Signals) -> None:
    failures = 0
    while True:
        try:
            async with open_session(address) as session:
                failures = 0
                await _listen(session, channel, signals)
        except _SharedError:
            await _tell_forever(signals)
        except (*TRANSIENT, RefusedError) as error:
            _log.warning("not listening to PostgreSQL", reason=cause(error))
        failures += 1
        await asyncio.sleep(_RECONNECT.pause_s(failures))


async def _listen(session: asyncpg.Connection, channel: str, signals: Signals) -> None:
    """Pass notifications on until the connection is closed; first tell all, as some may have been missed."""
    over = asyncio.Event()
    session.add_termination_listener(lambda _session: over.set())
    process = await session.fetchrow(_SESSION_PROCESS)
    await session.add_listener(channel, lambda _session, _process, _channel, topic: signals.notify(topic))
    signals.notify_all()
    while True:
        with anyio.move_on_after(_CHECK_S):
            await over.wait()
            return
        if await session.fetchrow(_SESSION_PROCESS) != process:
            raise _SharedError
