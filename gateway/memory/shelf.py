"""The bytes of photos and artifacts."""

from collections import Counter
from collections.abc import Iterable

from gateway.jobs.objects import ObjectMissingError, StoredObject, tenant_of


class Shelf:
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
