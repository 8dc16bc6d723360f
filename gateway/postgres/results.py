"""Results as rows of the table `task_results`: keeps them, finds them by key, or for a similar photo."""

import base64
import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations

import asyncpg

from gateway.cache.cache import (
    CachedResult,
    CachedTask,
    CacheHit,
    CacheKey,
    NewEntry,
    Similarity,
    regions_of,
    result_text,
    size_of,
    status_of,
)
from gateway.logs import get_logger
from gateway.pipelines.outputs import Artifact, Failure
from gateway.postgres.connection import Connection, Row
from gateway.postgres.rows import clean

SVG = "contours.svg"
"""The artifact that a column of its own holds."""

_KEEP = """
INSERT INTO public.task_results AS kept (
    task_id, input_hash, status, result_data, svg_data, processing_time_ms, cache_hits, ttl_expires_at, submitted_at,
    completed_at, pipeline, error_type, error_detail, regions_detected, artifacts, content, bytes, used_at,
    likeness_group, perceptual_hash, landmarks, tenant
)
VALUES (
    $1, $2, $3, $4::text::json, $5, $6::float8, 0, now() + $7::float8 * interval '1 second', $8::timestamptz,
    now(), $9, $10, $11, $12, $13::text::json, $14, $15, now(), $16, $17, $18, $19
)
ON CONFLICT (input_hash) WHERE pipeline IS NOT NULL DO UPDATE SET
    task_id = excluded.task_id, status = excluded.status, result_data = excluded.result_data,
    svg_data = excluded.svg_data, processing_time_ms = excluded.processing_time_ms, cache_hits = 0,
    ttl_expires_at = excluded.ttl_expires_at, submitted_at = excluded.submitted_at,
    completed_at = excluded.completed_at, error_type = excluded.error_type, error_detail = excluded.error_detail,
    regions_detected = excluded.regions_detected, artifacts = excluded.artifacts, content = excluded.content,
    bytes = excluded.bytes, used_at = excluded.used_at, likeness_group = excluded.likeness_group,
    perceptual_hash = excluded.perceptual_hash, landmarks = excluded.landmarks
"""
_MEASURE = """
INSERT INTO public.processing_metrics (metric_name, metric_value, component, task_id, recorded_at, pipeline)
VALUES ('processing_time', $1::float8, $2::text, $3, now(), $2)
"""
_FIND = """
SELECT pipeline, input_hash, result_data::text AS result, svg_data, artifacts::text AS artifacts, content,
    processing_time_ms::float8 AS processing_ms, error_type, error_detail
FROM public.task_results WHERE input_hash = $1 AND pipeline IS NOT NULL AND ttl_expires_at > now()
"""
_RECENT = """
SELECT task_id::text AS task_id, pipeline, status::text AS status, submitted_at::timestamptz AS submitted_at,
    processing_time_ms::float8 AS processing_ms, regions_detected AS regions, cache_hits AS hits, error_type
FROM public.task_results WHERE pipeline IS NOT NULL AND tenant = $2 ORDER BY submitted_at DESC LIMIT $1
"""
_SIGN = 1 << 63

_BANDS = 4
_BAND_BITS = 16
_CANDIDATES = 32
"""Rows that are compared by their landmarks, the nearest hashes first."""

NEAR = f"""
SELECT input_hash, landmarks
FROM public.task_results
WHERE likeness_group = $1 AND perceptual_hash IS NOT NULL AND pipeline IS NOT NULL AND ttl_expires_at > now()
    AND bit_count((perceptual_hash # $2::bigint)::bit(64)) <= $3
    AND (
        hash_band_1 = ANY($4::integer[]) OR hash_band_2 = ANY($5::integer[])
        OR hash_band_3 = ANY($6::integer[]) OR hash_band_4 = ANY($7::integer[])
    )
ORDER BY bit_count((perceptual_hash # $2::bigint)::bit(64)), submitted_at DESC
LIMIT {_CANDIDATES}
"""  # noqa: S608 of a constant

_log = get_logger(__name__)


