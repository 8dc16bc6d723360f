"""The stages of one attempt at a job: fetch, check, infer, store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.cache.cache import NewEntry
from gateway.cache.keys import ModelVersions, Work
from gateway.cache.results import Results
from gateway.deadlines import Deadline
from gateway.errors import Problem
from gateway.fetching.fetcher import Fetcher
from gateway.inference import Inferences, Turn
from gateway.intake.images import check_photo
from gateway.jobs.artifacts import ArtifactStore
from gateway.jobs.job import Job, NewJob, Outcome, StoredArtifact, outcome_of
from gateway.jobs.objects import with_original
from gateway.limits.admission import Turns
from gateway.limits.sharing import Owner
from gateway.pipelines.registry import Pipeline
from gateway.results import Artifact, Stopwatch
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.triton import Triton
from gateway.worker.held import HeldLease
from gateway.worker.sources import Sources

_PATIENCE_S = 60.0
"""For who is at the objects of the same name: a removal of what was there before, or an attempt that died."""


@dataclass(frozen=True)
class Done:
    """How a job ends, and the result to be kept with it, if it is a new one."""

    outcome: Outcome
    entry: NewEntry | None


class Execution:
    """Runs jobs as far as their outcome; the store hears of it elsewhere."""

    def __init__(
        self, settings: Settings, stores: Stores, fetcher: Fetcher, triton: Triton, registry: Mapping[str, Pipeline]
    ) -> None:
        self._results = Results(settings, stores.cache, ModelVersions(triton))
        self._settings = settings
        self._sources = Sources(stores.photos, fetcher, stores.images)
        self._registry = registry
        self._keys = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)
        self._inferences = Inferences(self._results, triton)
        self._turns = Turns(settings.service_concurrency)

    @asynccontextmanager
    async def done(self, held: HeldLease, watch: Stopwatch) -> AsyncIterator[Done]:
        """The outcome, its artifacts stored; `watch` times the stages.

        While the context lasts nobody else computes the same result: it is there for the store to hear of the end.
        Raises Problem: what the photo is refused for, or what does not answer; LeaseLostError, and nothing is stored.
        """
        job = held.job
        deadline = Deadline(self._settings.request_timeout_s)
        pipeline = self._pipeline(job)
        with watch.stage("fetch"):
            photo, parameters = await self._fetch(job.request, deadline)
        work = Work(pipeline, photo, parameters, job.request.tenant)
        turn = Turn("queue", partial(self._turns.held, _owner_of(job)))  # the job has a worker, but not yet a model
        async with AsyncExitStack() as stack:
            inference = self._inferences.result(work, turn, deadline, watch)
            found, value = await stack.enter_async_context(inference)
            with watch.stage("store"):
                stored = await self._store(stack, held, with_original(job.request, photo, value.artifacts))
            entry = found.entry(value, str(job.id), job.created_at)
            if job.request.counted:
                self._results.count(found.hit or entry)
            yield Done(outcome_of(value, stored, watch.timings_ms, cached=found.hit is not None), entry)

    async def _store(
        self, stack: AsyncExitStack, held: HeldLease, artifacts: Sequence[Artifact]
    ) -> tuple[StoredArtifact, ...]:
        """The keys are held until the job's end; the lease that is found to hold by then is nobody else's meanwhile."""
        if not artifacts:
            return ()
        request, size = held.job.request, sum(len(artifact.data) for artifact in artifacts)
        held.grip = await stack.enter_async_context(self._keys.held(request, _PATIENCE_S, size))
        await held.secured()
        return await self._keys.store(held.grip, request, artifacts)

    def _pipeline(self, job: Job) -> Pipeline:
        pipeline = self._registry.get(job.request.pipeline)
        if pipeline is None:
            raise Problem("pipeline_not_found", f"This worker has no pipeline {job.request.pipeline!r}.")
        return pipeline

    async def _fetch(self, request: NewJob, deadline: Deadline) -> tuple[bytes, bytes]:
        """The photo and the parameters."""
        try:
            with deadline.enforce():
                photo = await self._sources.photo(request.image)
                parameters = await self._sources.parameters(request)
        except TimeoutError as error:
            raise deadline.exceeded() from error
        check_photo(photo, self._settings.max_pixels)
        return photo, parameters


def _owner_of(job: Job) -> Owner:
    """Who waits for the job: a user, of a tenant."""
    return Owner(job.request.tenant, job.request.owner)
