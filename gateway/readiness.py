"""Whether a pipeline can serve, found out by letting it serve."""

import asyncio
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.deadline import Deadline
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import PROBLEMS, Problem
from gateway.triton import ModelState, Triton

_FRESH_S = 1.0
_PROBE_S = 5.0
_SIDE = 16


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
    """Probes the pipelines with a tiny photo, at most once a second however many ask.

    Triton's own ready endpoint says yes while a python model's process is dead, so it is not asked.
    """

    def __init__(self, triton: Triton, pipelines: Iterable[Pipeline]) -> None:
        self._triton = triton.impatient()
        self._pipelines = tuple(pipelines)
        self._lock = asyncio.Lock()
        self._photo = tiny_png()
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
            await self._triton.infer(model, self._photo, b"{}", Deadline(_PROBE_S))
        except Problem as problem:
            missing = problem.code == "model_missing"
            return None if missing else PROBLEMS[problem.code].status in range(400, 500)
        return True


def tiny_png() -> bytes:
    """A grey PNG of 16×16 pixels, 8-bit RGB."""
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x80" * 3 * _SIDE) * _SIDE
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
