"""Which failures of PostgreSQL pass by themselves."""

import asyncio

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
    asyncpg.TransactionRollbackError,  # a deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,  # a newer version added columns
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a replica that is about to take over
)

REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
"""A wrong address, user, password or database."""
