"""The cache of results: what it keeps, what it is asked, how hits are counted; and what its stores share."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from operator import add
from typing import Literal, Protocol

import numpy as np

from gateway.pipelines.outputs import Artifact, Failure

Status = Literal["SUCCESS", "FAILURE"]
ALL_DAYS = 1_000_000
"""For `Cache.stats`: since the tables were made."""
_COLUMNS_BYTES = 500
"""About what an entry takes besides its content."""


@dataclass(frozen=True)
class Similarity:
    """What makes two requests similar: the same `group`, a near `photo_hash`, and landmarks near one another.

    `group` is a SHA-256 over all that must be equal; `photo_hash` has 64 bits. `landmarks` are N×2 float32 in source
    pixels, row by row. They may differ by `tolerance` pixels.
    """

    group: bytes
    photo_hash: int
    landmarks: bytes
    tolerance: float

    def alike(self, landmarks: bytes) -> bool:
        """Whether every landmark of the other request is within the tolerance of this one's."""
        ours, theirs = (np.frombuffer(data, np.float32).reshape(-1, 2) for data in (self.landmarks, landmarks))
        return ours.shape == theirs.shape and bool(np.hypot(*(ours - theirs).T).max() <= self.tolerance)


@dataclass(frozen=True)
class CacheKey:
    """Requests with the same `digest`, a SHA-256, have the same result; each tenant has its own keys."""

    pipeline: str
    digest: bytes
    tenant: str = ""


@dataclass(frozen=True)
class CachedResult:
    """What a computation gave, or why it failed; it took `processing_ms`."""

    result: Mapping[str, object]
    artifacts: tuple[Artifact, ...]
    failure: Failure | None
    processing_ms: float


@dataclass(frozen=True)
class NewEntry:
    """A result to be kept for `life_s` seconds.

    `task_id` is the id of the job, or of the request, that was the first to want it.
    """

    key: CacheKey
    task_id: str
    submitted_at: datetime
    value: CachedResult
    life_s: float
    similarity: Similarity | None = None


@dataclass(frozen=True)
class CacheHit:
    """An entry that serves a request; if it was found by similarity, its key is not the request's."""

    key: CacheKey
    value: CachedResult


@dataclass(frozen=True)
class CachedTask:
    """An entry as lists show it; `regions` is None if the result has none."""

    task_id: str
    pipeline: str
    status: Status
    submitted_at: datetime
    processing_ms: float
    regions: int | None
    hits: int
    error_type: str | None


@dataclass(frozen=True)
class Traffic:
    """What became of requests.

    They were answered from the cache, `hits`, or computed: `successes` and `failures`, in `spent_ms` together. The hits
    would have taken `saved_ms`.
    """

    requests: int = 0
    hits: int = 0
    successes: int = 0
    failures: int = 0
    spent_ms: float = 0.0
    saved_ms: float = 0.0

    @classmethod
    def of(cls, served: CacheHit | NewEntry) -> "Traffic":
        """The traffic of one request."""
        spent = served.value.processing_ms
        if isinstance(served, CacheHit):
            return cls(requests=1, hits=1, saved_ms=spent)
        failed = served.value.failure is not None
        return cls(requests=1, successes=int(not failed), failures=int(failed), spent_ms=spent)

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(*map(add, vars(self).values(), vars(other).values()))


NOTHING = Traffic()


@dataclass(frozen=True, kw_only=True)
class CacheStats(Traffic):
    """The traffic of the last `days` days, and what the cache holds now."""

    days: int
    entries: int
    bytes: int

    @property
    def hit_ratio(self) -> float:
        """Hits a request, 0 to 1; 0 without requests."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def average_ms(self) -> float:
        """What one computation took; 0 without any."""
        computed = self.successes + self.failures
        return self.spent_ms / computed if computed else 0.0

    @property
    def efficiency(self) -> float:
        """The share of the computing time that was saved, 0 to 1; 0 without requests."""
        whole = self.spent_ms + self.saved_ms
        return self.saved_ms / whole if whole else 0.0


def still() -> None:
    """Does nothing: nobody watches the caller."""


class Cache(Protocol):
    """Results by key. Every method that waits raises Problem `store_unavailable`."""

    async def find(self, key: CacheKey) -> CacheHit | None:
        """The result under exactly this key."""

    async def find_similar(self, similarity: Similarity, bits: int) -> CacheHit | None:
        """The nearest result whose photo's hash differs in at most `bits` bits, and whose landmarks are near enough."""

    async def keep(self, entry: NewEntry) -> None:
        """Keep a result, in place of an earlier one under the same key."""

    def alone(self, key: CacheKey) -> AbstractAsyncContextManager[None]:
        """Wait until no other process computes this result; keep others waiting while the context lasts."""

    def count(self, served: CacheHit | NewEntry) -> None:
        """Count a request that was answered from the cache or had to be computed; `stats` shows it soon."""

    async def stats(self, days: int) -> CacheStats:
        """What happened in the last days, today included."""

    async def recent(self, limit: int, tenant: str = "") -> list[CachedTask]:
        """A tenant's entries, the newest first."""

    async def cleanup(self, alive: Callable[[], None] = still) -> int:
        """Remove old entries, and more if they are too many; how many. Calls `alive` often: this may take long."""


def status_of(value: CachedResult) -> Status:
    """The word for the result."""
    return "FAILURE" if value.failure else "SUCCESS"


def result_text(value: CachedResult) -> str:
    """The model's result object as JSON."""
    return json.dumps(dict(value.result), separators=(",", ":"))


def size_of(entry: NewEntry) -> int:
    """Bytes that an entry takes."""
    landmarks = len(entry.similarity.landmarks) if entry.similarity else 0
    artifacts = sum(len(artifact.data) for artifact in entry.value.artifacts)
    return artifacts + len(result_text(entry.value)) + landmarks + _COLUMNS_BYTES


def regions_of(value: CachedResult) -> int | None:
    """How many regions all faces of a result have together; None if it is not about faces."""
    faces = value.result.get("faces")
    if not isinstance(faces, list):
        return None
    return sum(len(face.get("regions") or ()) for face in faces if isinstance(face, dict))


@dataclass
class Tally:
    """Requests that were counted and not written down yet: traffic by pipeline, hits by the digest of the entry."""

    traffic: dict[str, Traffic] = field(default_factory=dict)
    hits: Counter[bytes] = field(default_factory=Counter)

    def count(self, served: CacheHit | NewEntry) -> None:
        """Count one request."""
        self._add(served.key.pipeline, Traffic.of(served))
        if isinstance(served, CacheHit):
            self.hits[served.key.digest] += 1

    def merge(self, other: "Tally") -> None:
        """Add what another one has counted."""
        for pipeline, traffic in other.traffic.items():
            self._add(pipeline, traffic)
        self.hits.update(other.hits)

    def _add(self, pipeline: str, traffic: Traffic) -> None:
        self.traffic[pipeline] = self.traffic.get(pipeline, NOTHING) + traffic
