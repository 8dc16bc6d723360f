"""The queue in PostgreSQL."""

import time
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from typing_extensions import override

from gateway.cache.cache import NewEntry
from gateway.errors import Problem
from gateway.jobs.job import (
    RECENT_S,
    Job,
    JobFilter,
    Lease,
    NewJob,
    Outcome,
    QueueCounts,
    Recent,
    Standing,
    SubmittedJob,
    TenantCounts,
    Waiting,
)
from gateway.jobs.objects import LockLostError
from gateway.jobs.outbox import MessageMaker
from gateway.jobs.store import LATE_WRITES_S, LIVE_LEASES, BadMessage, Ended
from gateway.postgres.connection import Connection
from gateway.postgres.job_endings import Endings, PostgresRemovals
from gateway.postgres.leases import PostgresLeases
from gateway.postgres.outbox import add_message
from gateway.postgres.pool import Pool
from gateway.postgres.rows import SHOWN, get_job, job_of, list_query, waiting_of
from gateway.postgres.submissions import keep_jobs
from gateway.settings import Settings

_DELETING = f"SELECT {SHOWN} FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NOT NULL"  # noqa: S608 of constants
_PARAMETERS = """
SELECT CASE WHEN parameters_stored THEN '' ELSE parameters::text END AS parameters
FROM maskwright.jobs WHERE id = $1 AND deleted_at IS NULL
"""
_UNFINISHED = """
SELECT
    (SELECT count(*) FROM maskwright.jobs WHERE state IN ('queued', 'running')) AS unfinished,
    (SELECT count(*) FROM maskwright.jobs WHERE state = 'running') AS running,
    (
        SELECT coalesce(sum(capacity), 0) FROM maskwright.workers WHERE seen_at > now() - $1 * interval '1 second'
    ) AS workers
"""
# From one tenant to the next by the index. A tenant with a held job also has a job that is not held, or one that runs.
_OF_TENANT = """
WITH RECURSIVE waiting AS (
    (
        SELECT tenant COLLATE "C" AS tenant FROM maskwright.jobs WHERE state = 'queued' AND NOT held
        ORDER BY tenant COLLATE "C" LIMIT 1
    )
    UNION ALL
    SELECT following.tenant FROM waiting CROSS JOIN LATERAL (
        SELECT tenant COLLATE "C" AS tenant FROM maskwright.jobs
        WHERE state = 'queued' AND NOT held AND tenant COLLATE "C" > waiting.tenant
        ORDER BY tenant COLLATE "C" LIMIT 1
    ) AS following
)
SELECT
    (
        SELECT count(*) FROM maskwright.jobs
        WHERE tenant = $1 AND (CASE WHEN deleted_at IS NULL THEN state ELSE 'deleting' END) = 'queued'
    ) AS queued,
    (
        SELECT count(*) FROM (
            SELECT $1::text COLLATE "C" UNION SELECT tenant FROM waiting
            UNION SELECT tenant COLLATE "C" FROM maskwright.jobs WHERE state = 'running'
        ) AS tenants
    ) AS tenants
"""
# A replayed job waits since its replay.
_STANDING = """
SELECT state, count(*) AS count, coalesce(extract(epoch FROM now() - min(since)), 0)::float8 AS oldest_s
FROM (
    SELECT state,
        CASE WHEN state = 'running' THEN started_at WHEN started_at IS NULL THEN run_at ELSE created_at END AS since
    FROM maskwright.jobs WHERE state IN ('queued', 'running')
    UNION ALL
    SELECT 'deleting', deleted_at FROM maskwright.jobs WHERE deleted_at IS NOT NULL
    UNION ALL
    SELECT 'failing', now() FROM maskwright.jobs
    WHERE (deleted_at IS NOT NULL OR removal_at IS NOT NULL) AND removal_attempts > 0
) AS jobs
GROUP BY state
"""
_FINISHED = "SELECT count(*) AS finished FROM maskwright.jobs WHERE finished_at IS NOT NULL AND deleted_at IS NULL"
_RECENT = """
SELECT
    count(*) FILTER (WHERE state = 'completed') AS completed,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    avg(extract(epoch FROM finished_at - created_at)) FILTER (WHERE state = 'completed')::float8 AS latency_s
FROM maskwright.jobs WHERE finished_at > now() - $1 * interval '1 second' AND deleted_at IS NULL
"""

