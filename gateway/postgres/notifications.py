"""Changes that one process tells the others, by NOTIFY and LISTEN."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import anyio

from gateway.jobs.store import Signals
from gateway.logs import get_logger
from gateway.postgres.address import Address
from gateway.postgres.connection import Connection, Session, open_session
from gateway.postgres.database import Database
from gateway.postgres.faults import TRANSIENT, RefusedError, cause

_NOTIFY = "SELECT pg_notify('maskwright', topic) FROM unnest($1::text[]) AS topic"

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_CHECK_S = 5.0
_POLL_S = 1.0

_PROCESS = "SELECT pg_backend_pid()"

_log = get_logger(__name__)


class _SharedError(Exception):
    """A pooler that seemed to give a session a server of its own gave it another one."""


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
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            async with open_session(address) as session:
                pause_s = _FIRST_PAUSE_S
                await _listen(session, channel, signals)
        except _SharedError:
            await _tell_forever(signals)
        except (*TRANSIENT, RefusedError) as error:
            _log.warning("not listening to PostgreSQL", reason=cause(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _listen(session: Session, channel: str, signals: Signals) -> None:
    """Pass notifications on until the connection is over; what was missed before may be anything."""
    over = asyncio.Event()
    session.add_termination_listener(lambda _session: over.set())
    process = await session.fetchrow(_PROCESS)
    await session.add_listener(channel, lambda _session, _process, _channel, topic: signals.notify(topic))
    signals.notify_all()
    while True:
        with anyio.move_on_after(_CHECK_S):
            await over.wait()
            return
        if await session.fetchrow(_PROCESS) != process:
            raise _SharedError
