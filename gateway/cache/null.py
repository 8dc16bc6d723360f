"""No cache: with CACHE_ENABLED=false."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from gateway.cache.cache import (
    Cache,
    CachedTask,
    CacheHit,
    CacheKey,
    CacheStats,
    CacheTotals,
    Likeness,
    NewEntry,
    still,
)


class NullCache(Cache):
    """Keeps nothing and counts nothing."""

    async def find(self, _key: CacheKey) -> CacheHit | None:
        """Nothing."""
        return None

    async def find_like(self, _likeness: Likeness, _bits: int) -> CacheHit | None:
        """Nothing."""
        return None

    async def keep(self, _entry: NewEntry) -> None:
        """Keep nothing."""

    def forget(self, _task_id: str) -> None:
        """There is nothing to forget."""

    def alone(self, _key: CacheKey) -> AbstractAsyncContextManager[None]:
        """Not alone."""
        return nullcontext()

    def count(self, _served: CacheHit | NewEntry) -> None:
        """Count nothing."""

    async def stats(self, days: int) -> CacheStats:
        """All zero."""
        return CacheStats(days, 0, 0, 0, 0, 0.0, 0.0, 0, 0)

    async def recent(self, _limit: int, _tenant: str = "") -> list[CachedTask]:
        """None."""
        return []

    async def totals(self) -> CacheTotals:
        """All zero."""
        return CacheTotals(0, 0, 0, 0)

    async def cleanup(self, _alive: Callable[[], None] = still) -> int:
        """Nothing to remove."""
        return 0
