"""Connections to PostgreSQL, and what this package uses of them; asyncpg itself says nothing of its types."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import asyncpg

from gateway.postgres.faults import TRANSIENT

ATTEMPT_S = 4.0
"""Seconds after which a server that says nothing is taken for lost."""

_CLOSE_S = 1.0

_UNREADABLE = (
    "not a URL such as postgresql://user:password@host:5432/database; "
    "characters of user or password such as / # ? [ % must be percent-encoded: / is %2F, # is %23"
)

OPTIONS = {
    "timeout": ATTEMPT_S,
    "command_timeout": ATTEMPT_S,
    "server_settings": {
        "application_name": "maskwright",
        "jit": "off",
        "timezone": "UTC",
        "statement_timeout": "5s",
        # A process that is stopped in the middle of a transaction must not keep its locks.
        "idle_in_transaction_session_timeout": "5s",
    },
}
"""How every connection is made."""


class Row(Protocol):
    """A row of an answer."""

    def __getitem__(self, column: str, /) -> object:
        """A column's value."""


class Connection(Protocol):
    """A connection to PostgreSQL. Raises asyncpg's errors and OSError."""

    async def execute(self, query: str, *values: object, timeout: float = ...) -> str:  # noqa: ASYNC109 - as asyncpg has it
        """Run a statement; its command tag, as in `UPDATE 1`. `timeout` in seconds."""

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """All rows."""

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        """The first row."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """A transaction for as long as the context lasts; undone where it ends in an error."""


class Session(Connection, Protocol):
    """A connection that is nobody else's."""

    async def add_listener(self, channel: str, callback: Callable[[object, int, str, str], None]) -> None:
        """Call back with each notification's connection, process id, channel and payload."""

    def add_termination_listener(self, callback: Callable[[object], None]) -> None:
        """Call back when the connection is over."""


@asynccontextmanager
async def open_session(dsn: str) -> AsyncIterator[Session]:
    """A connection outside any pool. Raises asyncpg's errors and OSError."""
    try:
        session = await asyncpg.connect(dsn, **OPTIONS)
    except asyncpg.InterfaceError:  # some are ValueErrors too
        raise
    except ValueError:  # its text may hold a part of the password
        raise asyncpg.ClientConfigurationError(_UNREADABLE) from None
    try:
        yield session
    finally:
        with suppress(*TRANSIENT):  # it is closed all the same
            await session.close(timeout=_CLOSE_S)


def affected(tag: str) -> int:
    """How many rows a statement changed, by its command tag."""
    return int(tag.rsplit(" ", 1)[-1])
