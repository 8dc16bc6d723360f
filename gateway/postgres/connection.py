"""Connections to PostgreSQL, and what this package uses of them; asyncpg itself says nothing of its types."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import asyncpg

from gateway.postgres.address import Address, AddressError
from gateway.postgres.faults import TRANSIENT, RefusedError, refusal
from gateway.postgres.tls import tls_arguments

ATTEMPT_S = 4.0
"""Seconds after which a server that says nothing is taken for lost."""

_CLOSE_S = 1.0

# Every statement has its time, and a process that is stopped in the middle of a transaction must not keep its locks.
_SETTINGS = {"jit": "off", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "5s"}


class Row(Protocol):
    """A row of an answer."""

    def __getitem__(self, column: str, /) -> object:
        """A column's value."""


class Connection(Protocol):
    """A connection to PostgreSQL. Raises asyncpg's errors and OSError."""

    async def execute(self, query: str, *values: object, timeout: float | None = None) -> str:  # noqa: ASYNC109 - as asyncpg has it
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

    def get_server_pid(self) -> int:
        """The number of the server's process, as it was told when the connection was made."""

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - as asyncpg has it
        """Say goodbye, for so many seconds at most."""

    def terminate(self) -> None:
        """Drop the connection."""


async def connect(address: Address, **pools: object) -> Session:
    """A connection to the first of the hosts that will do; `pools` is what asyncpg's pool adds.

    Raises RefusedError where trying again does not help, and TRANSIENT errors.
    """
    arguments = {**_arguments(address), **pools}
    last: BaseException = RefusedError("no host is named")
    for place in _places(address):
        try:
            return await _connect_to(place, arguments)
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched) as error:
            last = error
    raise last


@asynccontextmanager
async def open_session(address: Address) -> AsyncIterator[Session]:
    """A connection outside any pool. Raises as `connect` does."""
    session = await connect(address)
    try:
        yield session
    finally:
        with suppress(*TRANSIENT):  # it is closed all the same
            await session.close(timeout=_CLOSE_S)


def opening(address: Address) -> str:
    """What a transaction begins with where a pooler keeps no settings of sessions; nothing elsewhere."""
    return settings_query({**address.settings, **_SETTINGS}) if address.pooled else ""


def settings_query(settings: Mapping[str, str]) -> str:
    """A statement that makes settings for the rest of a transaction."""
    made = ", ".join(f"set_config({_literal(name)}, {_literal(value)}, true)" for name, value in settings.items())
    return f"SELECT {made}"


def affected(tag: str) -> int:
    """How many rows a statement changed, by its command tag."""
    return int(tag.rsplit(" ", 1)[-1])


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _places(address: Address) -> list[Mapping[str, object]]:
    """Where to try, one after the other; where no host is named, libpq's rules find one."""
    places = [{"host": host, "port": port} for host, port in zip(address.hosts, address.ports, strict=True)]
    writing = {"target_session_attrs": "read-write"} if len(places) > 1 or address.get("target_session_attrs") else {}
    return [{**place, **writing} for place in places or [{}]]


async def _connect_to(place: Mapping[str, object], arguments: Mapping[str, object]) -> Session:
    try:
        session: Session = await asyncpg.connect(**place, **arguments)
    except Exception as error:  # of what asyncpg raises for a wrong value, some are TypeErrors and LookupErrors
        if refused := refusal(error):
            raise refused from None  # its own context may hold a part of the password
        raise
    return session


def _arguments(address: Address) -> dict[str, object]:
    """What asyncpg is told, where it is given. Raises RefusedError for files that cannot be read."""
    names = ("user", "password", "database", "passfile", "krbsrvname", "gsslib")
    try:
        tls = tls_arguments(address)
    except AddressError as error:
        raise RefusedError(str(error)) from error
    return {
        **{name: value for name in names if (value := address.get(name))},
        **tls,
        "timeout": _timeout_s(address),
        "command_timeout": ATTEMPT_S,
        "statement_cache_size": 0 if address.pooled else 100,
        "server_settings": _startup(address),
    }


def _startup(address: Address) -> dict[str, str]:
    """What a session begins with. A pooler takes no more than these, and refuses any other."""
    kept = {"application_name": address.get("application_name") or "maskwright", "timezone": "UTC"}
    told = {"options": address.options} if address.options else {}
    return {**kept, **told} if address.pooled else {**address.settings, **_SETTINGS, **kept, **told}


def _timeout_s(address: Address) -> float:
    """The time to connect to one host."""
    given = address.get("connect_timeout") or ""
    if given.isascii() and given.isdigit() and int(given):
        return float(given)
    return ATTEMPT_S / max(1, len(address.hosts))
