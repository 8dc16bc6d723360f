"""One result for one piece of work, for HTTP and for the worker: from the cache, or from Triton."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal

from gateway.cache.cache import CachedResult
from gateway.cache.results import ModelVersions, Reservation, Results, Work
from gateway.errors import Problem
from gateway.pipelines.outputs import Failure, InferenceResult, MadeBy
from gateway.pipelines.registry import Pipeline
from gateway.timing import Deadline, Stopwatch
from gateway.triton import Triton, weights_in


@dataclass(frozen=True)
class Turn:
    """A turn to ask Triton: `wait` returns when it comes, and holds it; the wait is timed as `stage`."""

    stage: Literal["wait", "queue"]
    wait: Callable[[Deadline], AbstractAsyncContextManager[None]]


class Inferences:
    """Results from the cache, and from Triton where the cache has none."""

    def __init__(self, results: Results, triton: Triton, versions: ModelVersions) -> None:
        self._results = results
        self._triton = triton
        self._versions = versions

    @asynccontextmanager
    async def result(
        self, work: Work, turn: Turn, deadline: Deadline, watch: Stopwatch
    ) -> AsyncIterator[tuple[Reservation, CachedResult]]:
        """Reserve the work, take a turn, infer; the caller keeps the result where the reservation says so.

        While the context lasts nobody else computes the same, so that others find what was kept. Raises Problem where
        there may be a result later.
        """
        async with AsyncExitStack() as stack:
            with watch.stage("cache"):
                found = await stack.enter_async_context(self._results.reserved(work, deadline))
            if found.hit:
                yield found, found.hit.value
                return
            keyed_by = self._versions.said
            value = await self._compute(work, turn, deadline, watch)
            # what other models made than the key tells of is not kept
            yield found if self._versions.said == keyed_by else replace(found, key=None), value

    async def _compute(self, work: Work, turn: Turn, deadline: Deadline, watch: Stopwatch) -> CachedResult:
        came = time.monotonic()
        async with turn.wait(deadline):
            watch.add(turn.stage, time.monotonic() - came)
            with watch.stage("infer"):
                return await computed(lambda: self._infer(work, deadline))

    async def _infer(self, work: Work, deadline: Deadline) -> InferenceResult:
        """Ask the model of the best profile that Triton has.

        If a Triton that was started anew has another one by now, it is asked again.
        """
        try:
            return await self._ask(work, await self._versions.served(), deadline)
        except Problem as problem:
            if problem.code != "model_missing" or not work.pipeline.full:
                raise
        return await self._ask(work, await self._versions.served_now(), deadline)

    async def _ask(self, work: Work, served: Mapping[str, str], deadline: Deadline) -> InferenceResult:
        model = work.pipeline.model_for(work.parameters, served)
        inference = await self._triton.infer(model, work.photo, work.parameters, deadline)
        maker = made_by(work.pipeline, model, served).model_dump()
        return InferenceResult({**inference.result, "made_by": maker}, inference.artifacts)


def made_by(pipeline: Pipeline, model: str, served: Mapping[str, str]) -> MadeBy:
    """What makes a result. `served` is what `ModelVersions.served` gives."""
    return MadeBy(profile=pipeline.profile_of(model), model=model, weights=weights_in(served.get(model, "")))


async def computed(infer: Callable[[], Awaitable[InferenceResult]]) -> CachedResult:
    """What the model gave, or why it never will. Raises Problem where it may later."""
    began = time.monotonic()
    inference, failure = InferenceResult({}, ()), None
    try:
        inference = await infer()
    except Problem as problem:
        if problem.transient:
            raise
        failure = Failure(problem.code, problem.detail)
    return CachedResult(inference.result, inference.artifacts, failure, (time.monotonic() - began) * 1000)


def inference_of(value: CachedResult, headers: Mapping[str, str]) -> InferenceResult:
    """What the model gave. Raises Problem, with these headers, where it refused."""
    if value.failure:
        raise Problem(value.failure.code, value.failure.detail, headers=headers)
    return InferenceResult(value.result, value.artifacts)


def made_by_header(result: Mapping[str, object]) -> Mapping[str, str]:
    """What made a result, as the header of an answer that has nothing but a file; none if the result does not say."""
    if "made_by" not in result:
        return {}
    maker = MadeBy.model_validate(result["made_by"])
    weights = "".join(f'; {name}="{digest}"' for name, digest in maker.weights.items())
    return {"X-Made-By": f'{maker.profile}; model="{maker.model}"{weights}'}
