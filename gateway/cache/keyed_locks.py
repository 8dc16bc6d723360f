"""One at a time for each key, within a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class KeyedLocks:
    """A lock for each key that somebody holds or waits for."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, key: bytes) -> AsyncIterator[None]:
        """Wait for the key, first come first served, and hold it."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
