"""What any cache does: run on the one in memory and on the one in PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from gateway.cache.cache import ALL_DAYS, Cache, CachedResult, CacheHit, CacheKey, NewEntry, Similarity
from gateway.pipelines.outputs import Artifact, Failure

HOUR_S = 3600.0
RESULT = {"status": "completed", "note": "a\0b", "faces": [{"regions": [{"number": 1}, {"number": 2}]}]}
ARTIFACTS = (
    Artifact("contours.json", b'{"a": 1}'),
    Artifact("contours.svg", b"<svg/>"),
    Artifact("face_1/contours.svg", b""),
    Artifact("mask.png", bytes(range(256))),
)
DRAWN = CachedResult(RESULT, ARTIFACTS, None, 80.0)
REFUSED = CachedResult({}, (), Failure("no_face", "nobody\0 there"), 20.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACE = np.stack([np.linspace(100, 400, 478), np.linspace(50, 450, 478)], axis=1).astype(np.float32)


def key(number: int = 1, pipeline: str = "face_contours") -> CacheKey:
    return CacheKey(pipeline, number.to_bytes(32, "big"))


def entry(number: int = 1, value: CachedResult = DRAWN, **changes: object) -> NewEntry:
    made = NewEntry(key(number), f"task-{number}", NOW + timedelta(seconds=number), value, HOUR_S)
    return replace(made, **changes)


def similarity(photo_hash: int = 0, moved: float = 0.0, **changes: object) -> Similarity:
    """Of one face, its landmarks moved by so many pixels."""
    made = Similarity(b"g" * 32, photo_hash, (FACE + np.float32([moved, 0])).tobytes(), tolerance=1.0)
    return replace(made, **changes)


async def keeps_results(cache: Cache) -> None:
    """A result comes back as it was kept, the later one of two under one key; another key has none."""
    assert await cache.find(key()) is None
    await cache.keep(entry(value=REFUSED))
    await cache.keep(entry())
    await cache.keep(entry(2, DRAWN))
    assert await cache.find(key()) == CacheHit(key(), DRAWN)
    assert await cache.find(key(3)) is None


async def keeps_refusals(cache: Cache) -> None:
    """Why there is no result comes back too."""
    await cache.keep(entry(value=REFUSED))
    hit = await cache.find(key())
    assert hit is not None
    assert (hit.value.failure.code, hit.value.artifacts) == ("no_face", ())


async def counts(cache: Cache) -> None:
    """Hits, computations and what they took, by what was served."""
    for number, value in enumerate((DRAWN, REFUSED), 1):
        await cache.keep(entry(number, value))
        cache.count(entry(number, value))
    for _ in range(3):
        cache.count(await cache.find(key(1)))
    stats, totals = await cache.stats(1), await cache.stats(ALL_DAYS)
    assert (stats.requests, stats.hits, stats.successes, stats.failures, stats.entries) == (5, 3, 1, 1, 2)
    assert (stats.spent_ms, stats.saved_ms) == (100.0, 240.0)
    assert (stats.hit_ratio, stats.average_ms, round(stats.efficiency, 3)) == (0.6, 50.0, 0.706)
    assert (totals.requests, totals.hits, totals.entries, totals.bytes) == (5, 3, 2, stats.bytes)
    assert stats.bytes > sum(len(artifact.data) for artifact in ARTIFACTS)


async def lists_entries(cache: Cache) -> None:
    """The newest first, with their hits; as many as are wanted."""
    for number, value in enumerate((DRAWN, REFUSED, replace(DRAWN, result={"persons": []})), 1):
        await cache.keep(entry(number, value))
    cache.count(CacheHit(key(1), DRAWN))
    newest, refused, oldest = await cache.recent(10)
    assert (newest.task_id, newest.regions) == ("task-3", None)
    assert (refused.status, refused.error_type, refused.hits) == ("FAILURE", "no_face", 0)
    assert (oldest.status, oldest.regions, oldest.hits, oldest.processing_ms) == ("SUCCESS", 2, 1, 80.0)
    assert oldest.submitted_at == NOW + timedelta(seconds=1)
    assert [task.task_id for task in await cache.recent(2)] == ["task-3", "task-2"]


async def finds_the_like(cache: Cache) -> None:
    """Near hashes, near landmarks, everything else equal: each of them is needed."""
    await cache.keep(entry(1, similarity=similarity(0b1111)))
    await cache.keep(entry(2, REFUSED))
    assert await cache.find_similar(similarity(0b1111), 0) == CacheHit(key(1), DRAWN)
    assert await cache.find_similar(similarity(0b1111, moved=0.9), 0) == CacheHit(key(1), DRAWN)
    assert await cache.find_similar(similarity(0b0000), 4) == CacheHit(key(1), DRAWN)
    assert await cache.find_similar(similarity(0b0000), 3) is None
    assert await cache.find_similar(similarity(0b1111, moved=1.1), 15) is None
    assert await cache.find_similar(similarity(0b1111, group=b"h" * 32), 15) is None
    fewer = FACE[:68].tobytes()
    assert await cache.find_similar(similarity(0b1111, landmarks=fewer), 15) is None


async def takes_the_nearest(cache: Cache) -> None:
    """Of two that are near enough, the one whose hash is nearer; of equal hashes, the one that is the same face."""
    await cache.keep(entry(1, similarity=similarity(0b111)))
    await cache.keep(entry(2, similarity=similarity(0b1)))
    await cache.keep(entry(3, similarity=similarity(0b0, moved=50)))
    assert (await cache.find_similar(similarity(0b0), 3)).key == key(2)
    assert (await cache.find_similar(similarity(0b0, moved=50), 3)).key == key(3)


async def evicts_from_whoever_keeps_most(cache: Cache, max_bytes: int) -> None:
    """Of a cache that keeps so much at most: a tenant that fills it loses its own, and one below its share nothing."""

    async def keep(tenant: str, number: int, share: float) -> None:
        value = CachedResult({}, (Artifact("a.png", bytes(int(share * max_bytes))),), None, 1.0)
        await cache.keep(entry(number, value, key=replace(key(number), tenant=tenant)))

    await keep("small", 1, 0.1)
    for number in (2, 3):
        await keep("middle", number, 0.1)
    for number in range(10, 28):
        await keep("large", number, 0.09)
    await cache.cleanup()
    left = [number for number in (1, 2, 3, *range(10, 28)) if await cache.find(key(number))]
    assert left == [1, 2, 3, *range(21, 28)]
    await keep("small", 4, 0.15)
    await keep("late", 5, 0.2)
    await cache.cleanup()
    left = [number for number in (1, 2, 3, 4, 5, *range(21, 28)) if await cache.find(key(number))]
    assert left == [1, 2, 3, 4, 5, 25, 26, 27]


CONTRACT = (
    keeps_results,
    keeps_refusals,
    counts,
    lists_entries,
    finds_the_like,
    takes_the_nearest,
)
