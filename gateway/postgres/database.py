"""The database of an installation, once it was found and its tables are made."""

import asyncio
from dataclasses import dataclass

import asyncpg

from gateway.deadlines import Deadline
from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.postgres.address import Address, AddressError, read_address
from gateway.postgres.connection import open_session, opening
from gateway.postgres.faults import TRANSIENT, RefusedError, cause
from gateway.postgres.migrations import known_migrations, migrate
from gateway.postgres.names import Names
from gateway.postgres.pooler import Link, find_link
from gateway.settings import Settings, SettingsError

_PATIENCE_S = 30.0
_PAUSE_S = 0.25

_REMEDY = (
    "this user may not make, change or use the tables; run `maskwright migrate` once as their owner, who then grants "
    "USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on its tables"
)
_NO_HOST = "neither a host's name or address nor a socket's folder"
_SERVER = "SELECT current_database()::text || pg_postmaster_start_time() AS server"

_log = get_logger(__name__)


@dataclass(frozen=True)
class Database:
    """How the tables are reached.

    `lasting` is an address whose sessions keep what they hold, which LISTEN and locks need; None where there is none.
    """

    address: Address
    names: Names
    lasting: Address | None


async def find_database(settings: Settings) -> tuple[Database, list[str]]:
    """The database with its tables made, and what was done for that.

    A database that is not up yet is waited for, 30 s. Raises Problem `store_unavailable`, SettingsError,
    MigrationError.
    """
    variable = settings.postgres_variable
    address = _address(variable, settings.postgres_dsn.get_secret_value(), settings)
    told = settings.postgres_listen_dsn.get_secret_value()
    listening = _address("POSTGRES_LISTEN_DSN", told, settings) if told else None
    deadline = Deadline(_PATIENCE_S)
    waiting = False
    while True:
        try:
            return await _found(settings, address, listening)
        except RefusedError as error:
            raise SettingsError(f"{variable}=…: {error}") from error
        except asyncpg.InsufficientPrivilegeError as error:
            raise SettingsError(f"{variable}=…: {cause(error)}: {_REMEDY}") from error
        except TRANSIENT as error:
            if deadline.remaining() < _PAUSE_S:
                detail = f"PostgreSQL did not answer within {_PATIENCE_S:g} s: {cause(error)}"
                raise Problem("store_unavailable", detail, retry_after=_PAUSE_S) from error
            if not waiting:
                _log.warning("waiting for PostgreSQL", reason=cause(error))
            waiting = True
        await asyncio.sleep(_PAUSE_S)


def _address(variable: str, text: str, settings: Settings) -> Address:
    try:
        address = read_address(text)
    except AddressError as error:
        about_url = variable == "DB_HOST" and str(error).startswith("not a URL")
        raise SettingsError(f"{variable}=…: {_NO_HOST if about_url else error}") from None
    if address.passed_over:
        _log.warning(f"{variable}: parameters that have no effect here", parameters=", ".join(address.passed_over))
    return address.named(f"maskwright:{settings.postgres_schema}")


async def _found(settings: Settings, given: Address, listening: Address | None) -> tuple[Database, list[str]]:
    address, link = await find_link(given)
    lasting = await _lasting(address, link, listening)
    async with open_session(address) as session:
        names, done = await migrate(session, settings.postgres_schema, known_migrations(), opening(address))
    return Database(address, names, lasting), done


async def _lasting(address: Address, link: Link, listening: Address | None) -> Address | None:
    """Where sessions last. Raises SettingsError where POSTGRES_LISTEN_DSN leads somewhere else."""
    if listening is None:
        return address if link != "transaction" else None
    try:
        straight, kind = await find_link(listening)
        same = kind != "transaction" and await _server(straight) == await _server(address)
    except RefusedError as error:
        raise SettingsError(f"POSTGRES_LISTEN_DSN=…: {error}") from error
    if not same:
        raise SettingsError("POSTGRES_LISTEN_DSN=…: must lead to the database of POSTGRES_DSN, past the pooler")
    return straight


async def _server(address: Address) -> str:
    async with open_session(address) as session:
        row = await session.fetchrow(_SERVER)
    return str(row["server"]) if row else ""
