"""Whether a pipeline can serve, found out by asking it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.deadline import Deadline
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import PROBLEMS, Problem
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
