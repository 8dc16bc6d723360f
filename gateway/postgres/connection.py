"""Connections to PostgreSQL: how they are made, which of their failures pass, and whether a pooler lies between."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Literal, Protocol

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


Link = Literal["direct", "session", "transaction"]
"""A server itself; a pooler that gives each client a server's session, or one for each transaction."""

_ROUNDS = 4
_PROCESS = "SELECT pg_backend_pid() AS pid"
_STATEMENT_MODE = "the pooler gives a server for each statement alone; set its pool_mode to transaction or session"


async def find_link(address: Address) -> tuple[Address, Link]:
    """The address as it is to be used, and what it leads to. Raises RefusedError, and TRANSIENT errors."""
    if not address.pooled and not await _is_pooler(address):
        return address, "direct"
    pooled = address.through_pooler()
    return pooled, "transaction" if await _shares_servers(pooled) else "session"


async def _is_pooler(address: Address) -> bool:
    """A pooler refuses our startup parameters, or names a process at the start that is not the server's."""
    try:
        async with open_session(address) as session:
            return await _process(session) != int(session.get_server_pid())
    except RefusedError as error:
        if "startup parameter" in str(error):
            return True
        raise


async def _shares_servers(address: Address) -> bool:
    """Whether sessions share servers: a session gets another one, or another session gets its server."""
    async with open_session(address) as one, open_session(address) as other:
        first = await _process(one)
        for _ in range(_ROUNDS):
            if await _process_in_transaction(other) == first or await _process(one) != first:
                return True
    return False


async def _process_in_transaction(session: asyncpg.Connection) -> int:
    try:
        async with session.transaction():
            return await _process(session)
    except asyncpg.PostgresError as error:
        if "not allowed in statement pooling" in str(error):
            raise RefusedError(_STATEMENT_MODE) from None
        raise


async def _process(connection: Connection) -> int:
    row = await connection.fetchrow(_PROCESS)
    return int(row["pid"]) if row else 0