async def keep_entry(connection: Connection, entry: NewEntry) -> None:
    """Keep a result in place of an earlier one, and note how long it took.

    The tables may be the caller's own, with rules of their own: what they refuse is not kept, and whatever transaction
    is under way goes on.
    """
    try:
        async with connection.transaction():
            await connection.execute(_KEEP, *_values(entry))
            await connection.execute(_MEASURE, entry.value.processing_ms, entry.key.pipeline, entry.task_id)
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.SyntaxOrAccessError) as error:
        _log.warning(f"a result is not kept, the tables do not take it: {error}", task_id=entry.task_id)


async def find_entry(connection: Connection, digest: str) -> CacheHit | None:
    """The result under a key, in hexadecimal digits."""
    row = await connection.fetchrow(_FIND, digest)
    return _hit_of(row) if row else None


async def recent_entries(connection: Connection, limit: int, tenant: str) -> list[CachedTask]:
    """A tenant's entries, the newest first."""
    return [CachedTask(**row) for row in await connection.fetch(_RECENT, limit, tenant)]


def _signed(photo_hash: int) -> int:
    """64 bits as a bigint has them."""
    return photo_hash - 2 * _SIGN if photo_hash >= _SIGN else photo_hash


def _values(entry: NewEntry) -> tuple[object, ...]:
    """What _KEEP takes."""
    value, similarity = entry.value, entry.similarity
    return (
        entry.task_id,
        entry.key.digest.hex(),
        status_of(value),
        result_text(value),
        next((base64.b64encode(artifact.data).decode() for artifact in value.artifacts if artifact.name == SVG), None),
        value.processing_ms,
        entry.life_s,
        entry.submitted_at,
        entry.key.pipeline,
        value.failure.code if value.failure else None,
        clean(value.failure.detail) if value.failure else None,
        regions_of(value),
        json.dumps([[artifact.name, len(artifact.data)] for artifact in value.artifacts]),
        b"".join(artifact.data for artifact in value.artifacts if artifact.name != SVG),
        size_of(entry),
        similarity.group if similarity else None,
        _signed(similarity.photo_hash) if similarity else None,
        similarity.landmarks if similarity else None,
        entry.key.tenant,
    )


def _hit_of(row: Row) -> CacheHit:
    failure = Failure(row["error_type"], row["error_detail"] or "") if row["error_type"] else None
    value = CachedResult(json.loads(row["result"]), tuple(_artifacts(row)), failure, row["processing_ms"])
    return CacheHit(CacheKey(row["pipeline"], bytes.fromhex(row["input_hash"])), value)


def _artifacts(row: Row) -> Iterator[Artifact]:
    """The files, cut out of the columns that hold them."""
    start = 0
    for name, size in json.loads(row["artifacts"]):
        if name == SVG:
            yield Artifact(name, base64.b64decode(row["svg_data"] or ""))
        else:
            yield Artifact(name, row["content"][start : start + size])
            start += size


async def find_similar(connection: Connection, similarity: Similarity, bits: int) -> CacheHit | None:
    """The nearest result that is near enough.

    Two 64-bit hashes that differ in at most d bits have, among their four bands of 16 bits, one that differs in at most
    d // 4. All such values of each band are looked up in that band's index; the few rows found are compared in full.
    Source: M. Norouzi, A. Punjani, D. Fleet, Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012.
    """
    rows = await connection.fetch(NEAR, *near_values(similarity, bits))
    digest = next((row["input_hash"] for row in rows if similarity.alike(row["landmarks"])), None)
    return await find_entry(connection, digest) if digest else None


def near_values(similarity: Similarity, bits: int) -> tuple[object, ...]:
    """What NEAR takes."""
    flips = _flips(bits // _BANDS)
    bands = ([band ^ flip for flip in flips] for band in _bands(similarity.photo_hash))
    return (similarity.group, _signed(similarity.photo_hash), bits, *bands)


def _bands(photo_hash: int) -> Iterator[int]:
    """The highest bits first."""
    for shift in reversed(range(0, _BANDS * _BAND_BITS, _BAND_BITS)):
        yield photo_hash >> shift & (1 << _BAND_BITS) - 1


@lru_cache
def _flips(most: int) -> tuple[int, ...]:
    """Every band with at most so many bits set."""
    chosen = (places for count in range(most + 1) for places in combinations(range(_BAND_BITS), count))
    return tuple(sum(1 << place for place in places) for places in chosen)
