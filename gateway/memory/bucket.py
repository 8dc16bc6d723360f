"""A bucket in memory."""

from collections.abc import Sequence

from gateway.jobs.objects import Bucket, StoredObject
from gateway.memory.room import Room
from gateway.memory.shelf import Shelf
from gateway.problems import Problem

_RETRY_AFTER_S = 5


class MemoryBucket(Bucket):
    """Objects on one shelf, which must fit into each of the rooms."""

    def __init__(self, shelf: Shelf, rooms: Sequence[Room]) -> None:
        self._shelf = shelf
        self._rooms = rooms

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Keep an object. Raises Problem `queue_full`; `body_too_large` where it could never fit."""
        limit = min(room.limit for room in self._rooms)
        if len(data) > limit:
            raise Problem("body_too_large", f"At most {limit} bytes are kept in memory.")
        more = len(data) - self._shelf.size(key)
        if not all(room.reserve(more) for room in self._rooms):
            detail = "The memory is full of the photos and masks of unfinished jobs (MEMORY_STORE_BYTES)."
            raise Problem("queue_full", detail, retry_after=_RETRY_AFTER_S)
        self._shelf.put(key, StoredObject(data, media_type))

    async def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissingError."""
        return self._shelf.get(key)

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; missing ones count as removed."""
        self._shelf.remove(keys)

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix."""
        return self._shelf.keys(prefix)

    async def check(self) -> None:
        """Always there."""