_FINISHED_LIFE_S = 1.0
_FINISHED_SHARE = 20
"""Finished jobs may be millions: they are counted at most once a second, and for at most a twentieth of the time."""

_UNTOLD = 1000
"""How many ids are remembered of jobs of which the server did not say whether they were kept."""


class PostgresJobs(PostgresLeases, PostgresRemovals):
    """Jobs in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool, settings: Settings, messages_of: MessageMaker, ended: Ended) -> None:
        self._pool = pool
        self._ended = ended
        self._max_attempts = settings.max_retries + 1
        self._user_concurrency = settings.user_concurrency
        self._masks_tenant = settings.kafka_tenant
        self._live_s = LIVE_LEASES * settings.lease_s
        late_writes_s = settings.lease_s + LATE_WRITES_S
        self._endings = Endings(messages_of, settings.user_concurrency, settings.kafka_tenant, late_writes_s)
        self._untold: deque[UUID] = deque(maxlen=_UNTOLD)
        self._finished = 0
        self._counted_until = 0.0

    @override
    async def submit(self, jobs: Sequence[NewJob], bad_messages: Sequence[BadMessage] = ()) -> list[SubmittedJob]:
        """Keep all or nothing, in one transaction.

        If a job was kept but its caller was not told so, the job counts as `created` when it comes again.
        """
        added = {job.id for job in jobs if job.id in self._untold}

        async def keep(connection: Connection) -> list[SubmittedJob]:
            kept = await keep_jobs(connection, self._endings, jobs, added) if jobs else []
            for message in bad_messages:
                await add_message(connection, message)
            return kept

        try:
            kept = await self._pool.transact(keep)
        except LockLostError:
            raise
        except BaseException:
            self._untold.extend(added.difference(self._untold))
            raise
        for job_id in added.intersection(self._untold):
            self._untold.remove(job_id)
        return kept

    @override
    async def finish(self, lease: Lease, outcome: Outcome, entry: NewEntry | None = None) -> bool:
        """End a job in one transaction; True also where this lease ended it before."""
        try:
            return await self._pool.transact(lambda connection: self._endings.finish(connection, lease, outcome, entry))
        except LockLostError:
            return False

    @override
    async def cancel(self, job_id: UUID) -> Job | None:
        return await self._pool.transact(lambda connection: self._endings.cancel(connection, job_id))

    @override
    async def delete(self, job_id: UUID) -> Job | None:
        return await self._pool.transact(lambda connection: self._endings.delete(connection, job_id))

    @override
    async def deleting(self, job_id: UUID) -> Job | None:
        row = await self._pool.fetchrow(_DELETING, job_id)
        return job_of(row) if row else None

    @override
    async def get(self, job_id: UUID) -> Job | None:
        return await self._pool.run(lambda connection: get_job(connection, job_id))

    @override
    async def find(self, jobs: JobFilter) -> list[Job]:
        query, values = list_query(jobs)
        return [job_of(row) for row in await self._pool.fetch(query, *values)]

    @override
    async def parameters(self, job_id: UUID) -> str | None:
        row = await self._pool.fetchrow(_PARAMETERS, job_id)
        return str(row["parameters"]) if row else None

    @override
    async def counts(self) -> QueueCounts:
        (row,) = await self._pool.fetch(_UNFINISHED, self._live_s)
        return QueueCounts(row["unfinished"] - row["running"], row["running"], row["workers"])

    @override
    async def tenant_counts(self, tenant: str) -> TenantCounts:
        (row,) = await self._pool.fetch(_OF_TENANT, tenant)
        return TenantCounts(row["queued"], row["tenants"])

    @override
    async def standing(self) -> Standing:
        found = {row["state"]: waiting_of(row) for row in await self._pool.fetch(_STANDING)}
        failing = found.pop("failing", Waiting())
        return Standing(**found, failing=failing.count)

    @override
    async def finished(self) -> int:
        """The latest count, while a new one would take too long."""
        began = time.monotonic()
        if began < self._counted_until:
            return self._finished
        try:
            (row,) = await self._pool.fetch(_FINISHED)
            self._finished = row["finished"]
        except Problem:
            if not self._finished:
                raise
        finally:
            took = time.monotonic() - began
            self._counted_until = began + max(_FINISHED_LIFE_S, _FINISHED_SHARE * took)
        return self._finished

    @override
    async def recent(self) -> Recent:
        (row,) = await self._pool.fetch(_RECENT, RECENT_S)
        return Recent(**row)
