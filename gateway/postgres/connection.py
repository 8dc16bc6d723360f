"""Connections to PostgreSQL: how they are made, which of their failures pass, and how statements name tables.

The SQL in this package names our tables `maskwright.…`, and the ones that users query themselves `public.…`. Before it
is sent, these words become the schemas of this installation. So no statement depends on a search path, which a pooler
would not keep.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import asyncpg

from gateway.postgres.address import Address, AddressError, tls_arguments

LOST = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # it is closed
    asyncpg.InternalClientError,  # it broke at a moment that asyncpg did not expect
)
"""A connection that could not be made, or broke."""

TRANSIENT = (
    *LOST,
    asyncpg.OperatorInterventionError,  # stopped, starting, a statement's time is over
    asyncpg.InsufficientResourcesError,  # too many connections, a full disk
    asyncpg.InternalServerError,  # a hoster's proxy that wakes the server, or has no connection left
    asyncpg.PostgresSystemError,  # a pooler whose servers are away
    asyncpg.TransactionRollbackError,  # a deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,  # a newer version added columns
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a replica that is about to take over
)

POOLED = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""A statement was prepared on one server and run on another one."""

_NO_TLS = "rejected SSL upgrade"
_FINAL = (
    "unsupported startup parameter",
    "no such database",
    "no such user",
    "auth failed",
    "SASL authentication failed",
    "password authentication failed",
    "login rejected",
    "SSL required",
    "SSL is required",
    "transaction blocks not allowed",
    "does not exist",
    "not found",  # Supabase, Odyssey
    "No pool configured",  # pgcat
    "Endpoint ID is not specified",  # Neon, to a client without SNI
    "missing cluster identifier",  # CockroachDB
)
"""Words of poolers for lasting failures, under codes that also stand for passing ones."""
_VAGUE = (asyncpg.PostgresConnectionError, asyncpg.InternalServerError, asyncpg.PostgresSystemError)


class MigrationError(RuntimeError):
    """The database's tables are not those that this version knows, or another instance is changing them."""


class RefusedError(Exception):
    """A connection that will be refused again: the cause, in one line."""


def refusal(error: BaseException) -> RefusedError | None:
    """An error of connecting as a RefusedError, where trying again does not help."""
    if isinstance(error, ssl.SSLError):
        passing = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError))
        return None if passing else RefusedError(f"TLS: {getattr(error, 'verify_message', None) or error}")
    if isinstance(error, ConnectionError) and _NO_TLS in str(error):
        return RefusedError("TLS: the server speaks none (sslmode=disable goes without), or is no PostgreSQL")
    if isinstance(error, _VAGUE):
        return RefusedError(cause(error)) if any(phrase in str(error) for phrase in _FINAL) else None
    if isinstance(error, asyncpg.InterfaceError) or not isinstance(error, TRANSIENT):
        return RefusedError(cause(error))
    return None


def cause(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


ATTEMPT_S = 4.0
"""Seconds after which a server that says nothing is taken for lost."""

_CLOSE_S = 1.0

# Every statement has its time, and a process that is stopped in the middle of a transaction must not keep its locks.
_SETTINGS = {"jit": "off", "statement_timeout": "5s", "idle_in_transaction_session_timeout": "5s"}

SEEDS = ("user_mask_outputs", "task_results", "processing_metrics", "cache_performance")
"""The tables that users may bring, and the view, which stay where they are."""
_NAME = re.compile(rf"\bmaskwright\.|'maskwright'|\bpublic\.(?=({'|'.join(SEEDS)}))")


class Row(Protocol):
    """A row of an answer; the statement decides what is in it."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401 - the types of columns are known to the statement alone
        """A column's value."""

    def keys(self) -> Iterable[str]:
        """The columns, so that `**row` gives them as arguments."""


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


async def connect(address: Address, **pools: object) -> asyncpg.Connection:
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
async def open_session(address: Address) -> AsyncIterator[asyncpg.Connection]:
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


async def change(connection: Connection, query: str, *values: object) -> int:
    """Run a statement; how many rows it changed."""
    return int((await connection.execute(query, *values)).rsplit(" ", 1)[-1])


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _places(address: Address) -> list[Mapping[str, object]]:
    """Where to try, one after the other; where no host is named, libpq's rules find one."""
    places = [{"host": host, "port": port} for host, port in zip(address.hosts, address.ports, strict=True)]
    writing = {"target_session_attrs": "read-write"} if len(places) > 1 or address.get("target_session_attrs") else {}
    return [{**place, **writing} for place in places or [{}]]


async def _connect_to(place: Mapping[str, object], arguments: Mapping[str, object]) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(**place, **arguments)
    except Exception as error:  # of what asyncpg raises for a wrong value, some are TypeErrors and LookupErrors
        if refused := refusal(error):
            raise refused from None  # its own context may hold a part of the password
        raise


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


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Names:
    """The schema of our tables, also our notifications' channel; the schemas of the users' tables by their names."""

    schema: str
    places: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.schema, *self.places.values()))

    def fill(self, query: str) -> str:
        """A statement with this installation's schemas."""
        return _fill(self, query)


@lru_cache(maxsize=512)
def _fill(names: Names, query: str) -> str:
    def schema(match: re.Match[str]) -> str:
        if match[0] == "'maskwright'":
            return f"'{names.schema}'"
        return quoted(names.places.get(match[1], names.schema) if match[1] else names.schema) + "."

    return _NAME.sub(schema, query)


class Named:
    """A connection on which statements are sent with an installation's schemas."""

    def __init__(self, connection: Connection, names: Names, opening: str = "") -> None:
        self._connection = connection
        self._names = names
        self._opening = opening

    async def execute(self, query: str, *values: object, timeout: float | None = None) -> str:  # noqa: ASYNC109 - as asyncpg has it
        """Run a statement; its command tag."""
        return await self._connection.execute(self._names.fill(query), *values, timeout=timeout)

    async def fetch(self, query: str, *values: object) -> list[Row]:
        """All rows."""
        return await self._connection.fetch(self._names.fill(query), *values)

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        """The first row."""
        return await self._connection.fetchrow(self._names.fill(query), *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction, or a savepoint within one."""
        async with self._connection.transaction():
            if self._opening:
                await self._connection.execute(self._opening)
            yield
