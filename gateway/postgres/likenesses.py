"""Results of requests that are like another, found by the photo's perceptual hash.

Two 64-bit hashes that differ in at most d bits have, among their four bands of 16 bits, one that differs in at most
d // 4. All such values of each band are looked up in that band's index; the few rows found are then compared in full.
Source: M. Norouzi, A. Punjani, D. Fleet, Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import cast

from gateway.cache.cache import Similarity
from gateway.cache.keys import alike
from gateway.postgres.connection import Connection
from gateway.postgres.results import signed

BANDS = 4
BAND_BITS = 16
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


async def find_digest_like(connection: Connection, similarity: Similarity, bits: int) -> str | None:
    """The key, in hexadecimal digits, of the nearest result that is near enough."""
    rows = await connection.fetch(NEAR, *near_values(similarity, bits))
    digests = (str(row["input_hash"]) for row in rows if alike(similarity, cast("bytes", row["landmarks"])))
    return next(digests, None)


def near_values(similarity: Similarity, bits: int) -> tuple[object, ...]:
    """What NEAR takes."""
    flips = _flips(bits // BANDS)
    bands = ([band ^ flip for flip in flips] for band in _bands(similarity.photo_hash))
    return (similarity.group, signed(similarity.photo_hash), bits, *bands)


def _bands(photo_hash: int) -> Iterator[int]:
    """The highest bits first."""
    for shift in reversed(range(0, BANDS * BAND_BITS, BAND_BITS)):
        yield photo_hash >> shift & (1 << BAND_BITS) - 1


@lru_cache
def _flips(most: int) -> tuple[int, ...]:
    """Every band with at most so many bits set."""
    chosen = (places for count in range(most + 1) for places in combinations(range(BAND_BITS), count))
    return tuple(sum(1 << place for place in places) for places in chosen)
