"""In which schemas the tables are: found, made, and taken over from versions that had no schema of their own."""

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

import asyncpg

from gateway.logs import get_logger
from gateway.postgres.connection import SEEDS, Connection, MigrationError, Named, Names, RefusedError, quoted

OWN = (
    *("jobs", "deliveries", "poison", "workers", "cache_traffic", "locks", "holds"),
    *("metric_totals", "metric_processes", "api_keys", "audit", "secrets"),
)
"""Our tables."""

# The schemas of the search path that no other installation uses: neither for its tables nor for its view, which reads
# its own counts. $1: our schema. $2: the schema that an installation is moved from, or NULL.
_PATH = """
SELECT path.schema, has_schema_privilege(path.schema, 'CREATE') AS open
FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(schema, place)
WHERE path.schema <> $1 AND path.schema !~ '["''\\\\$]' AND NOT EXISTS (
    SELECT FROM pg_class AS view
    JOIN pg_namespace AS home ON home.oid = view.relnamespace
    JOIN pg_rewrite AS rule ON rule.ev_class = view.oid
    JOIN pg_depend AS needs ON needs.classid = 'pg_rewrite'::regclass AND needs.objid = rule.oid
        AND needs.refclassid = 'pg_class'::regclass
    JOIN pg_class AS counts ON counts.oid = needs.refobjid AND counts.relname = 'cache_traffic'
    JOIN pg_namespace AS theirs ON theirs.oid = counts.relnamespace
    WHERE home.nspname = path.schema AND view.relname = 'cache_performance'
        AND theirs.nspname <> $1 AND theirs.nspname IS DISTINCT FROM $2
)
AND (path.schema IS NOT DISTINCT FROM $2 OR NOT EXISTS (
    SELECT FROM pg_class AS counts JOIN pg_namespace AS home ON home.oid = counts.relnamespace
    WHERE home.nspname = path.schema AND counts.relname = 'cache_traffic'
))
ORDER BY path.place
"""
# Ours comes first: a table that was made there stays in use.
_PLACES = """
SELECT DISTINCT ON (found.relname) found.relname::text AS name, home.nspname::text AS schema
FROM pg_class AS found JOIN pg_namespace AS home ON home.oid = found.relnamespace
WHERE found.relname = ANY($1::text[]) AND home.nspname = ANY($2::text[]) AND found.relkind IN ('r', 'p', 'f', 'v', 'm')
ORDER BY found.relname, array_position($2::text[], home.nspname::text)
"""


async def find_names(connection: Connection, schema: str, former: str | None = None) -> Names:
    """Where each of the users' tables is, or is to be made: on the search path, and else among ours.

    `former` is the schema that an installation is about to be moved from.
    """
    path = await connection.fetch(_PATH, schema, former)
    schemas = [schema, *(str(row["schema"]) for row in path)]
    known = {str(row["name"]): str(row["schema"]) for row in await connection.fetch(_PLACES, list(SEEDS), schemas)}
    made = next((str(row["schema"]) for row in path if row["open"]), schema)
    return Names(schema, {name: known.get(name, made) for name in SEEDS})


RELEASED: Mapping[int, str] = MappingProxyType(
    {
        1: "d4b386cde12a6b114834a531ae66d658faec6ae6b2b3e3915b4d825f77928cfe",
        2: "2a832192d55fef4d5e2e52fd0cdab0286a8053f436ab743155032fe64f501e88",
        3: "ba441e96ae30c0a041f677e70f0c1e445f2d38c4d3528cb316d3f5446ee3db04",
        4: "acb633970864dd3072bc22d0dcaeb959278241c0b7d0ef389835d110e0e34047",
        5: "26d05af8156aa85d01b23753a4c828ade335cd1c0370c1f696e972148843f4fb",
        6: "c5db8b41c85a1e570b6e7702548152b3ebbada96ce428ab7082ae93a3842fcf9",
        7: "ed57b7cafad5a830b1c11eee533c14ab5c61e80580e3534918167c998ee1e789",
        8: "55b0101e2844409d22ae01ed93af693161011ca36f57504204b95002e4a33f8b",
        9: "f2fc8ebaf08cbf9aa446d0ae4ea6d4cc0662b94677bd0a832e5c1768e4a87e43",
    }
)
"""Checksums of the migrations as they were without a schema: rows with them are ours, and no other tool's."""

_MOVED = "0010_moved_to_a_schema_of_their_own"
"""This row stays in the former table of migrations, so that a former version that is started refuses to run."""

