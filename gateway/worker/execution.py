"""The stages of one attempt at a job: fetch, check, infer, store."""

import asyncio
import time
from collections.abc import Mapping

from gateway.admission import Admission
from gateway.artifacts import Artifact, InferenceResult
from gateway.deadline import Deadline
from gateway.fetching.fetcher import Fetcher
from gateway.jobs.job import ImageReference, Job, Outcome, StoredArtifact
from gateway.jobs.keys import artifact_key
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import Problem
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.triton import Triton
from gateway.worker.held import HeldLease
from gateway.worker.sources import Sources
from gateway.worker.stopwatch import Stopwatch
from vision.photo import PhotoError, inspect


class Execution:
    """Runs jobs as far as their outcome; the store hears of it elsewhere."""

    def __init__(
        self, settings: Settings, stores: Stores, fetcher: Fetcher, triton: Triton, registry: Mapping[str, Pipeline]
    ) -> None:
        self._settings = settings
        self._sources = Sources(stores.photos, fetcher, stores.images)
        self._triton = triton
        self._registry = registry
        self._artifacts = stores.artifacts
        self._admission = Admission(settings.queue_max_size, settings.service_concurrency)

    async def outcome(self, held: HeldLease, watch: Stopwatch) -> Outcome:
        """The outcome, its artifacts stored; `watch` times the stages.

        Raises Problem: what the photo is refused for, or what does not answer; LeaseLostError, and nothing is stored.
        """
        job = held.job
        pipeline = self._pipeline(job)
        deadline = Deadline(self._settings.request_timeout_s)
        with watch.stage("fetch"):
            photo = await self._fetch(job.request.image, deadline)
        inference = await self._infer(pipeline, photo, job.request.parameters.encode(), deadline, watch)
        await held.secured()
        with watch.stage("store"):
            stored = await self._store(job, inference.artifacts)
        return Outcome(inference.result, stored, None, watch.timings_ms)

    def _pipeline(self, job: Job) -> Pipeline:
        pipeline = self._registry.get(job.request.pipeline)
        if pipeline is None:
            raise Problem("pipeline_not_found", f"This worker has no pipeline {job.request.pipeline!r}.")
        return pipeline

    async def _fetch(self, image: ImageReference, deadline: Deadline) -> bytes:
        try:
            with deadline.enforce():
                photo = await self._sources.photo(image)
        except TimeoutError as error:
            raise deadline.exceeded() from error
        try:
            inspect(photo, max_pixels=self._settings.max_pixels)
        except PhotoError as error:
            raise Problem(error.code, error.detail) from error
        return photo

    async def _infer(
        self, pipeline: Pipeline, photo: bytes, parameters: bytes, deadline: Deadline, watch: Stopwatch
    ) -> InferenceResult:
        """The wait for a turn counts as waiting in the queue: the job has a worker, but not yet a model."""
        came = time.monotonic()
        async with self._admission.turn(deadline):
            watch.add("queue", time.monotonic() - came)
            with watch.stage("infer"):
                return await self._triton.infer(pipeline.model, photo, parameters, deadline)

    async def _store(self, job: Job, artifacts: tuple[Artifact, ...]) -> tuple[StoredArtifact, ...]:
        """Write all at the same time; every write has ended when this returns or raises."""
        written = await asyncio.gather(*(self._put(job, artifact) for artifact in artifacts), return_exceptions=True)
        for result in written:
            if isinstance(result, BaseException):
                raise result
        return tuple(result for result in written if isinstance(result, StoredArtifact))

    async def _put(self, job: Job, artifact: Artifact) -> StoredArtifact:
        key = artifact_key(job.request.user_id, job.request.request_id, artifact.name)
        await self._artifacts.put(key, artifact.data, artifact.media_type)
        return StoredArtifact(artifact.name, key, artifact.media_type, len(artifact.data))
