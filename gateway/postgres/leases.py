"""Leases on jobs: taken, renewed, handed back; and locks on the names of artifacts, in the table `holds`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from typing_extensions import override

from gateway.errors import Problem
from gateway.jobs.job import ArtifactLock, Lease, LockName, NewJob
from gateway.jobs.objects import LockLostError
from gateway.jobs.store import WORK, ArtifactLocks, Ended, JobStore, exhausted
from gateway.pipelines.outputs import Failure
from gateway.postgres.connection import Connection, Row
from gateway.postgres.pool import Pool, notify
from gateway.postgres.rows import WORKED_ON, clean, lease_of
from gateway.postgres.user_turns import lock_users, settle_turns

# Goes from one tenant to the next by the index, so that many jobs of one tenant cost no more than one job. The plan
# locks nothing; then as many jobs of each tenant are locked as are taken. Workers that claim at the same time skip
# these, and take those behind them. The chosen ids are an array: otherwise the planner, which does not know how few
# they are, would join all jobs to them.
_DUE = "state = 'queued' AND NOT held AND run_at <= now()"
_CLAIM = f"""
WITH RECURSIVE round AS (
    SELECT $5::text COLLATE "C" AS tenant, 0 AS lap, false AS is_there
    UNION ALL
    SELECT following.tenant, following.lap, true FROM round CROSS JOIN LATERAL (
        (
            SELECT tenant COLLATE "C" AS tenant, round.lap FROM maskwright.jobs
            WHERE state = 'queued' AND NOT held AND tenant COLLATE "C" > round.tenant
            ORDER BY tenant COLLATE "C" LIMIT 1
        )
        UNION ALL (
            SELECT tenant COLLATE "C", 1 FROM maskwright.jobs
            WHERE state = 'queued' AND NOT held AND round.lap = 0
            ORDER BY tenant COLLATE "C" LIMIT 1
        )
        ORDER BY lap LIMIT 1
    ) AS following
    WHERE following.lap = 0 OR following.tenant <= $5
), present AS (
    SELECT round.tenant FROM round CROSS JOIN LATERAL (
        SELECT FROM maskwright.jobs WHERE {_DUE} AND tenant COLLATE "C" = round.tenant
        ORDER BY priority DESC, sequence LIMIT 1
    ) AS due
    WHERE is_there LIMIT $6
), running AS MATERIALIZED (
    SELECT id, tenant COLLATE "C" AS tenant, priority, sequence, lease_until <= now() AS lapsed
    FROM maskwright.jobs WHERE state = 'running'
), busy AS (
    SELECT tenant, count(*) AS jobs FROM running WHERE NOT lapsed GROUP BY tenant
), due AS (
    SELECT job.id, present.tenant, job.priority, job.sequence, false AS lapsed
    FROM present CROSS JOIN LATERAL (
        SELECT id, priority, sequence FROM maskwright.jobs WHERE {_DUE} AND tenant COLLATE "C" = present.tenant
        ORDER BY priority DESC, sequence LIMIT $2
    ) AS job
    UNION ALL
    SELECT id, tenant, priority, sequence, true FROM running WHERE lapsed
), planned AS MATERIALIZED (
    SELECT id, tenant, lapsed, taken, tenant <= $5 AS passed
    FROM (
        SELECT due.*, coalesce(busy.jobs, 0)
            + row_number() OVER (PARTITION BY due.tenant ORDER BY priority DESC, sequence) AS taken
        FROM due LEFT JOIN busy ON busy.tenant = due.tenant
    ) AS ranked
    ORDER BY taken, tenant <= $5, tenant LIMIT $2
), fresh AS (
    SELECT job.id, job.attempts
    FROM (SELECT tenant, count(*) AS jobs FROM planned WHERE NOT lapsed GROUP BY tenant) AS share
    CROSS JOIN LATERAL (
        SELECT id, attempts FROM maskwright.jobs WHERE {_DUE} AND tenant COLLATE "C" = share.tenant
        ORDER BY priority DESC, sequence LIMIT share.jobs FOR UPDATE SKIP LOCKED
    ) AS job
), lapsed AS (
    SELECT id, attempts FROM maskwright.jobs
    WHERE id = ANY(ARRAY(SELECT id FROM planned WHERE lapsed)) AND state = 'running' AND lease_until <= now()
    FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
    TABLE fresh UNION ALL TABLE lapsed
), claimed AS (
    UPDATE maskwright.jobs SET
        state = 'running', attempts = least(jobs.attempts + 1, $4), started_at = now(), worker = $1,
        lease_token = gen_random_uuid(), lease_until = now() + $3 * interval '1 second'
    WHERE id = ANY(ARRAY(SELECT id FROM chosen))
    RETURNING {WORKED_ON}
)
SELECT claimed.*, chosen.attempts >= $4 AS exhausted, all_planned.planned,
    CASE WHEN claimed.id IS NOT NULL THEN pg_notify('maskwright', claimed.id::text) END
