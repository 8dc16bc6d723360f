"""Where the tables are, and the SQL that says so.

The SQL in this package names our tables `maskwright.…`, and the ones that users query themselves `public.…`. Before it
is sent, these words become the schemas of this installation. So no statement depends on a search path, which a pooler
would not keep.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from gateway.postgres.connection import Connection, Row

OWN = (
    *("jobs", "deliveries", "poison", "workers", "cache_traffic", "locks", "holds"),
    *("metric_totals", "metric_processes", "api_keys", "audit", "secrets"),
)
SEEDS = ("user_mask_outputs", "task_results", "processing_metrics", "cache_performance")
"""Our tables; and those that users may bring, and the view, which stay where they are."""

_NAME = re.compile(rf"\bmaskwright\.|'maskwright'|\bpublic\.(?=({'|'.join(SEEDS)}))")

# What of the search path is free: not where another installation has its tables, nor where its view is, which reads
# that one's counts. $1: our schema. $2: the schema that an installation is moved from, or NULL.
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

    def lock(self, purpose: str, name: bytes) -> int:
        """The number of an advisory lock: another schema's are others."""
        text = b"\0".join([self.schema.encode(), purpose.encode(), name])
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big", signed=True)


@lru_cache(maxsize=512)
def _fill(names: Names, query: str) -> str:
    def schema(match: re.Match[str]) -> str:
        if match[0] == "'maskwright'":
            return f"'{names.schema}'"
        return quoted(names.places.get(match[1], names.schema) if match[1] else names.schema) + "."

    return _NAME.sub(schema, query)


async def find_names(connection: Connection, schema: str, former: str | None = None) -> Names:
    """Where each of the users' tables is, or is to be made: on the search path, and else among ours.

    `former` is the schema that an installation is about to be moved from.
    """
    path = await connection.fetch(_PATH, schema, former)
    schemas = [schema, *(str(row["schema"]) for row in path)]
    known = {str(row["name"]): str(row["schema"]) for row in await connection.fetch(_PLACES, list(SEEDS), schemas)}
    made = next((str(row["schema"]) for row in path if row["open"]), schema)
    return Names(schema, {name: known.get(name, made) for name in SEEDS})


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
