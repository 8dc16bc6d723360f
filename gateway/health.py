"""Whether a pipeline can serve, found out by asking it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.deadlines import Deadline, answer_within
from gateway.errors import PROBLEMS, Problem
from gateway.jobs.bucket import Bucket
from gateway.jobs.store import QueueCounts
from gateway.pipelines.pipeline import Pipeline
from gateway.stores import Stores
from gateway.triton import ModelState, Triton

_FRESH_S = 1.0
_PROBE_S = 5.0


@dataclass(frozen=True)
class Readiness:
    """Each pipeline's readiness by name, and the models' states."""

    pipelines: Mapping[str, bool]
    models: tuple[ModelState, ...]

    @property
    def ready(self) -> bool:
        """Whether every pipeline can serve."""
        return all(self.pipelines.values())


class Prober:
    """Probes the pipelines with a photo that is none, at most once a second however many ask.

    Triton's own ready endpoint says yes while a python model's process is dead, so it is not asked. That there is no
    photo is answered by that process; the models, which the launcher tries when they start, would take a third of each
    second.
    """

    def __init__(self, triton: Triton, pipelines: Iterable[Pipeline]) -> None:
        self._triton = triton.impatient()
        self._pipelines = tuple(pipelines)
        self._lock = asyncio.Lock()
        self._taken_at = float("-inf")
        self._readiness = Readiness({}, ())

    async def readiness(self) -> Readiness:
        """What the last second's probe said, or a new one's answer."""
        async with self._lock:
            clock = asyncio.get_running_loop().time
            if clock() - self._taken_at > _FRESH_S:
                self._readiness = await self._probe()
                self._taken_at = clock()
            return self._readiness

    async def _probe(self) -> Readiness:
        served = asyncio.gather(*(self._serves(pipeline) for pipeline in self._pipelines))
        answers, models = await asyncio.gather(served, self._triton.models(_PROBE_S))
        names = (pipeline.name for pipeline in self._pipelines)
        return Readiness(dict(zip(names, answers, strict=True)), models)

    async def _serves(self, pipeline: Pipeline) -> bool:
        """Whether its models answer; one that was never brought here makes only what needs it unavailable."""
        answers = await asyncio.gather(*(self._answers(model) for model in pipeline.models))
        here = [answer for answer in answers if answer is not None]
        return bool(here) and all(here)

    async def _answers(self, model: str) -> bool | None:
        """None where Triton has no such model."""
        try:
            await self._triton.infer(model, b"", b"{}", Deadline(_PROBE_S))
        except Problem as problem:
            missing = problem.code == "model_missing"
            return None if missing else PROBLEMS[problem.code].status in range(400, 500)
        return True


_ASK_S = 2.0
"""How long a store is waited for: probes themselves give up after some seconds."""


@dataclass(frozen=True)
class StoreHealth:
    """The queue's counts, None where the database does not answer, and why; whether both buckets do."""

    counts: QueueCounts | None
    buckets: bool
    fault: str = ""

    @property
    def ready(self) -> bool:
        """Whether jobs can be taken in."""
        return self.counts is not None and self.buckets


class StoreProber:
    """Asks at most once a second, however many want to know."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._lock = asyncio.Lock()
        self._taken_at = float("-inf")
        self._health = StoreHealth(None, buckets=False)

    async def health(self) -> StoreHealth:
        """What the last second's question said, or a new one's answer."""
        async with self._lock:
            clock = asyncio.get_running_loop().time
            if clock() - self._taken_at > _FRESH_S:
                self._health = await self._ask()
                self._taken_at = clock()
            return self._health

    async def _ask(self) -> StoreHealth:
        counts, photos, artifacts = await asyncio.gather(
            answer_within(_ASK_S, self._stores.jobs.counts()),
            answer_within(_ASK_S, _answers(self._stores.photos)),
            answer_within(_ASK_S, _answers(self._stores.artifacts)),
        )
        fault = "" if counts else self._stores.database_fault() or f"no answer within {_ASK_S:g} s"
        return StoreHealth(counts, bool(photos and artifacts), fault)


async def _answers(bucket: Bucket) -> bool:
    """True, or a Problem."""
    await bucket.check()
    return True