FROM (SELECT count(*) AS planned FROM planned) AS all_planned
LEFT JOIN claimed ON true LEFT JOIN chosen ON chosen.id = claimed.id LEFT JOIN planned ON planned.id = claimed.id
ORDER BY planned.taken, planned.passed, planned.tenant, claimed.priority DESC, claimed.sequence
"""  # noqa: S608 of constants
_TENANTS = 16
"""How many tenants with due jobs are looked at, after the one served last; more if more jobs are wanted."""
_RENEW = """
WITH alive AS (
    INSERT INTO maskwright.workers (worker, capacity, seen_at) VALUES ($1, $2, now())
    ON CONFLICT (worker) DO UPDATE SET capacity = excluded.capacity, seen_at = excluded.seen_at
    WHERE workers.capacity <> excluded.capacity OR workers.seen_at < excluded.seen_at - interval '1 second'
), gone AS (
    DELETE FROM maskwright.workers WHERE seen_at < now() - interval '1 day' AND worker <> $1
)
UPDATE maskwright.jobs SET lease_until = now() + $4 * interval '1 second'
WHERE lease_token = ANY($3::uuid[]) AND state = 'running'
RETURNING lease_token
"""
_PUT_BACK = """
UPDATE maskwright.jobs SET
    state = 'queued', run_at = now() + $3 * interval '1 second', attempts = attempts - $4, lease_until = NULL,
    last_code = coalesce($5, last_code), last_detail = coalesce($6, last_detail)
