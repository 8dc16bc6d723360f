"""One attempt at a claimed job: fetch, check, infer, store, and tell the store of its end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
from structlog.contextvars import bound_contextvars

from gateway.cache.cache import NewEntry
from gateway.cache.results import ModelVersions, Results, Work
from gateway.errors import Problem
from gateway.fetching.fetcher import Fetcher
from gateway.inference import Inferences, Turn
from gateway.intake.bodies import check_photo
from gateway.jobs.job import ImageReference, Job, Lease, NewJob, Outcome, StoredArtifact, outcome_of
from gateway.jobs.objects import ArtifactStore, Bucket, HeldLock, ObjectMissingError, parameters_key, with_original
from gateway.limits.admission import Turns
from gateway.limits.fairness import Owner
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments
from gateway.pipelines.outputs import Artifact, Failure
from gateway.pipelines.registry import Pipeline
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.timing import Backoff, Deadline, Stopwatch
from gateway.triton import Triton
from gateway.worker.retention import Removals

_PAUSE_S = 0.5
"""Between two questions to a store that is away."""
_WAIT_S = 60.0
"""How long to wait for the lock on the name: others may be removing old objects, or an attempt may have died."""


class LeaseLostError(Exception):
    """The lease is over: whoever works on its job writes nothing more."""


class ClaimedJob:
    """A job that this worker has claimed: its lease, and how to `renew` that for `lease_s` seconds of the clock.

    `lost`: another worker may have the job, so whoever works on it here writes nothing more. `ending`: the store is
    being told of the end, and its answer decides whether the lease held. `artifact_lock` is the lock under which the
    artifacts are written, if there are any.
    """

    def __init__(
        self,
        lease: Lease,
        renew: Callable[[Lease], Awaitable[bool]],
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lease = lease
        self.lost = False
        self.ending = False
        self.artifact_lock: HeldLock | None = None
        self._renew = renew
        self._lease_s = lease_s
        self._clock = clock

    @property
    def job(self) -> Job:
        """The job itself."""
        return self.lease.job

    async def confirm(self) -> None:
        """Return once the store says that the lease holds; the next renewal would tell of its loss too late.

        The request id of a deleted job is free at once, and the artifacts of the next job with that id have the same
        keys. Raises LeaseLostError.
        """
        while True:
            holds_until = self._clock() + self._lease_s
            if not await answer_of(lambda: self._renew(self.lease)):
                self.lost = True
                raise LeaseLostError
            if self._clock() < holds_until:  # not so where the process or the store stood still
                return


async def answer_of(ask: Callable[[], Awaitable[bool]]) -> bool:
    """The store's answer; while the store is away, it is asked again and again."""
    while True:
        try:
            return await ask()
        except Problem as problem:
            if problem.code != "store_unavailable":
                raise
        await anyio.sleep(_PAUSE_S)


