"""Photos and artifacts in memory, and how much of it they may take."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import override

from gateway.errors import Problem
from gateway.jobs.objects import Bucket, ObjectMissingError, StoredObject, tenant_of

_RETRY_AFTER_S = 5


class Objects:
    """Objects by key; how many bytes they are in all, and by the tenants that their keys name."""

    def __init__(self) -> None:
        self.used = 0
        self.used_by = Counter[str]()
        self._objects: dict[str, StoredObject] = {}

    def put(self, key: str, content: StoredObject) -> None:
        """Keep an object in place of any earlier one."""
        self._count(key, len(content.data) - self.size(key))
        self._objects[key] = content

    def get(self, key: str) -> StoredObject:
        """An object. Raises ObjectMissingError."""
        try:
            return self._objects[key]
        except KeyError as error:
            raise ObjectMissingError(key) from error

    def size(self, key: str) -> int:
        """Bytes of an object; 0 where there is none."""
        content = self._objects.get(key)
        return len(content.data) if content else 0

    def remove(self, keys: Iterable[str]) -> None:
        """Forget objects."""
        for key in keys:
            self._count(key, -self.size(key))
            self._objects.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        """Keys that begin with the prefix."""
        return [key for key in self._objects if key.startswith(prefix)]

    def _count(self, key: str, change: int) -> None:
        tenant = tenant_of(key)
        self.used += change
        self.used_by[tenant] += change
        if not self.used_by[tenant]:
            del self.used_by[tenant]


@dataclass(frozen=True)
class MemoryLimit:
    """How many bytes some objects may take together; `shed` drops those needed least, False where all are needed."""

    most: int
    objects: Sequence[Objects]
    shed: Callable[[], bool] = bool

    def reserve(self, size: int) -> bool:
        """Whether so many more bytes fit, once enough was shed."""
        while sum(one.used for one in self.objects) + size > self.most:
            if not self.shed():
                return False
        return True


@dataclass(frozen=True)
class MemoryBucket(Bucket):
    """Objects that must fit within each of the limits."""

    objects: Objects
    limits: Sequence[MemoryLimit]

    @override
    async def put(self, key: str, data: bytes, media_type: str) -> None:
        most = min(limit.most for limit in self.limits)
        if len(data) > most:
            raise Problem("body_too_large", f"At most {most} bytes are kept in memory.")
        more = len(data) - self.objects.size(key)
        if not all(limit.reserve(more) for limit in self.limits):
            detail = "The memory is full of the photos and masks of unfinished jobs (MEMORY_STORE_BYTES)."
            raise Problem("queue_full", detail, retry_after=_RETRY_AFTER_S)
        self.objects.put(key, StoredObject(data, media_type))

    @override
    async def get(self, key: str) -> StoredObject:
        return self.objects.get(key)

    @override
    async def remove(self, keys: Sequence[str]) -> None:
        self.objects.remove(keys)

    @override
    async def keys(self, prefix: str) -> list[str]:
        return self.objects.keys(prefix)

    @override
    async def check(self) -> None:
        """Always there."""