WHERE id = $1 AND lease_token = $2 AND state = 'running'
RETURNING id
"""
_PUT_BACK_BY = "SELECT FROM maskwright.jobs WHERE id = $1 AND lease_token = $2 AND state = 'queued'"
_OUTRUN = 5
"""How often a claim is repeated because other workers took the jobs that it had planned to take."""


class PostgresLeases(JobStore):
    """The part of the store that workers use while they have jobs."""

    _pool: Pool
    _ended: Ended
    _max_attempts: int
    _user_concurrency: int

    @override
    async def claim(self, worker: str, limit: int, lease_s: float, after: str = "") -> list[Lease]:
        """Take due jobs; end those that were begun too often."""
        values = (worker, lease_s, after)
        taken, outrun = await self._take(limit, *values)
        with suppress(Problem):  # the jobs taken so far must be worked on
            for _ in range(_OUTRUN):
                if not outrun:
                    break
                more, outrun = await self._take(limit - len(taken), *values)
                taken += more
        for row in taken:
            if row["exhausted"]:
                await self._end_exhausted(lease_of(row))
        return [lease_of(row) for row in taken if not row["exhausted"]]

    @override
    async def renew(self, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float) -> frozenset[UUID]:
        rows = await self._pool.fetch(_RENEW, worker, capacity, tokens, lease_s)
        return frozenset(row["lease_token"] for row in rows)

    @override
    async def retry(self, lease: Lease, failure: Failure, delay_s: float) -> bool:
        return await self._put_back(lease, delay_s, 0, failure.code, clean(failure.detail))

    @override
    async def release(self, lease: Lease) -> bool:
        return await self._put_back(lease, 0.0, 1, None, None)

    async def _take(self, limit: int, worker: str, lease_s: float, after: str) -> tuple[list[Row], bool]:
        """The jobs taken; and whether other workers took some that were planned, so that there may be more."""
        values = (worker, limit, lease_s, self._max_attempts, after, max(_TENANTS, limit))
        rows = await self._pool.fetch(_CLAIM, *values)
        taken = [row for row in rows if row["id"] is not None]
        return taken, len(taken) < limit == rows[0]["planned"]

    async def _end_exhausted(self, lease: Lease) -> None:
        outcome = exhausted(lease.job.attempts)
        with suppress(Problem):  # another claim ends it, after this lease
            if await self.finish(lease, outcome):
                self._ended(lease.job, outcome)

    async def _put_back(self, lease: Lease, *values: object) -> bool:
        """Put a job back; False where the lease is over. True again for the lease that put it back.

        `values`: the seconds until it is due, how many attempts are not counted, and a failure's code and detail.
        """
        return await self._pool.transact(partial(self._put_back_in, lease, values))

    async def _put_back_in(self, lease: Lease, values: Sequence[object], connection: Connection) -> bool:
        users = [lease.job.request.owner]
        await lock_users(connection, users)
        if await connection.fetchrow(_PUT_BACK, lease.job.id, lease.token, *values) is None:
            return await connection.fetchrow(_PUT_BACK_BY, lease.job.id, lease.token) is not None
        await settle_turns(connection, users, self._user_concurrency)
        await notify(connection, [lease.job.id, WORK])
        return True


# A statement that is repeated after a lost answer finds its own lock.
_TAKE_NAME = """
INSERT INTO maskwright.holds AS held (request_id, user_id, tenant, prefixes, token, until)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second')
ON CONFLICT (request_id, user_id, tenant) DO UPDATE SET
    prefixes = excluded.prefixes, token = excluded.token, until = excluded.until
WHERE held.until < now() OR held.token = excluded.token
RETURNING now() AS since, xmax <> 0 AS inherited
"""
_RELEASE_NAME = """
DELETE FROM maskwright.holds WHERE request_id = $1 AND user_id = $2 AND tenant = $3 AND token = $4 RETURNING token
"""
_LEAVE = """
UPDATE maskwright.holds SET until = now() + $5 * interval '1 second'
WHERE request_id = $1 AND user_id = $2 AND tenant = $3 AND token = $4
"""
_LAPSED = """
SELECT tenant, user_id, request_id, prefixes FROM maskwright.holds WHERE until < now() ORDER BY until LIMIT $1
"""


@dataclass(frozen=True)
class PostgresArtifactLocks(ArtifactLocks):
    """Locks on the names of artifacts, in the table `holds`. Every method raises Problem `store_unavailable`."""

    pool: Pool

    @override
    async def take(self, name: LockName, life_s: float) -> ArtifactLock | None:
        token = uuid4()
        row = await self.pool.fetchrow(_TAKE_NAME, *_columns(name), list(name.prefixes), token, life_s)
        return ArtifactLock(name, token, row["since"], row["inherited"]) if row else None

    @override
    async def release(self, lock: ArtifactLock) -> None:
        await self.pool.change(_RELEASE_NAME, *_columns(lock.name), lock.token)

    @override
    async def leave(self, lock: ArtifactLock, life_s: float) -> None:
        await self.pool.change(_LEAVE, *_columns(lock.name), lock.token, life_s)

    @override
    async def lapsed(self, limit: int) -> Sequence[LockName]:
        rows = await self.pool.fetch(_LAPSED, limit)
        return [LockName(row["tenant"], row["user_id"], row["request_id"], tuple(row["prefixes"])) for row in rows]


async def spend(connection: Connection, request: NewJob, token: UUID | None) -> None:
    """Release the lock under which the artifacts of a job were written that ends in this transaction.

    Raises LockLostError where another has taken the name since.
    """
    whose = (request.request_id, request.user_id, request.tenant, token)
    if token and await connection.fetchrow(_RELEASE_NAME, *whose) is None:
        raise LockLostError


def _columns(name: LockName) -> tuple[str, str, str]:
    return name.request_id, name.user_id, name.tenant
