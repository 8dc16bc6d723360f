"""One attempt at a job: from its claim to what the store is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from structlog.contextvars import bound_contextvars

from gateway.cache.cache import NewEntry
from gateway.errors import Problem
from gateway.jobs.job import Job, Lease, Outcome
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments
from gateway.results import Failure, Stopwatch
from gateway.retry import Backoff
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.worker.execution import ClaimedJob, Execution, LeaseLostError, answer_of
from gateway.worker.removals import Removals

RETRIES = Backoff(1.0, 60.0, jitter=0.2)
"""Pauses between attempts at a job; they differ at random, so that jobs that failed together do not return together."""
_MAY_PASS = frozenset({"pipeline_not_found"})
"""A newer worker may have what this one lacks, while workers are replaced one by one."""


class Attempts:
    """Makes attempts; each ends with the job finished, due again, or handed back."""

    def __init__(self, settings: Settings, stores: Stores, execution: Execution, instruments: Instruments) -> None:
        self._max_retries = settings.max_retries
        self._jobs = stores.jobs
        self._removals = Removals(stores)
        self._execution = execution
        self._tasks = instruments.tasks
        self._errors = instruments.errors
        self._log = get_logger("gateway.worker")

    async def make(self, claimed: ClaimedJob) -> None:
        """Work on the job until it ended; cancelled, hand it back, or leave it to the worker that has it now."""
        request = claimed.job.request
        names = {"user_id": request.user_id, "request_id": request.request_id, "trace_id": request.trace_id}
        with bound_contextvars(job_id=str(request.id), **names):
            try:
                await self._work(claimed)
            except LeaseLostError:
                await self._leave(claimed)
            except asyncio.CancelledError:
                await (self._leave(claimed) if claimed.lost else self._hand_back(claimed))

    async def _work(self, claimed: ClaimedJob) -> None:
        watch = Stopwatch()
        watch.add("queue", _waited_s(claimed.job))
        self._log.info("job begun", pipeline=claimed.job.request.pipeline, attempts=claimed.job.attempts)
        try:
            async with self._execution.done(claimed, watch) as done:
                await self._finish(claimed, done.outcome, done.entry)
        except LeaseLostError:
            raise
        except Problem as problem:
            await self._fail(claimed, problem, watch)
        except Exception as error:  # noqa: BLE001 a bug that one job brings out must not end the others
            self._log.error("unexpected error", exc_info=error)
            await self._fail(claimed, Problem("internal_error", "The log has the details."), watch)

    async def _fail(self, claimed: ClaimedJob, problem: Problem, watch: Stopwatch) -> None:
        failure = Failure(problem.code, problem.detail)
        if (problem.transient or problem.code in _MAY_PASS) and claimed.job.attempts <= self._max_retries:
            await self._retry(claimed, failure)
        else:
            await self._finish(claimed, Outcome(failure=failure, timings_ms=watch.timings_ms))

    async def _retry(self, claimed: ClaimedJob, failure: Failure) -> None:
        delay_s = RETRIES.pause_s(claimed.job.attempts)
        self._errors.count(failure.code, "worker")
        await self._tell(claimed, lambda: self._jobs.retry(claimed.lease, failure, delay_s))
        self._log.warning(
            "job will be tried again",
            code=failure.code,
            detail=failure.detail,
            attempts=claimed.job.attempts,
            delay_s=round(delay_s, 1),
        )

    async def _finish(self, claimed: ClaimedJob, outcome: Outcome, entry: NewEntry | None = None) -> None:
        await self._tell(claimed, lambda: self._jobs.finish(_with_lock(claimed, outcome), outcome, entry))
        if claimed.grip and outcome.artifacts:
            claimed.grip.state = "spent"
        self._tasks.ended(claimed.job, outcome)
        self._log_end(claimed.job, outcome)
        try:
            await self._removals.tidy(claimed.job, outcome.failure)
        except Problem as problem:
            self._log.warning(f"not tidied: {problem}")

    def _log_end(self, job: Job, outcome: Outcome) -> None:
        reason = {"code": outcome.failure.code, "detail": outcome.failure.detail} if outcome.failure else {}
        self._log.info(
            f"job {outcome.state}",
            pipeline=job.request.pipeline,
            state=outcome.state,
            cached=outcome.cached,
            attempts=job.attempts,
            timings_ms=dict(outcome.timings_ms),
            **reason,
        )

    async def _tell(self, claimed: ClaimedJob, tell: Callable[[], Awaitable[bool]]) -> None:
        """Tell the store, however long it is away; a lease that ran out meanwhile may still hold there.

        Raises LeaseLostError.
        """
        claimed.ending = True
        if not await answer_of(tell):
            raise LeaseLostError

    async def _leave(self, claimed: ClaimedJob) -> None:
        """Write nothing more; if the job ended or was deleted meanwhile, nothing this attempt wrote is needed."""
        self._tasks.lost_lease()
        self._log.warning("the lease is over; the job is left as it is", attempts=claimed.job.attempts)
        try:
            await self._removals.clear(claimed.job)
        except Problem as problem:
            self._log.warning(f"not tidied: {problem}")

    async def _hand_back(self, claimed: ClaimedJob) -> None:
        try:
            released = await self._jobs.release(claimed.lease)
        except Problem as problem:
            self._log.warning(f"job not handed back, its lease will end: {problem}")
        else:
            self._log.info("job handed back", released=released)


def _with_lock(claimed: ClaimedJob, outcome: Outcome) -> Lease:
    """The lease, with the lock that its artifacts depend on."""
    grip = claimed.grip
    return replace(claimed.lease, lock=grip.lock.token) if grip and outcome.artifacts else claimed.lease


def _waited_s(job: Job) -> float:
    return (job.started_at - job.created_at).total_seconds() if job.started_at else 0.0
