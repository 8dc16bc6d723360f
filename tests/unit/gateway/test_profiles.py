"""Which model a gateway asks when Triton was started anew with others, and what it keeps of the answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from gateway.cache.results import ModelVersions, Results
from gateway.errors import Problem
from gateway.inference import Inferences, Turn, made_by_header
from gateway.memory.cache import MemoryCache
from gateway.pipelines.outputs import InferenceResult
from gateway.settings import Settings
from gateway.timing import Deadline, Stopwatch
from gateway.triton import weights_in, weights_text
from tests.unit.gateway.cache.making import Index, parameters, work
from tests.unit.gateway.memory.making import Clock

LITE, FULL = "face_contours_lite", "face_contours_full"
SEARCHED = work(parameters=parameters(None))


class Restarted(Index):
    """A Triton that has either model."""

    async def infer(self, model: str, *_: object) -> InferenceResult:
        if model not in self.states:
            raise Problem("model_missing", model)
        return InferenceResult({"status": "completed"}, ())


@asynccontextmanager
async def no_wait(_: Deadline) -> AsyncIterator[None]:
    yield


async def made(inferences: Inferences) -> tuple[object, bool]:
    """Who made the result, and whether it may be kept."""
    turn = Turn("wait", no_wait)
    async with inferences.result(SEARCHED, turn, Deadline(5), Stopwatch()) as (found, value):
        return value.result.get("made_by"), found.entry(value, "id", datetime.now(UTC)) is not None


async def test_a_restarted_triton_is_asked_for_what_it_has_and_nothing_is_kept_under_the_old_key() -> None:
    triton = Restarted({LITE: "1"}, weights_text("d", {"face_landmark": "a" * 64}))
    settings, versions = Settings(), ModelVersions(triton)
    inferences = Inferences(Results(settings, MemoryCache(settings, Clock()), versions), triton, versions)
    lite = {"profile": "lite", "model": LITE, "weights": {"face_landmark": "a" * 64}}
    assert await made(inferences) == (lite, True)
    triton.states = {FULL: "1"}
    full = {**lite, "profile": "full", "model": FULL}
    assert await made(inferences) == (full, False)
    assert await made(inferences) == (full, True)


async def test_a_model_that_nobody_has_stays_missing() -> None:
    triton = Restarted({"other": "1"})
    settings, versions = Settings(), ModelVersions(triton)
    with pytest.raises(Problem, match="model_missing"):
        await made(Inferences(Results(settings, MemoryCache(settings, Clock()), versions), triton, versions))


@pytest.mark.parametrize("text", ["", "32 bits", "[]", "{}", '{"networks": 1}', '{"networks": ["a"]}'])
def test_weights_that_nobody_wrote_are_none(text: str) -> None:
    assert weights_in(text) == {}


def test_the_header_tells_each_networks_digest() -> None:
    maker = {"profile": "full", "model": FULL, "weights": {"bisenet_face": "ab"}}
    assert made_by_header({"made_by": maker}) == {"X-Made-By": f'full; model="{FULL}"; bisenet_face="ab"'}
    assert made_by_header({}) == {}
