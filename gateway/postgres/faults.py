"""Which failures of PostgreSQL pass by themselves."""

import asyncio
import ssl

import asyncpg

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
"""A statement that was prepared on another server than it is run on."""

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
"""What poolers say under a code that stands for passing failures too."""
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
