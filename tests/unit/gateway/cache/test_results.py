"""What requests make of the cache, on one in memory."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.cache.cache import Cache, CachedResult
from gateway.cache.results import LARGEST_ENTRY, ModelVersions, Results, Work, code_digest
from gateway.errors import Problem
from gateway.inference import computed, inference_of
from gateway.memory.cache import MemoryCache
from gateway.pipelines.outputs import Artifact, InferenceResult
from gateway.settings import Settings
from gateway.timing import Deadline
from tests.cache_contract import DRAWN, NOW, REFUSED
from tests.unit.gateway.cache.making import FACE, Index, parameters, work
from tests.unit.gateway.cache.test_keys import REENCODED
from tests.unit.gateway.memory.making import Clock

OTHER = replace(DRAWN, processing_ms=1.0)


def results_of(cache: Cache | None = None, index: Index | None = None, **settings: object) -> Results:
    given = Settings(**settings)
    return Results(given, cache or MemoryCache(given, Clock()), ModelVersions(index or Index()))


async def served(results: Results, wanted: Work, value: CachedResult = DRAWN) -> tuple[CachedResult, str | None]:
    """What a request gets: from the cache, or the value, which is then kept."""
    async with results.reserved(wanted, Deadline(5)) as found:
        if found.hit is None:
            await asyncio.sleep(0)
            await results.keep(found.entry(value, "task", NOW))
        return (found.hit.value if found.hit else value), found.headers.get("Cache-Status")


async def test_the_second_of_two_equal_requests_is_served():
    results = results_of()
    assert await served(results, work()) == (DRAWN, "Maskwright; fwd=miss")
    assert await served(results, work(), OTHER) == (DRAWN, "Maskwright; hit")
    assert (await results.find(work())).value == DRAWN
    assert await served(results, work(parameters=parameters(frame="source")), OTHER) == (OTHER, "Maskwright; fwd=miss")


async def test_many_at_once_compute_once():
    results = results_of()
    answers = await asyncio.gather(*(served(results, work(), replace(DRAWN, processing_ms=n)) for n in range(100)))
    assert {value.processing_ms for value, _ in answers} == {0}
    assert [status for _, status in answers].count("Maskwright; fwd=miss") == 1


async def test_the_next_request_computes_after_a_cancelled_one():
    """Also where one of those that waited was cancelled; work of another key never waits."""
    results, entered = results_of(), asyncio.Event()

    async def hang() -> None:
        async with results.reserved(work(), Deadline(60)):
            entered.set()
            await asyncio.Event().wait()

    hanging, waiting = asyncio.create_task(hang()), asyncio.create_task(hang())
    await entered.wait()
    assert (await served(results, work(b"other")))[0] == DRAWN
    waiting.cancel()
    hanging.cancel()
    await asyncio.wait([hanging, waiting])
    assert await served(results, work()) == (DRAWN, "Maskwright; fwd=miss")


@pytest.mark.parametrize(("code", "times"), [("triton_unavailable", 1), ("inference_failed", 1), ("queue_full", 10)])
async def test_a_second_caller_gets_the_first_callers_failure(code: str, times: int):
    """Each would wait for Triton as long again, one after the other; whoever comes later asks anew."""
    results, computations = results_of(), []

    async def fail(number: int) -> None:
        async with results.reserved(work(), Deadline(5)):
            computations.append(number)
            await asyncio.sleep(0)
            raise Problem(code, "away", retry_after=3)

    failures = await asyncio.gather(*map(fail, range(10)), return_exceptions=True)
    assert len(computations) == times
    assert {(failure.code, failure.headers["Retry-After"]) for failure in failures} == {(code, "3")}
    assert await served(results, work()) == (DRAWN, "Maskwright; fwd=miss")


async def test_a_caller_after_a_failure_does_not_get_that_failure():
    """Though some who waited for it have not been told yet."""
    results, reserving, failing = results_of(), asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        async with results.reserved(work(), Deadline(5)):
            reserving.set()
            await failing.wait()
            raise Problem("triton_unavailable", "away")

    telling = asyncio.gather(*(fail() for _ in range(10)), return_exceptions=True)
    await reserving.wait()
    failing.set()
    await asyncio.sleep(0)
    assert await served(results, work()) == (DRAWN, "Maskwright; fwd=miss")
    await telling


async def test_a_caller_who_waits_too_long_gets_a_retry_time():
    results = results_of()
    async with results.reserved(work(), Deadline(5)):
        with pytest.raises(Problem, match="deadline_exceeded"):
            async with results.reserved(work(), Deadline(0.05)):
                pass


async def test_new_models_serve_no_old_results(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.cache.results._FRESH_S", 0.0)
    index = Index()
    results = results_of(index=index)
    await served(results, work())
    index.states = {"face_contours_given": "2"}
    while await results.find(work()):
        await asyncio.sleep(0)
    assert await served(results, work(), OTHER) == (OTHER, "Maskwright; fwd=miss")


async def test_a_new_namespace_serves_no_old_results():
    cache = MemoryCache(Settings(), Clock())
    await served(results_of(cache), work())
    assert (await served(results_of(cache, cache_namespace="2"), work(), OTHER))[0] == OTHER


async def test_refusals_live_shorter():
    clock = Clock()
    settings = {"cache_ttl_hours": 2, "cache_failure_ttl_hours": 1}
    results = results_of(MemoryCache(Settings(), clock), **settings)
    await served(results, work(), REFUSED)
    await served(results, work(b"other"), DRAWN)
    assert (await served(results, work(), DRAWN))[0] == REFUSED
    clock.forward(3600)
    assert await results.find(work()) is None
    assert await results.find(work(b"other")) is not None
    clock.forward(3600)
    assert await results.find(work(b"other")) is None


async def test_refusals_never_live_longer_than_results():
    clock = Clock()
    results = results_of(MemoryCache(Settings(), clock), cache_ttl_hours=0.5)
    await served(results, work(), REFUSED)
    clock.forward(1800)
    assert await results.find(work()) is None


async def test_a_too_large_result_is_not_cached():
    large = replace(DRAWN, artifacts=(Artifact("a.png", bytes(LARGEST_ENTRY + 1)),))
    results = results_of(memory_store_bytes=16 * LARGEST_ENTRY)
    await served(results, work(), large)
    assert await results.find(work()) is None


@pytest.mark.parametrize(
    "results",
    [results_of(cache_enabled=False), results_of(index=Index({}))],
    ids=["off", "no models known"],
)
async def test_every_request_is_computed_without_a_cache(results: Results):
    for _ in range(2):
        assert (await served(results, work()))[0] == DRAWN
    assert await results.find(work()) is None


@pytest.mark.parametrize(("bits", "shared"), [(0, False), (10, True)])
async def test_similar_requests_share_a_result_where_enabled(bits: int, shared: bool):  # noqa: FBT001 a case
    results = results_of(similarity_bits=bits)
    await served(results, work())
    assert (await served(results, work(REENCODED), OTHER))[0] == (DRAWN if shared else OTHER)


@pytest.mark.parametrize(
    "other",
    [
        work(parameters=parameters(np.add(FACE, (3.0, 0.0)))),
        work(parameters=parameters(np.multiply(FACE, (1.02, 1.0)))),
        work(parameters=parameters(None)),
        work(REENCODED, parameters=parameters(embed_image=True)),
    ],
    ids=["moved", "wider", "not given", "photo embedded"],
)
async def test_nobody_gets_the_contours_of_a_near_duplicate(other: Work):
    """The very same photo, as alike as two photos can be, but another face in it."""
    results = results_of(similarity_bits=15, similarity_tolerance=0.002)
    await served(results, work())
    assert await served(results, other, OTHER) == (OTHER, "Maskwright; fwd=miss")


class AwayCache(MemoryCache):
    """Its database does not answer."""

    asked = 0

    async def find(self, _key):
        self.asked += 1
        raise Problem("store_unavailable", "away")


async def test_requests_are_computed_while_the_cache_is_away():
    cache = AwayCache(Settings(), Clock())
    results = results_of(cache)
    with capture_logs() as logs:
        for _ in range(3):
            assert await served(results, work()) == (DRAWN, None)
    assert (cache.asked, len(logs)) == (1, 1)


class HangingCache(MemoryCache):
    """Its database says nothing until `refuse` is called."""

    def __init__(self, *given):
        super().__init__(*given)
        self.asked, self.refuse = asyncio.Event(), asyncio.Event()

    async def find(self, _key):
        self.asked.set()
        await self.refuse.wait()
        raise Problem("store_unavailable", "away")


async def test_only_one_request_probes_a_failed_cache(monkeypatch: pytest.MonkeyPatch):
    """The others do not wait with it."""
    cache = HangingCache(Settings(), Clock())
    results = results_of(cache)
    monkeypatch.setattr(results, "_away_until", 0.0)
    asking = asyncio.create_task(served(results, work()))
    await cache.asked.wait()
    assert await asyncio.wait_for(served(results, work(), OTHER), 5) == (OTHER, None)
    cache.refuse.set()
    assert await asking == (DRAWN, None)


async def test_the_cache_is_used_again_once_it_is_back(monkeypatch: pytest.MonkeyPatch):
    results = results_of()
    monkeypatch.setattr(results, "_away_until", 0.0)
    assert await served(results, work()) == (DRAWN, "Maskwright; fwd=miss")
    assert await served(results, work(), OTHER) == (DRAWN, "Maskwright; hit")


async def raising(code: str) -> InferenceResult:
    raise Problem(code, "why")


async def test_input_errors_are_cached_as_results():
    value = await computed(lambda: raising("no_person"))
    assert (value.failure.code, value.failure.detail) == ("no_person", "why")
    with pytest.raises(Problem, match="no_person: why") as raised:
        inference_of(value, {"Cache-Status": "hit"})
    assert raised.value.headers == {"Cache-Status": "hit"}


@pytest.mark.parametrize("code", ["triton_unavailable", "deadline_exceeded", "inference_failed", "queue_full"])
async def test_a_temporary_failure_is_not_cached(code: str):
    with pytest.raises(Problem, match=code):
        await computed(lambda: raising(code))


async def test_versions_are_asked_for_once_in_a_while(monkeypatch: pytest.MonkeyPatch):
    index = Index()
    versions = ModelVersions(index)
    said = await asyncio.gather(*(versions.current() for _ in range(10)))
    assert (index.asked, len(set(said))) == (1, 1)
    assert {"face_contours_given:1:", code_digest()} <= set(said[0].split("\n"))
    monkeypatch.setattr(index, "states", {})
    monkeypatch.setattr(versions, "_due_at", 0.0)
    assert await versions.current() == said[0]
    await asyncio.sleep(0)
    assert await versions.current() == said[0]


async def test_results_of_other_weights_are_not_served():
    cache = MemoryCache(Settings(), Clock())
    assert await served(results_of(cache, Index(made_of="32 bits")), work()) == (DRAWN, "Maskwright; fwd=miss")
    assert await served(results_of(cache, Index(made_of="8 bits")), work(), OTHER) == (OTHER, "Maskwright; fwd=miss")
    assert await served(results_of(cache, Index(made_of="32 bits")), work(), OTHER) == (DRAWN, "Maskwright; hit")


async def test_weights_that_are_not_heard_of_are_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    index = Index(made_of=None)
    versions = ModelVersions(index)
    assert await versions.current() is None
    monkeypatch.setattr(index, "made_of", "8 bits")
    monkeypatch.setattr(versions, "_due_at", 0.0)
    assert "face_contours_given:1:8 bits" in (await versions.current()).split("\n")
