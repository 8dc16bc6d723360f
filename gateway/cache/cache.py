"""What keeps results: PostgreSQL, memory, or nothing."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from gateway.artifacts import Artifact
from gateway.results import Failure

Status = Literal["SUCCESS", "FAILURE"]

UNCOUNTED = "frontal:loadtest"
"""The source of a job that the figures leave out."""


@dataclass(frozen=True)
class Likeness:
    """What makes a request like another: equal `group`, near `photo_hash`, and landmarks near one another.

    `group` is a SHA-256 over all that must be equal; `photo_hash` has 64 bits. `landmarks` are N×2 float32 in source
    pixels, row by row. They may differ by `tolerance` pixels.
    """

    group: bytes
    photo_hash: int
    landmarks: bytes
    tolerance: float


@dataclass(frozen=True)
class CacheKey:
    """Requests with the same `digest`, a SHA-256, have the same result; it is one of the tenant's alone."""

    pipeline: str
    digest: bytes
    tenant: str = ""


@dataclass(frozen=True)
class CachedResult:
    """What a computation gave, or why it could not; `processing_ms` is what it took."""

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
    likeness: Likeness | None = None


@dataclass(frozen=True)
class CacheHit:
    """An entry that serves a request; its key is another one where it was found by likeness."""

    key: CacheKey
    value: CachedResult


@dataclass(frozen=True)
class CachedTask:
    """An entry as lists have it; `regions` where the result has regions."""

    task_id: str
    pipeline: str
    status: Status
    submitted_at: datetime
    processing_ms: float
    regions: int | None
    hits: int
    error_type: str | None


@dataclass(frozen=True)
class CacheStats:
    """What the cache did in the last `days` days, and what it holds now.

    `requests` were answered from it, `hits`, or computed: `successes` and `failures`, in `spent_ms` together. The hits
    would have taken `saved_ms`.
    """

    days: int
    requests: int
    hits: int
    successes: int
    failures: int
    spent_ms: float
    saved_ms: float
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


@dataclass(frozen=True)
class CacheTotals:
    """Since the tables were made: requests that were looked up, and those that were answered; and what there is now."""

    requests: int
    hits: int
    entries: int
    bytes: int


def still() -> None:
    """For those whom nobody watches."""


class Cache(Protocol):
    """Results by key. Every method that waits raises Problem `store_unavailable`."""

    async def find(self, key: CacheKey) -> CacheHit | None:
        """The result under this very key."""

    async def find_like(self, likeness: Likeness, bits: int) -> CacheHit | None:
        """The nearest result whose photo's hash differs in at most `bits` bits, and whose landmarks are near enough."""

    async def keep(self, entry: NewEntry) -> None:
        """Keep a result, in place of an earlier one under the same key."""

    def alone(self, key: CacheKey) -> AbstractAsyncContextManager[None]:
        """Wait until nobody else computes this result, in any process; nobody else does while the context lasts."""

    def count(self, served: CacheHit | NewEntry) -> None:
        """Count a request that was answered from the cache or had to be computed; it shows in the figures soon."""

    async def stats(self, days: int) -> CacheStats:
        """Figures of the last days, today among them."""

    async def recent(self, limit: int, tenant: str = "") -> list[CachedTask]:
        """A tenant's entries, the newest first."""

    async def totals(self) -> CacheTotals:
        """Figures of all time."""

    async def cleanup(self, alive: Callable[[], None] = still) -> int:
        """Remove what is too old or too much; how many entries. It may take long, and calls `alive` now and then."""
