"""Whether a pooler such as pgbouncer lies between, and what it keeps of a session."""

from typing import Literal

import asyncpg

from gateway.postgres.address import Address
from gateway.postgres.connection import Connection, Session, open_session
from gateway.postgres.faults import RefusedError

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
    """By what it refuses when a session begins, and else by the process that it names, which is not the server's."""
    try:
        async with open_session(address) as session:
            return await _process(session) != session.get_server_pid()
    except RefusedError as error:
        if "startup parameter" in str(error):
            return True
        raise


async def _shares_servers(address: Address) -> bool:
    """Whether a session's server does not stay its own: it changes, or another session has it meanwhile."""
    async with open_session(address) as one, open_session(address) as other:
        first = await _process(one)
        for _ in range(_ROUNDS):
            if await _process_in_transaction(other) == first or await _process(one) != first:
                return True
    return False


async def _process_in_transaction(session: Session) -> int:
    try:
        async with session.transaction():
            return await _process(session)
    except asyncpg.PostgresError as error:
        if "not allowed in statement pooling" in str(error):
            raise RefusedError(_STATEMENT_MODE) from None
        raise


async def _process(connection: Connection) -> int:
    row = await connection.fetchrow(_PROCESS)
    return int(str(row["pid"])) if row else 0