class Execution:
    """Works on jobs until their outcome is known; Attempts tells the store of it."""

    def __init__(
        self, settings: Settings, stores: Stores, fetcher: Fetcher, triton: Triton, registry: Mapping[str, Pipeline]
    ) -> None:
        versions = ModelVersions(triton)
        self._results = Results(settings, stores.cache, versions)
        self._settings = settings
        self._photos = stores.photos
        self._fetcher = fetcher
        self._images = stores.images
        self._registry = registry
        self._artifacts = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)
        self._inferences = Inferences(self._results, triton, versions)
        self._turns = Turns(settings.service_concurrency)

    @asynccontextmanager
    async def done(self, claimed: ClaimedJob, watch: Stopwatch) -> AsyncIterator[tuple[Outcome, NewEntry | None]]:
        """The outcome, its artifacts stored, and the result to be kept, if it is a new one; `watch` times the stages.

        While the context lasts, nobody else computes the same result: tell the store of the end within it. Raises
        Problem where the photo is refused or a server does not answer; LeaseLostError, and then nothing is stored.
        """
        job = claimed.job
        deadline = Deadline(self._settings.request_timeout_s)
        pipeline = self._pipeline(job)
        with watch.stage("fetch"):
            photo, parameters = await self._fetch(job.request, deadline)
        work = Work(pipeline, photo, parameters, job.request.tenant)
        owner = Owner(job.request.tenant, job.request.owner)
        turn = Turn("queue", partial(self._turns.held, owner))  # the job has a worker, but not yet a model
        async with AsyncExitStack() as stack:
            inference = self._inferences.result(work, turn, deadline, watch)
            found, value = await stack.enter_async_context(inference)
            with watch.stage("store"):
                stored = await self._store(stack, claimed, with_original(job.request, photo, value.artifacts))
            entry = found.entry(value, str(job.id), job.created_at)
            if job.request.counted:
                self._results.count(found.hit or entry)
            yield outcome_of(value, stored, watch.timings_ms, cached=found.hit is not None), entry

    async def _store(
        self, stack: AsyncExitStack, claimed: ClaimedJob, artifacts: Sequence[Artifact]
    ) -> tuple[StoredArtifact, ...]:
        """Hold the keys until the job's end; while they are held, no other worker can write them."""
        if not artifacts:
            return ()
        request, size = claimed.job.request, sum(len(artifact.data) for artifact in artifacts)
        claimed.artifact_lock = await stack.enter_async_context(self._artifacts.held(request, _WAIT_S, size))
        await claimed.confirm()
        return await self._artifacts.store(claimed.artifact_lock, request, artifacts)

    def _pipeline(self, job: Job) -> Pipeline:
        pipeline = self._registry.get(job.request.pipeline)
        if pipeline is None:
            raise Problem("pipeline_not_found", f"This worker has no pipeline {job.request.pipeline!r}.")
        return pipeline

    async def _fetch(self, request: NewJob, deadline: Deadline) -> tuple[bytes, bytes]:
        """The photo and the parameters."""
        try:
            with deadline.enforce():
                photo = await self._photo(request.image)
                parameters = await read_parameters(self._photos, request)
        except TimeoutError as error:
            raise deadline.exceeded() from error
        check_photo(photo, self._settings.max_pixels)
        return photo, parameters

    async def _photo(self, image: ImageReference) -> bytes:
        """The encoded photo. Raises Problem, also what the fetcher says of a URL."""
        if image.kind == "url":
            return await self._fetcher.fetch(image.location)
        if image.kind == "s3":
            if self._images is None:
                raise Problem("invalid_parameters", "image: type s3 needs an S3 server; none is configured")
            return await self._images.get(image.location)
        return await _kept(self._photos, image.location, "The photo")


async def read_parameters(photos: Bucket, request: NewJob) -> bytes:
    """A job's parameters, a JSON object. Raises Problem `object_missing`, `storage_unavailable`."""
    if not request.parameters_stored:
        return request.parameters.encode()
    return await _kept(photos, parameters_key(request.id), "The object with the parameters")


async def _kept(photos: Bucket, key: str, what: str) -> bytes:
    """What came with a job. Raises Problem `object_missing`, `storage_unavailable`."""
    try:
        return (await photos.get(key)).data
    except ObjectMissingError as error:
        raise Problem("object_missing", f"{what} that came with the job is not there any more.") from error


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
        if claimed.job.started_at:
            watch.add("queue", (claimed.job.started_at - claimed.job.created_at).total_seconds())
        self._log.info("job begun", pipeline=claimed.job.request.pipeline, attempts=claimed.job.attempts)
        try:
            async with self._execution.done(claimed, watch) as (outcome, entry):
                await self._finish(claimed, outcome, entry)
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
        if claimed.artifact_lock and outcome.artifacts:
            claimed.artifact_lock.state = "spent"
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
    held = claimed.artifact_lock
    return replace(claimed.lease, lock=held.lock.token) if held and outcome.artifacts else claimed.lease
