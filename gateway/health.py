"""Whether the pipelines and the stores work: they are asked once a second at most, however many want to know."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.deadlines import Deadline, Remembered, answer_within
from gateway.errors import PROBLEMS, Problem
from gateway.jobs.objects import Bucket
from gateway.jobs.store import QueueCounts
from gateway.pipelines.registry import Pipeline
from gateway.stores import Stores
from gateway.triton import ModelState, Triton

_FRESH_S = 1.0
_TRITON_S = 5.0
_STORE_S = 2.0
"""How long a store is waited for: probes themselves give up after some seconds."""


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
    """Sends each pipeline a request without a photo, which its model must refuse.

    Triton's own ready endpoint says yes while a python model's process is dead, so it is not asked. A real photo would
    have the networks run as well, which would take a third of each second; the launcher tries them at the start.
    """

    def __init__(self, triton: Triton, pipelines: Iterable[Pipeline]) -> None:
        self._triton = triton.impatient()
        self._pipelines = tuple(pipelines)
        self._known = Remembered(self._probe, _FRESH_S)

    async def readiness(self) -> Readiness:
        """What the last second's probe said, or a new one's answer."""
        return await self._known.get()

    async def _probe(self) -> Readiness:
        served = asyncio.gather(*(self._serves(pipeline) for pipeline in self._pipelines))
        answers, models = await asyncio.gather(served, self._triton.models(_TRITON_S))
        names = (pipeline.name for pipeline in self._pipelines)
        return Readiness(dict(zip(names, answers, strict=True)), models)

    async def _serves(self, pipeline: Pipeline) -> bool:
        """Whether all its models answer, of those that Triton has."""
        answers = await asyncio.gather(*(self._answers(model) for model in pipeline.models))
        present = [answer for answer in answers if answer is not None]
        return bool(present) and all(present)

    async def _answers(self, model: str) -> bool | None:
        """None where Triton has no such model."""
        try:
            await self._triton.infer(model, b"", b"{}", Deadline(_TRITON_S))
        except Problem as problem:
            missing = problem.code == "model_missing"
            return None if missing else PROBLEMS[problem.code].status in range(400, 500)
        return True


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
    """Asks the database for its counts, and both buckets whether they are there."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._known = Remembered(self._ask, _FRESH_S)

    async def health(self) -> StoreHealth:
        """What the last second's question said, or a new one's answer."""
        return await self._known.get()

    async def _ask(self) -> StoreHealth:
        counts, photos, artifacts = await asyncio.gather(
            answer_within(_STORE_S, self._stores.jobs.counts()),
            answer_within(_STORE_S, _answers(self._stores.photos)),
            answer_within(_STORE_S, _answers(self._stores.artifacts)),
        )
        fault = "" if counts else self._stores.database_fault() or f"no answer within {_STORE_S:g} s"
        return StoreHealth(counts, bool(photos and artifacts), fault)


async def _answers(bucket: Bucket) -> bool:
    """True. Raises Problem where it does not answer."""
    await bucket.check()
    return True
