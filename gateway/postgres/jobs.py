"""The queue in PostgreSQL."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import cast
from uuid import UUID

from gateway.cache.cache import NewEntry
from gateway.jobs.artifacts import lock_lost
from gateway.jobs.dead_letters import BadMessage
from gateway.jobs.job import Job, Lease, NewJob, Outcome, Waiting
from gateway.jobs.outbox import MessageMaker
from gateway.jobs.store import (
    LATE_WRITES_S,
    LIVE_LEASES,
    RECENT_S,
    Ended,
    JobFilter,
    JobStore,
    QueueCounts,
    Recent,
    Standing,
    Submission,
    TenantCounts,
    exhausted,
)
from gateway.postgres.connection import Connection
from gateway.postgres.endings import Endings, expire_jobs, over, postpone_removal, removable_jobs, remove_jobs
from gateway.postgres.leases import Claiming, PutBack, renew
from gateway.postgres.locks import HoldLostError
from gateway.postgres.pool import Pool
from gateway.postgres.rows import deleting_job, find_jobs, get_job, get_parameters, waiting_of
from gateway.postgres.submissions import Submissions
from gateway.problems import Problem
from gateway.results import Failure
from gateway.settings import Settings

_UNFINISHED = """
SELECT
    (SELECT count(*) FROM maskwright.jobs WHERE state IN ('queued', 'running')) AS unfinished,
    (SELECT count(*) FROM maskwright.jobs WHERE state = 'running') AS running,
    (
        SELECT coalesce(sum(capacity), 0) FROM maskwright.workers WHERE seen_at > now() - $1 * interval '1 second'
    ) AS workers
