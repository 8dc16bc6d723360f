"""The cache as the facial region service shows it, on both kinds of stores."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from gateway.cache.cache import CachedResult, CacheHit, CacheKey, NewEntry
from gateway.http.facial_contours import CacheEntry, CacheFigures
from gateway.pipelines.outputs import Artifact, Failure
from tests.integration.gateway.jobs.house import House, until

CACHE = "/api/v1/cache"
REGIONS = {"status": "completed", "faces": [{"landmarks": 68, "regions": [{"number": 1, "name": "nose"}]}]}
DRAWN = CachedResult(REGIONS, (Artifact("contours.svg", b"<svg/>"),), None, 80.0)
REFUSED = CachedResult({}, (), Failure("no_face", "nobody there"), 20.0)
HOUR_S = 3600.0


def entry(value: CachedResult, age_s: float = 0.0, life_s: float = HOUR_S) -> NewEntry:
    came = datetime.now(UTC) - timedelta(seconds=age_s)
    return NewEntry(CacheKey("face_contours", uuid4().bytes * 2), uuid4().hex, came, value, life_s)


async def test_the_cache_is_shown_in_the_words_of_the_service_before(house: House) -> None:
    cache, (drawn, refused) = house.stores.cache, (entry(DRAWN, age_s=60), entry(REFUSED))
    before = (await house.client.get(f"{CACHE}/stats")).json()
    for kept in (drawn, refused):
        await cache.keep(kept)
        cache.count(kept)
    for _ in range(2):
        cache.count(CacheHit(drawn.key, drawn.value))

    async def counted() -> bool:
        return (await house.client.get(f"{CACHE}/stats")).json()["cache_hits"] == before["cache_hits"] + 2

    await until(counted, "the hits are counted")
    stats = (await house.client.get(f"{CACHE}/stats", params={"days": 1})).json()
    assert CacheFigures.model_validate(stats).model_dump() == stats
    assert stats["period_days"] == 1
    assert (stats["total_requests"], stats["cache_hits"], stats["cache_hit_ratio"]) == (4, 2, 50.0)
    assert (stats["successful_tasks"], stats["failed_tasks"], stats["total_cached_entries"]) == (1, 1, 2)
    assert (stats["avg_processing_time_ms"], stats["cache_efficiency"]) == (50.0, 61.54)
    first, second = (await house.client.get(f"{CACHE}/recent", params={"limit": 2})).json()
    assert CacheEntry.model_validate(first).model_dump() == first
    assert {**first, "task_id": refused.task_id, "status": "FAILURE", "error_type": "no_face", "cache_hits": 0} == first
    assert {**second, "task_id": drawn.task_id, "status": "SUCCESS", "error_type": None, "cache_hits": 2} == second
    assert (second["regions_detected"], second["processing_time_ms"]) == (1, 80.0)
    assert datetime.fromisoformat(second["submitted_at"]) == drawn.submitted_at


async def test_a_cleanup_removes_what_is_too_old(house: House) -> None:
    await house.stores.cache.keep(entry(DRAWN))
    await house.client.post(f"{CACHE}/cleanup")
    await house.stores.cache.keep(entry(DRAWN, life_s=0.0))
    answer = (await house.client.post(f"{CACHE}/cleanup")).json()
    assert answer["deleted_entries"] == 1
    assert answer["message"].startswith("1 ")
    assert abs(datetime.fromisoformat(answer["timestamp"]).timestamp() - _now()) < 60
    assert (await house.client.post(f"{CACHE}/cleanup")).json()["deleted_entries"] == 0


def _now() -> float:
    return datetime.now(UTC).timestamp()


@pytest.mark.parametrize(
    "address", ["stats?days=0", "stats?days=31", "stats?days=x", "recent?limit=0", "recent?limit=51"]
)
async def test_refusals(house: House, address: str) -> None:
    answer = await house.client.get(f"{CACHE}/{address}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameters")


@pytest.mark.parametrize(("address", "count"), [("stats?days=30", 30), ("stats", 7), ("stats?days=1", 1)])
async def test_periods(house: House, address: str, count: int) -> None:
    assert (await house.client.get(f"{CACHE}/{address}")).json()["period_days"] == count
