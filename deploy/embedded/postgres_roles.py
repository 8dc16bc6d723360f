"""Who may do what in the embedded PostgreSQL: the administrator, used only by the launcher, and the gateway's role.

The gateway's role owns its database and everything in it, and nothing else. An attacker who takes over the gateway can
read no file of the machine, run no program, and see no other database.
"""

import asyncpg

from deploy.embedded import StackError
from deploy.embedded.addresses import POSTGRES_ADMIN, POSTGRES_DATABASE, POSTGRES_USER
from deploy.embedded.folders import Credentials

TIMEOUT = 10.0
"""Seconds to log in."""
MAINTENANCE = "template1"
"""The database from which the others are made and renamed."""
FORMER = "postgres"
"""The database that initdb makes. Former versions used it."""

_QUIET = "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1"
_PLAIN = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_KNOWS_ROLE = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
_GIVEN_ROLES = """
SELECT format('REVOKE %I FROM %I', pg_get_userbyid(roleid), pg_get_userbyid(member)) FROM pg_auth_members
WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)
"""
_OWNER = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1"
_LEAVE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
_OTHERS = "SELECT datname::text FROM pg_database WHERE datname = ANY($1::text[])"
# What stands in the catalogue of an extension is the extension's; a sequence of a column, a type of a table and an
# array's follow what they belong to; what initdb made has a low number.
_TO_GIVE = """
WITH mine AS (SELECT oid AS id FROM pg_roles WHERE rolname = $1),
of_extensions AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
of_columns AS (
    SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i')
)
SELECT format('ALTER SCHEMA %I OWNER TO %I', nspname, $2::text)
FROM pg_namespace, mine WHERE nspowner = id AND oid >= 16384
UNION ALL
SELECT format('ALTER %s %s OWNER TO %I', CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
    WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, oid::regclass, $2::text)
FROM pg_class, mine WHERE relowner = id AND oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp)')
    AND NOT (relkind = 'S' AND oid IN (SELECT objid FROM of_columns))
    AND ('pg_class'::regclass, oid) NOT IN (SELECT classid, objid FROM of_extensions)
UNION ALL
SELECT format('ALTER ROUTINE %s OWNER TO %I', oid::regprocedure, $2::text)
FROM pg_proc, mine WHERE proowner = id AND oid >= 16384
    AND ('pg_proc'::regclass, oid) NOT IN (SELECT classid, objid FROM of_extensions)
UNION ALL
SELECT format('ALTER TYPE %s OWNER TO %I', one.oid::regtype, $2::text)
FROM pg_type AS one CROSS JOIN mine LEFT JOIN pg_class AS rel ON rel.oid = one.typrelid
WHERE typowner = id AND one.oid >= 16384 AND (typtype IN ('d', 'e', 'r') OR rel.relkind = 'c')
    AND ('pg_type'::regclass, one.oid) NOT IN (SELECT classid, objid FROM of_extensions)
UNION ALL
SELECT format('ALTER LARGE OBJECT %s OWNER TO %I', oid, $2::text)
FROM pg_largeobject_metadata, mine WHERE lomowner = id
"""


class Administrator:
    """The superuser of the cluster, at the server's port on loopback."""

    def __init__(self, port: int, credentials: Credentials) -> None:
        self._port = port
        self._credentials = credentials

    async def make_roles(self) -> None:
        """Give the gateway its role and its database. In a former version's cluster, they get everything in it.

        It can be run again at any time, also after an interruption. Raises asyncpg's errors, OSError and StackError.
        """
        connection = await self._logged_in()
        try:
            await connection.execute(_QUIET)
            await self._make_role(connection)
            await self._make_database(connection)
            await _close_others(connection)
        finally:
            await connection.close()
        await self._give_away()

    async def _logged_in(self) -> asyncpg.Connection:
        """A former version's cluster has the password that the gateway keeps. The administrator gets another."""
        try:
            return await self._connection(MAINTENANCE, self._credentials.postgres_admin_password)
        except asyncpg.InvalidPasswordError:
            connection = await self._connection(MAINTENANCE, self._credentials.postgres_password)
        await connection.execute(_QUIET)
        await connection.execute(
            f"ALTER ROLE {POSTGRES_ADMIN} PASSWORD {_literal(self._credentials.postgres_admin_password)}"
        )
        return connection

    async def _connection(self, database: str, password: str) -> asyncpg.Connection:
        place = {"host": "127.0.0.1", "port": self._port, "database": database}
        return await asyncpg.connect(**place, user=POSTGRES_ADMIN, password=password, timeout=TIMEOUT, ssl=False)

    async def _make_role(self, connection: asyncpg.Connection) -> None:
        """A role that may log in and nothing else, whatever it was allowed before."""
        verb = "ALTER" if await connection.fetchval(_KNOWS_ROLE, POSTGRES_USER) else "CREATE"
        password = _literal(self._credentials.postgres_password)
        await connection.execute(f"{verb} ROLE {POSTGRES_USER} {_PLAIN} PASSWORD {password}")
        for row in await connection.fetch(_GIVEN_ROLES, POSTGRES_USER):
            await connection.execute(row[0])

    async def _make_database(self, connection: asyncpg.Connection) -> None:
        """Rename the database of initdb and change its owner in one step. Its users are disconnected first.

        Raises StackError if a database of that name belongs to somebody else.
        """
        owner = await connection.fetchval(_OWNER, POSTGRES_DATABASE)
        if owner not in (None, POSTGRES_USER):
            raise StackError(f"a database {POSTGRES_DATABASE} belongs to {owner}; give it another name")
        if owner is None:
            await connection.fetch(_LEAVE, FORMER)
            async with connection.transaction():
                await connection.execute(f"ALTER DATABASE {FORMER} RENAME TO {POSTGRES_DATABASE}")
                await connection.execute(f"ALTER DATABASE {POSTGRES_DATABASE} OWNER TO {POSTGRES_USER}")
                # As for the former user, whose name the schema has: people ask for `jobs` without a schema.
                await connection.execute(f"ALTER DATABASE {POSTGRES_DATABASE} SET search_path = maskwright, public")
        if await connection.fetchval(_OWNER, FORMER) is None:
            await connection.execute(f"CREATE DATABASE {FORMER} TEMPLATE template0")

    async def _give_away(self) -> None:
        """Give away all that the administrator owns in the gateway's database, from when the gateway used that user."""
        connection = await self._connection(POSTGRES_DATABASE, self._credentials.postgres_admin_password)
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL search_path = ''")
                for row in await connection.fetch(_TO_GIVE, POSTGRES_ADMIN, POSTGRES_USER):
                    await connection.execute(row[0])
        finally:
            await connection.close()


async def _close_others(connection: asyncpg.Connection) -> None:
    """Only the administrator may enter them."""
    for row in await connection.fetch(_OTHERS, [FORMER, MAINTENANCE]):
        await connection.execute(f"REVOKE ALL ON DATABASE {row[0]} FROM PUBLIC")


def _literal(text: str) -> str:
    """A text as an SQL literal. A person may have written the file that it is from."""
    return "'" + text.replace("'", "''") + "'"