"""
# From one tenant to the next by the index. A held job waits for one of its user's that is not, or runs: of its tenant.
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


class Counts:
    """Counts jobs; of the finished ones the number may be a little old."""

    def __init__(self, pool: Pool, lease_s: float) -> None:
        self._pool = pool
        self._live_s = LIVE_LEASES * lease_s
        self._finished = 0
        self._counted_until = 0.0

    async def read(self) -> QueueCounts:
        """The counts. Raises Problem `store_unavailable`."""
        return await self._pool.run(self._read)

    async def _read(self, connection: Connection) -> QueueCounts:
        row = await connection.fetchrow(_UNFINISHED, self._live_s)
        if row is None:
            raise LookupError("a SELECT without FROM gives one row")
        unfinished, running, workers = (cast("int", row[name]) for name in ("unfinished", "running", "workers"))
        return QueueCounts(unfinished - running, running, workers)

    async def of_tenant(self, tenant: str) -> TenantCounts:
        """The counts of one tenant. Raises Problem `store_unavailable`."""
        row = await self._pool.run(lambda connection: connection.fetchrow(_OF_TENANT, tenant))
        return TenantCounts(cast("int", row["queued"]), cast("int", row["tenants"])) if row else TenantCounts(0, 1)

    async def standing(self) -> Standing:
        """What is not over. Raises Problem `store_unavailable`."""
        rows = await self._pool.run(lambda connection: connection.fetch(_STANDING))
        found = {str(row["state"]): waiting_of(row) for row in rows}
        failing = found.pop("failing", Waiting())
        return Standing(**found, failing=failing.count)

    async def finished(self) -> int:
        """The jobs that ended, as counted last where counting takes too long. Raises Problem `store_unavailable`."""
        began = time.monotonic()
        if began < self._counted_until:
            return self._finished
        try:
            self._finished = await self._pool.run(_read_finished)
        except Problem:
            if not self._finished:
                raise
        finally:
            took = time.monotonic() - began
            self._counted_until = began + max(_FINISHED_LIFE_S, _FINISHED_SHARE * took)
        return self._finished

    async def recent(self) -> Recent:
        """The jobs that ended lately. Raises Problem `store_unavailable`."""
        return await self._pool.run(_read_recent)


async def _read_recent(connection: Connection) -> Recent:
    row = await connection.fetchrow(_RECENT, RECENT_S)
    if row is None:
        raise LookupError("an aggregate gives one row")
    return Recent(cast("int", row["completed"]), cast("int", row["failed"]), cast("float | None", row["latency_s"]))


async def _read_finished(connection: Connection) -> int:
    row = await connection.fetchrow(_FINISHED)
    return cast("int", row["finished"]) if row else 0


_OUTRUN = 5
"""So often a claim goes on that others outran; they took jobs each time."""
_UNTOLD = 1000
"""So many ids are remembered of jobs that may have been kept, or not: the server did not say."""


class PostgresJobs(JobStore):
    """Jobs in PostgreSQL. Every method raises Problem `store_unavailable`."""

    def __init__(self, pool: Pool, settings: Settings, announce: MessageMaker, ended: Ended) -> None:
        self._pool = pool
        self._ended = ended
        self._max_attempts = settings.max_retries + 1
        late_writes_s = settings.lease_s + LATE_WRITES_S
        self._endings = Endings(announce, settings.user_concurrency, settings.kafka_tenant, late_writes_s)
        self._submissions = Submissions(self._endings)
        self._counts = Counts(pool, settings.lease_s)
        self._untold: deque[UUID] = deque(maxlen=_UNTOLD)

    async def submit(self, jobs: Sequence[NewJob], poison: Sequence[BadMessage] = ()) -> list[Submission]:
        """Keep all or nothing, in one transaction.

        A job that was kept, but whose caller was not told so, is `created` when it comes again.
        """
        added = {job.id for job in jobs if job.id in self._untold}
        try:
            kept = await self._pool.transact(lambda connection: self._submissions.keep(connection, jobs, poison, added))
        except HoldLostError as error:
            raise lock_lost() from error
        except BaseException:
            self._untold.extend(added.difference(self._untold))
            raise
        for job_id in added.intersection(self._untold):
            self._untold.remove(job_id)
        return kept

    async def claim(self, worker: str, limit: int, lease_s: float, after: str = "") -> list[Lease]:
        """Take due jobs, and end those that were begun too often; more, where others took what it was about to."""
        claiming = Claiming(worker, lease_s, self._max_attempts, after)
        claim = await self._pool.run(lambda connection: claiming(connection, limit))
        with suppress(Problem):  # what was taken is in hand
            for _ in range(_OUTRUN):
                if not claim.outrun:
                    break
                claim += await self._pool.run(partial(claiming, limit=limit - claim.count))
        await self._end_exhausted(claim.exhausted)
        return list(claim.leases)

    async def _end_exhausted(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            outcome = exhausted(lease.job.attempts)
            with suppress(Problem):  # its lease will be over again
                if await self.finish(lease, outcome):
                    self._ended(lease.job, outcome)

    async def renew(self, worker: str, capacity: int, tokens: Sequence[UUID], lease_s: float) -> frozenset[UUID]:
        """Extend leases and say that the worker lives; the tokens that still hold."""
        return await self._pool.run(lambda connection: renew(connection, worker, capacity, tokens, lease_s))

    async def finish(self, lease: Lease, outcome: Outcome, entry: NewEntry | None = None) -> bool:
        """End a job in one transaction; True also where this lease ended it before."""
        try:
            return await self._pool.transact(lambda connection: self._endings.finish(connection, lease, outcome, entry))
        except HoldLostError:
            return False

    async def retry(self, lease: Lease, failure: Failure, delay_s: float) -> bool:
        """Put a job back, to be due in `delay_s` seconds. False for a lease that is over."""
        return await self._put_back(lease, PutBack(delay_s, 0, failure))

    async def release(self, lease: Lease) -> bool:
        """Hand a job back unstarted: due at once, and the attempt not counted. False for a lease that is over."""
        return await self._put_back(lease, PutBack(0.0, 1, None))

    async def cancel(self, job_id: UUID) -> Job | None:
        """End an unfinished job as failed, `cancelled`; a finished one is left as it is. None where there is none."""
        return await self._pool.transact(lambda connection: self._endings.cancel(connection, job_id))

    async def delete(self, job_id: UUID) -> Job | None:
        """Cancel, and hide the job until its photo and artifacts are removed. None where there is none."""
        return await self._pool.transact(lambda connection: self._endings.delete(connection, job_id))

    async def deleting(self, job_id: UUID) -> Job | None:
        """A job that is being deleted."""
        return await self._pool.run(lambda connection: deleting_job(connection, job_id))

    async def get(self, job_id: UUID) -> Job | None:
        """One job."""
        return await self._pool.run(lambda connection: get_job(connection, job_id))

    async def find(self, jobs: JobFilter) -> list[Job]:
        """Jobs, the newest first."""
        return await self._pool.run(lambda connection: find_jobs(connection, jobs))

    async def parameters(self, job_id: UUID) -> str | None:
        """The parameters of a job."""
        return await self._pool.run(lambda connection: get_parameters(connection, job_id))

    async def counts(self) -> QueueCounts:
        """How full the queue is."""
        return await self._counts.read()

    async def tenant_counts(self, tenant: str) -> TenantCounts:
        """How full the queue is of one tenant's jobs, and how many tenants share it."""
        return await self._counts.of_tenant(tenant)

    async def standing(self) -> Standing:
        """What is not over, and for how long."""
        return await self._counts.standing()

    async def finished(self) -> int:
        """How many jobs ended, perhaps a little while ago."""
        return await self._counts.finished()

    async def recent(self) -> Recent:
        """What ended lately."""
        return await self._counts.recent()

    async def removable(self, limit: int, lease_s: float) -> list[Job]:
        """Jobs whose objects are to be removed by now, kept from other janitors for `lease_s` seconds."""
        return await self._pool.run(lambda connection: removable_jobs(connection, limit, lease_s))

    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Of each of these jobs that there is, whether it has ended for good."""
        return await self._pool.run(lambda connection: over(connection, job_ids))

    async def remove(self, job_ids: Sequence[UUID], since: datetime | None = None) -> frozenset[UUID]:
        """Note that their objects are gone; those that were deleted and are forgotten now."""
        tenant = self._endings.masks_tenant
        return await self._pool.transact(lambda connection: remove_jobs(connection, job_ids, since, tenant))

    async def postpone_removal(self, job_id: UUID, reason: str) -> None:
        """Note that objects could not be removed, to try it again after a pause that grows."""
        await self._pool.run(lambda connection: postpone_removal(connection, job_id, reason))

    async def expire(self, days: int) -> int:
        """Delete some of the jobs that ended so long ago; how many, none when no more are left."""
        return await self._pool.run(lambda connection: expire_jobs(connection, days))

    async def _put_back(self, lease: Lease, put_back: PutBack) -> bool:
        concurrency = self._endings.user_concurrency
        return await self._pool.transact(lambda connection: put_back(connection, lease, concurrency))
