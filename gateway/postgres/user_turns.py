"""The turns of one user's jobs: USER_CONCURRENCY of them may run, and the others wait, `held`.

The first USER_CONCURRENCY unfinished jobs of a user may run, the running ones first; the others are held. So a claim
takes any job that is not held, without counting. Whoever adds, ends or puts back a job does it under the user's lock,
and settles the turns before the transaction ends. Jobs without a user are never held. The same user id of two tenants
is two users: NewJob.owner, the column `owner`.
"""

import hashlib
from collections.abc import Iterable

from gateway.postgres.connection import Connection

# The factor keeps users of another schema's installation apart.
_LOCK = "SELECT pg_advisory_xact_lock(key # hashtextextended('maskwright', 0)) FROM unnest($1::bigint[]) AS key"

# A claim may be taking one of these jobs at this moment; after this statement it has taken it, or it cannot any more.
# The condition is written so that only the index jobs_turns fits.
_STILL = """
SELECT id FROM maskwright.jobs
WHERE owner = ANY($1::text[]) AND NOT held AND state IN ('queued', 'running') AND state <> 'running'
FOR UPDATE
"""
_SETTLE = """
WITH first AS (
    SELECT job.id
    FROM unnest($1::text[]) AS owners(owner)
    CROSS JOIN LATERAL (
        SELECT id FROM (
            SELECT id, state, priority, sequence FROM maskwright.jobs
            WHERE jobs.owner = owners.owner AND state IN ('queued', 'running') AND NOT held
            UNION ALL (
                SELECT id, state, priority, sequence FROM maskwright.jobs
                WHERE jobs.owner = owners.owner AND state IN ('queued', 'running') AND held
                ORDER BY priority DESC, sequence LIMIT $2
            )
        ) AS next
        ORDER BY (state = 'running') DESC, priority DESC, sequence LIMIT $2
    ) AS job
), overtaken AS (
    UPDATE maskwright.jobs SET held = true WHERE id = ANY($3::uuid[]) AND id NOT IN (SELECT id FROM first)
)
UPDATE maskwright.jobs SET held = false
WHERE id IN (SELECT id FROM first) AND held
"""


async def lock_users(connection: Connection, owners: Iterable[str]) -> None:
    """Keep other transactions from changing these users' queues; before any of their rows is touched."""
    if keys := sorted({_key(owner) for owner in owners if owner}):
        await connection.fetch(_LOCK, keys)


async def settle_turns(connection: Connection, owners: Iterable[str], concurrency: int) -> None:
    """Say anew which jobs of these users, who are locked, are held."""
    if named := sorted({owner for owner in owners if owner}):
        still = await connection.fetch(_STILL, named)
        await connection.execute(_SETTLE, named, concurrency, [row["id"] for row in still])


def _key(owner: str) -> int:
    """The number of a user's advisory lock; sorted, so that no two transactions wait for each other."""
    return int.from_bytes(hashlib.sha256(b"user " + owner.encode()).digest()[:8], "big", signed=True)