_BOOKS = """
SELECT home.nspname::text AS schema
FROM pg_class AS book JOIN pg_namespace AS home ON home.oid = book.relnamespace
WHERE book.relname = 'schema_migrations' AND book.relkind = 'r'
    AND home.nspname = ANY(current_schemas(false) || $1::name) AND has_table_privilege(book.oid, 'SELECT')
    AND 3 = (
        SELECT count(*) FROM pg_attribute WHERE attrelid = book.oid AND attname IN ('version', 'name', 'sha256')
    )
ORDER BY array_position(current_schemas(false), home.nspname)
"""
_ROWS = "SELECT version::text AS version, name::text AS name, sha256::text AS sha256 FROM {}.schema_migrations"
_TABLES = """
SELECT found.relname::text AS name
FROM pg_class AS found JOIN pg_namespace AS home ON home.oid = found.relnamespace
WHERE home.nspname = $1 AND found.relname = ANY($2::text[]) AND found.relkind IN ('r', 'p')
"""
# Versions without a schema call themselves so; others add their schema.
_FORMER_RUNS = """
SELECT count(*) AS sessions, string_agg(DISTINCT host(client_addr), ', ') AS hosts FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'maskwright' AND pid <> pg_backend_pid()
"""
_USERS = """
SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS name
FROM pg_class AS moved CROSS JOIN LATERAL aclexplode(moved.relacl)
WHERE moved.relnamespace = to_regnamespace($1) AND moved.relname = ANY($2::text[]) AND grantee <> moved.relowner
"""
_KNOWS = "SELECT to_regnamespace($1) IS NOT NULL AS known"
_WHERE = """
SELECT pg_encoding_to_char(encoding) AS encoding, datname::text AS name, current_user::text AS "user"
FROM pg_database WHERE datname = current_database()
"""

_log = get_logger(__name__)


async def check_encoding(connection: Connection) -> None:
    """Raise RefusedError for a database that cannot hold every text."""
    row = await connection.fetchrow(_WHERE)
    if row and row["encoding"] != "UTF8":
        raise RefusedError(
            f"the database {row['name']} holds text as {row['encoding']}; make one with CREATE DATABASE … "
            "ENCODING 'UTF8' TEMPLATE template0, and name it"
        )


async def tables_in(connection: Connection, schema: str, *names: str) -> list[str]:
    """Those of these tables that are in a schema."""
    return [str(row["name"]) for row in await connection.fetch(_TABLES, schema, list(names))]


async def make_schema(connection: Connection, schema: str) -> None:
    """Make our schema where it is missing. Raises RefusedError where the user may not."""
    known = await connection.fetchrow(_KNOWS, quoted(schema))
    if known and known["known"]:
        return
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE SCHEMA {quoted(schema)}")
    except asyncpg.InsufficientPrivilegeError:
        row = await connection.fetchrow(_WHERE)
        user, database = (quoted(str(row[name])) for name in ("user", "name")) if row else ("…", "…")
        raise RefusedError(
            f"the user may not make the schema of the tables; as the database's owner run "
            f"CREATE SCHEMA {quoted(schema)} AUTHORIZATION {user}, or GRANT CREATE ON DATABASE {database} "
            f"TO {user}, or `maskwright migrate`"
        ) from None


async def former_schema(connection: Connection, schema: str) -> str | None:
    """Where an installation of a version without a schema is, by the rows of its own table of migrations.

    Raises MigrationError if the table is ours, but of a version that is not known here.
    """
    for row in await connection.fetch(_BOOKS, schema):
        home = str(row["schema"])
        book = await connection.fetch(_ROWS.format(quoted(home)))
        rows = {str(entry["version"]): str(entry["sha256"]) for entry in book}
        former = {str(version): sha256 for version, sha256 in RELEASED.items()}
        if rows.get("1") != former["1"] or any(entry["name"] == _MOVED for entry in book):
            continue
        if strange := [str(entry["name"]) for entry in book if former.get(str(entry["version"])) != entry["sha256"]]:
            raise MigrationError(f"The schema {home} has migration {strange[0]}, which this version does not know.")
        return home
    return None


async def move(named: Named, names: Names, former: str, checksums: Mapping[int, str]) -> None:
    """Take the tables over, with their rows and rights; `checksums` are those of the same steps today.

    What users query themselves stays where it is. Raises MigrationError while a former version runs.
    """
    await _refuse_while_it_runs(named)
    if former != names.schema:
        await _move_tables(named, names, former)
    for version, sha256 in checksums.items():
        await named.execute("UPDATE maskwright.schema_migrations SET sha256 = $2 WHERE version = $1", version, sha256)
    _log.info("tables moved", former=former, schema=names.schema)


async def _refuse_while_it_runs(named: Named) -> None:
    row = await named.fetchrow(_FORMER_RUNS)
    if row and row["sessions"]:
        raise MigrationError(
            f"An older version still runs on this database: {row['sessions']} connections from "
            f"{row['hosts'] or 'this machine'}. Stop it first, for its tables move to another schema."
        )


async def _move_tables(named: Named, names: Names, former: str) -> None:
    """The former table of migrations stays, with one row more."""
    source, target = quoted(former), quoted(names.schema)
    await named.execute(f"CREATE TABLE {target}.schema_migrations (LIKE {source}.schema_migrations INCLUDING ALL)")
    await named.execute(f"INSERT INTO {target}.schema_migrations SELECT * FROM {source}.schema_migrations")  # noqa: S608
    for table in await tables_in(named, former, *OWN):
        await named.execute(f"ALTER TABLE {source}.{table} SET SCHEMA {target}")
    with suppress(asyncpg.InsufficientPrivilegeError):  # who made the schema says who may use it
        async with named.transaction():
            for user in await named.fetch(_USERS, target, list(OWN)):
                await named.execute(f"GRANT USAGE ON SCHEMA {target} TO {user['name']}")
    last = f"SELECT max(version) + 1, '{_MOVED}', '' FROM {source}.schema_migrations"  # noqa: S608 of quoted names
    await named.execute(f"INSERT INTO {source}.schema_migrations (version, name, sha256) {last}")
