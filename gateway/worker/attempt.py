"""One attempt at a job: from a lease to what the store is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from structlog.contextvars import bound_contextvars

from gateway.cache.cache import NewEntry
from gateway.errors import Problem
from gateway.jobs.job import Job, Lease, Outcome
from gateway.logs import get_logger
from gateway.results import Failure, Stopwatch
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.worker import retries
from gateway.worker.execution import Execution
from gateway.worker.held import HeldLease, LeaseLostError, answer_of
from gateway.worker.objects import JobObjects, Removals

_PASSING = frozenset({"pipeline_not_found"})
"""What this worker lacks may be there in a newer one, while workers are replaced one by one."""


class Attempts:
    """Makes attempts; each ends with the job finished, due again, or handed back."""

    def __init__(self, settings: Settings, stores: Stores, execution: Execution) -> None:
        self._max_retries = settings.max_retries
        self._jobs = stores.jobs
        self._objects = JobObjects(stores)
        self._removals = Removals(stores)
        self._execution = execution
        self._log = get_logger("gateway.worker")

    async def make(self, held: HeldLease) -> None:
        """Work on the job until it ended; cancelled, hand it back, or leave it to whoever has it now."""
        request = held.job.request
        names = {"user_id": request.user_id, "request_id": request.request_id, "trace_id": request.trace_id}
        with bound_contextvars(job_id=str(request.id), **names):
            try:
                await self._work(held)
            except LeaseLostError:
                await self._leave(held)
            except asyncio.CancelledError:
                await (self._leave(held) if held.lost else self._hand_back(held))

    async def _work(self, held: HeldLease) -> None:
        watch = Stopwatch()
        watch.add("queue", _waited_s(held.job))
        self._log.info("job begun", pipeline=held.job.request.pipeline, attempts=held.job.attempts)
        try:
            async with self._execution.done(held, watch) as done:
                await self._finish(held, done.outcome, done.entry)
        except LeaseLostError:
            raise
        except Problem as problem:
            await self._fail(held, problem, watch)
        except Exception as error:  # noqa: BLE001 a bug that one job brings out must not end the others
            self._log.error("unexpected error", exc_info=error)
            await self._fail(held, Problem("internal_error", "The log has the details."), watch)

    async def _fail(self, held: HeldLease, problem: Problem, watch: Stopwatch) -> None:
        failure = Failure(problem.code, problem.detail)
        if (problem.transient or problem.code in _PASSING) and held.job.attempts <= self._max_retries:
            await self._retry(held, failure)
        else:
            await self._finish(held, Outcome(failure=failure, timings_ms=watch.timings_ms))

    async def _retry(self, held: HeldLease, failure: Failure) -> None:
        delay_s = retries.delay_s(held.job.attempts)
        if not await self._told(held, lambda: self._jobs.retry(held.lease, failure, delay_s)):
            raise LeaseLostError
        self._log.warning(
            "job will be tried again",
            code=failure.code,
            detail=failure.detail,
            attempts=held.job.attempts,
            delay_s=round(delay_s, 1),
        )

    async def _finish(self, held: HeldLease, outcome: Outcome, entry: NewEntry | None = None) -> None:
        if not await self._told(held, lambda: self._jobs.finish(_with_hold(held, outcome), outcome, entry)):
            raise LeaseLostError
        if held.grip and outcome.artifacts:
            held.grip.state = "spent"
        self._log_end(held.job, outcome)
        await self._tidy(held.job, outcome.failure)

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

    async def _told(self, held: HeldLease, tell: Callable[[], Awaitable[bool]]) -> bool:
        """Tell the store, however long it is away; a lease that ran out meanwhile may still hold there."""
        held.ending = True
        return await answer_of(tell)

    async def _leave(self, held: HeldLease) -> None:
        """Write nothing more; if the job ended or was deleted meanwhile, nothing this attempt wrote is needed."""
        self._log.warning("the lease is over; the job is left as it is", attempts=held.job.attempts)
        try:
            await self._removals.clear(held.job)
        except Problem as problem:
            self._log.warning(f"not tidied: {problem}")

    async def _hand_back(self, held: HeldLease) -> None:
        try:
            released = await self._jobs.release(held.lease)
        except Problem as problem:
            self._log.warning(f"job not handed back, its lease will end: {problem}")
        else:
            self._log.info("job handed back", released=released)

    async def _tidy(self, job: Job, failure: Failure | None) -> None:
        try:
            await self._objects.tidy(job, failure)
        except Problem as problem:
            self._log.warning(f"not tidied: {problem}")


def _with_hold(held: HeldLease, outcome: Outcome) -> Lease:
    """The lease, with the hold that its artifacts depend on."""
    return replace(held.lease, lock=held.grip.lock.token) if held.grip and outcome.artifacts else held.lease


def _waited_s(job: Job) -> float:
    return (job.started_at - job.created_at).total_seconds() if job.started_at else 0.0
